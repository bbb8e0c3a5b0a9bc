using System.Data.Common;
using System.Text.Json;
using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Rewards;

/// <summary>A change of points as others see it.</summary>
/// <param name="Cause"><c>check-in</c>, <c>shop</c>.</param>
/// <param name="Points">Above 0: awarded. Below 0: spent.</param>
/// <param name="Balance">What the user had after it.</param>
/// <param name="Reason">The shop's words; null for a check-in.</param>
public sealed record PointsEntryView(string Id, string Cause, long Points, long Balance, string? Reason, DateTime MadeAt);

/// <param name="Balance">What the user has now.</param>
public sealed record PointsPage(long Balance, IReadOnlyList<PointsEntryView> Items, string? NextCursor);

/// <summary>A user's balance with their entries, newest first; the first page is kept until an entry is added.</summary>
internal sealed class PointsPages(Database database, TieredCache cache)
{
    public static CacheKey KeyOf(string userId) => CacheKey.OfUser(userId, "points:1");

    /// <summary>The first page, as JSON.</summary>
    /// <inheritdoc cref="TieredCache.GetAsync"/>
    public ValueTask<CachedAnswer> FirstAsync(string userId, long known) => cache.GetAsync(KeyOf(userId), () => LoadFirstAsync(userId), known);

    /// <inheritdoc cref="TieredCache.IsUnchangedAsync"/>
    public ValueTask<bool> IsUnchangedAsync(string userId, long version) => cache.IsUnchangedAsync(KeyOf(userId), version);

    /// <param name="before">Only entries with a smaller id.</param>
    public Task<PointsPage> ReadAsync(string userId, long before, int limit) => database.ReadAsync(
        async connection => (await ReadAsync(connection, userId, before, limit)).Page, ReadFrom.Reader);

    private Task<CachedAnswer> LoadFirstAsync(string userId) => database.ReadAsync(
        async connection =>
        {
            var (page, version) = await ReadAsync(connection, userId, long.MaxValue, Paging.LimitDefault);
            return new CachedAnswer(version, JsonSerializer.SerializeToUtf8Bytes(page, RewardsJson.Default.PointsPage));
        },
        ReadFrom.Reader);

    private static async Task<(PointsPage Page, long Version)> ReadAsync(DbConnection connection, string userId, long before, int limit)
    {
        var (balance, version) = await connection.QuerySingleOrDefaultAsync<(long Balance, long Version)>("SELECT balance, version FROM points_balances WHERE user_id = @userId", new { userId });

        // One more than fits says that there is a next page.
        var entries = (await connection.QueryAsync<PointsEntry>(
            $"SELECT {PointsEntry.Columns} FROM points_entries WHERE user_id = @userId AND id < @before ORDER BY id DESC LIMIT @count", new { userId, before, count = limit + 1 })).AsList();
        var items = entries.Take(limit).Select(entry => entry.ToView()).ToList();
        return (new PointsPage(balance, items, entries.Count > limit ? items[^1].Id : null), version);
    }
}

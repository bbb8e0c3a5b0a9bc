using System.Text.Json;
using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Rewards.Contracts;

/// <summary>How a user stands. Nothing in it changes by itself at midnight: whether today is done, and whether the streak still stands, follows from the date.</summary>
/// <param name="LastCheckIn">The shop's business day of the newest check-in, or null.</param>
/// <param name="StreakDays">Days in a row up to then.</param>
public sealed record PointsView(long Balance, DateOnly? LastCheckIn, int StreakDays);

/// <summary>A user's points and newest check-in: for answers that show them beside other things of that user.</summary>
public sealed class Points
{
    private readonly Database database;

    internal Points(Database database) => this.database = database;

    public static CacheKey KeyOf(string userId) => CacheKey.OfUser(userId, "points");

    /// <summary>Always there, a <see cref="PointsView"/>. Its version grows with each entry.</summary>
    /// <param name="known">The version that the caller has seen, 0 = none.</param>
    public CachePart Of(string userId, long known) => new(KeyOf(userId), () => LoadAsync(userId), known);

    private Task<CachedAnswer> LoadAsync(string userId) => database.ReadAsync(
        async connection =>
        {
            var (balance, version) = await connection.QuerySingleOrDefaultAsync<(long Balance, long Version)>("SELECT balance, version FROM points_balances WHERE user_id = @userId", new { userId });
            var newest = await CheckIn.NewestAsync(connection, userId);
            return new CachedAnswer(version, JsonSerializer.SerializeToUtf8Bytes(new PointsView(balance, newest?.Day, (int)(newest?.StreakDays ?? 0)), RewardsJson.Default.PointsView));
        },
        ReadFrom.Reader);
}

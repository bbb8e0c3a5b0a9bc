using System.Data.Common;
using Dapper;
using Sluice.Modules.Rewards.Contracts;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Rewards;

/// <summary>Why points came or went. A cause has one entry of a user, ever.</summary>
/// <param name="Kind">One of the constants.</param>
/// <param name="Id">Of a check-in its business date, of the shop's changes their idempotency key, or the entry's own id where it named none.</param>
internal sealed record PointsCause(string Kind, string Id)
{
    public const string OfCheckIn = "check-in", OfShop = "shop";
}

/// <summary>The row of <c>points_entries</c>; <c>MadeAt</c> in Unix milliseconds.</summary>
[method: ExplicitConstructor]
internal sealed record PointsEntry(long Id, string UserId, string CauseKind, string CauseId, long Points, long BalanceAfter, string? Reason, long MadeAt)
{
    public const string Columns = "id AS Id, user_id AS UserId, cause_kind AS CauseKind, cause_id AS CauseId, points AS Points, balance_after AS BalanceAfter, reason AS Reason, made_at AS MadeAt";

    public PointsEntryView ToView() => new(Names.Id(Id), CauseKind, Points, BalanceAfter, Reason, DateTimeOffset.FromUnixTimeMilliseconds(MadeAt).UtcDateTime);
}

/// <summary>
/// The points ledger: entries are only ever added, and the balance changes in the transaction that adds one, never below 0. So the balance is the sum of the entries at every moment, and each entry says what it was after it.
/// </summary>
internal sealed class PointsLedger(CacheChanges changes, ClaimIds ids, TimeProvider time)
{
    /// <summary>What is kept of a user's points: all of it changes with each entry.</summary>
    public static IReadOnlyList<CacheKey> KeysOf(string userId) => [Points.KeyOf(userId), PointsPages.KeyOf(userId)];

    /// <summary>From here on changes of this user's points wait until this transaction ends. Makes the row where there is none.</summary>
    public static Task LockAsync(DbTransaction transaction, string userId) => transaction.Connection!.ExecuteAsync(
        $"INSERT INTO points_balances (user_id, balance, version) VALUES (@userId, 0, 0) {Dialect.OrUpdate(transaction, "user_id")} version = points_balances.version", new { userId }, transaction);

    /// <summary>Adds an entry and notes what is to be dropped (<see cref="KeysOf"/>), in a transaction in which the user is locked.</summary>
    /// <param name="points">Above 0 awards, below 0 spends.</param>
    /// <returns>The entry, or the one that this cause has had before: compare its points. Null: the user has fewer points than are to be spent, and nothing was changed.</returns>
    public async Task<PointsEntry?> AddAsync(DbTransaction transaction, string userId, PointsCause cause, long points, string? reason = null, long? id = null)
    {
        var connection = transaction.Connection!;
        if (await connection.QuerySingleOrDefaultAsync<PointsEntry?>(
            $"SELECT {PointsEntry.Columns} FROM points_entries WHERE user_id = @userId AND cause_kind = @Kind AND cause_id = @Id", new { userId, cause.Kind, cause.Id }, transaction) is { } before)
        {
            return before;
        }

        if (await connection.ExecuteAsync(
            "UPDATE points_balances SET balance = balance + @points, version = version + 1 WHERE user_id = @userId AND balance + @points >= 0", new { points, userId }, transaction) == 0)
        {
            return null;
        }

        var balance = await BalanceAsync(connection, userId, transaction);
        var entry = new PointsEntry(id ?? ids.Next(userId), userId, cause.Kind, cause.Id, points, balance, reason, time.GetUtcNow().ToUnixTimeMilliseconds());
        await connection.ExecuteAsync(
            "INSERT INTO points_entries (id, user_id, cause_kind, cause_id, points, balance_after, reason, made_at) VALUES (@Id, @UserId, @CauseKind, @CauseId, @Points, @BalanceAfter, @Reason, @MadeAt)", entry, transaction);
        await changes.AddAsync(transaction, KeysOf(userId));
        return entry;
    }

    public static Task<long> BalanceAsync(DbConnection connection, string userId, DbTransaction? transaction = null) =>
        connection.QuerySingleOrDefaultAsync<long>("SELECT balance FROM points_balances WHERE user_id = @userId", new { userId }, transaction);
}

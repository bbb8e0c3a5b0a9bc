using System.Data.Common;
using System.Globalization;
using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using StackExchange.Redis;

namespace Sluice.Platform.Pools;

/// <summary>
/// Gives units back. SQL decides (a guarded transition, one release row for each claim), Redis follows, idempotent by claim id;
/// <see cref="ReturnPendingAsync"/> repeats what a crash or an outage left between the two.
/// </summary>
public sealed class Releases(Database database, RedisConnection redis, PoolClaims claims, PoolRebuilder rebuilder, TimeProvider time)
{
    private const int PerCallMax = 500;

    private static readonly RedisScript ReleaseScript = RedisScript.Load("Release.lua");

    private readonly BatchInsert insertReleases = new("releases", "claim_id", "pool_id", "user_id", "units", "returned", "released_at");

    /// <summary>Releases confirmed claims, in the transaction in which the caller decided it. A claim that is not confirmed (any more) is passed over.</summary>
    /// <returns>The ids that were released by this call.</returns>
    public async Task<IReadOnlyList<long>> ReleaseAsync(DbTransaction transaction, IReadOnlyList<long> claimIds)
    {
        var connection = transaction.Connection!;
        var ids = SqlList.Of(claimIds);

        // The pools first, then the claims: the order in which the claim writer takes them. What pool a claim is of never changes.
        await PoolStore.LockAsync(transaction, await connection.QueryAsync<long>("SELECT DISTINCT pool_id FROM claims WHERE id IN @ids", new { ids }, transaction));
        var released = (await connection.QueryAsync<Row>(
            "SELECT id AS Id, pool_id AS PoolId, user_id AS UserId, units AS Units FROM claims WHERE id IN @ids AND state = @confirmed " +
            $"ORDER BY id{Dialect.ForUpdate(transaction)}",
            new { ids, confirmed = ClaimState.Confirmed },
            transaction)).AsList();
        await connection.ExecuteAsync(
            "UPDATE claims SET state = @released, ordinal = NULL WHERE id IN @ids",
            new { ids = SqlList.Of(released.Select(row => row.Id)), released = ClaimState.Released },
            transaction);
        foreach (var pool in released.GroupBy(row => row.PoolId))
        {
            await connection.ExecuteAsync(
                "UPDATE pools SET claimed_units = claimed_units - @units WHERE id = @id", new { id = pool.Key, units = pool.Sum(row => (long)row.Units) }, transaction);
        }

        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        var recorded = await insertReleases.RunAsync(transaction, released.Count, (row, column) => column switch
        {
            0 => released[row].Id,
            1 => released[row].PoolId,
            2 => released[row].UserId,
            3 => released[row].Units,
            4 => 0,
            _ => now,
        });
        return recorded.Count == released.Count
            ? [.. released.Select(row => row.Id)]
            : throw new InvalidOperationException($"Of {released.Count} confirmed claims only {recorded.Count} were not released before.");
    }

    /// <summary>Returns to Redis what SQL has released. Idempotent, any number of processes at once.</summary>
    /// <returns>How many claims were settled.</returns>
    /// <exception cref="DependencyUnavailableException">Not now; the next call goes on.</exception>
    public async Task<int> ReturnPendingAsync()
    {
        var pending = (await database.ReadAsync(connection => connection.QueryAsync<Row>(
            "SELECT claim_id AS Id, pool_id AS PoolId, user_id AS UserId, units AS Units FROM releases WHERE returned = 0 LIMIT @PerCallMax", new { PerCallMax }))).AsList();
        var settled = 0;
        await redis.EachAsync(pending.GroupBy(row => row.PoolId), pool => new PoolKeys(pool.Key).Meta, async pool =>
        {
            var keys = new PoolKeys(pool.Key);
            var rows = pool.ToList();
            var arguments = new RedisValue[1 + (rows.Count * 2)];
            arguments[0] = await redis.RunAsync(keys.Meta);
            for (var i = 0; i < rows.Count; i++)
            {
                arguments[1 + (i * 2)] = rows[i].UserId;
                arguments[2 + (i * 2)] = rows[i].Id.ToString(CultureInfo.InvariantCulture);
            }

            var letters = (string)(await redis.RunScriptAsync(ReleaseScript, keys.Release, arguments))!;
            if (letters is "F" or "M")
            {
                return;
            }

            await redis.BarrierAsync();
            claims.Refilled(pool.Key);

            var done = rows.Where((_, i) => letters[i] is 'R' or 'D').Select(row => row.Id).ToList();

            // May run again: it says what is so.
            await database.WriteAsync(
                transaction => transaction.Connection!.ExecuteAsync("UPDATE releases SET returned = 1 WHERE claim_id IN @done", new { done = SqlList.Of(done) }, transaction),
                LostCommit.RunAgain);
            settled += done.Count;

            // 'U': Redis does not know a claim that SQL has: it forgot something. After a rebuild it knows the claim as released, and the next round settles it.
            if (done.Count < rows.Count)
            {
                await rebuilder.RebuildAsync(pool.Key);
            }
        });

        return settled;
    }

    [method: Dapper.ExplicitConstructor]
    private sealed record Row(long Id, long PoolId, string UserId, int Units);
}

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

    /// <summary>Releases confirmed claims, in the transaction in which the caller decided it. A claim that is not confirmed (any more) is passed over.</summary>
    /// <returns>The ids that were released by this call.</returns>
    public async Task<IReadOnlyList<long>> ReleaseAsync(DbTransaction transaction, IReadOnlyList<long> claimIds)
    {
        var connection = transaction.Connection!;
        var released = (await connection.QueryAsync<Row>(
            $"UPDATE claims SET state = @released, ordinal = NULL WHERE id IN {SqlList.Of("claimIds")} AND state = @confirmed " +
            "RETURNING id AS Id, pool_id AS PoolId, user_id AS UserId, units AS Units",
            new { claimIds = SqlList.Json(claimIds), released = ClaimState.Released, confirmed = ClaimState.Confirmed },
            transaction)).AsList();
        foreach (var pool in released.GroupBy(row => row.PoolId))
        {
            await connection.ExecuteAsync(
                "UPDATE pools SET claimed_units = claimed_units - @units WHERE id = @id", new { id = pool.Key, units = pool.Sum(row => (long)row.Units) }, transaction);
        }

        await connection.ExecuteAsync(
            "INSERT INTO releases (claim_id, pool_id, user_id, units, returned, released_at) VALUES (@Id, @PoolId, @UserId, @Units, 0, @now)",
            released.Select(row => new { row.Id, row.PoolId, row.UserId, row.Units, now = time.GetUtcNow().ToUnixTimeMilliseconds() }),
            transaction);
        return [.. released.Select(row => row.Id)];
    }

    /// <summary>Returns to Redis what SQL has released. Idempotent, any number of processes at once.</summary>
    /// <returns>How many claims were settled.</returns>
    /// <exception cref="DependencyUnavailableException">Not now; the next call goes on.</exception>
    public async Task<int> ReturnPendingAsync()
    {
        var pending = (await database.ReadAsync(connection => connection.QueryAsync<Row>(
            "SELECT claim_id AS Id, pool_id AS PoolId, user_id AS UserId, units AS Units FROM releases WHERE returned = 0 LIMIT @PerCallMax", new { PerCallMax }))).AsList();
        var settled = 0;
        foreach (var pool in pending.GroupBy(row => row.PoolId))
        {
            var rows = pool.ToList();
            var arguments = new RedisValue[1 + (rows.Count * 2)];
            arguments[0] = await redis.RunAsync();
            for (var i = 0; i < rows.Count; i++)
            {
                arguments[1 + (i * 2)] = rows[i].UserId;
                arguments[2 + (i * 2)] = rows[i].Id.ToString(CultureInfo.InvariantCulture);
            }

            var letters = (string)(await redis.RunScriptAsync(ReleaseScript, new PoolKeys(pool.Key).Release, arguments))!;
            if (letters is "F" or "M")
            {
                continue;
            }

            await redis.BarrierAsync();
            claims.Refilled(pool.Key);

            var done = rows.Where((_, i) => letters[i] is 'R' or 'D').Select(row => row.Id).ToList();
            await database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync(
                $"UPDATE releases SET returned = 1 WHERE claim_id IN {SqlList.Of("done")}", new { done = SqlList.Json(done) }, transaction));
            settled += done.Count;

            // 'U': Redis does not know a claim that SQL has: it forgot something. After a rebuild it knows the claim as released, and the next round settles it.
            if (done.Count < rows.Count)
            {
                await rebuilder.RebuildAsync(pool.Key);
            }
        }

        return settled;
    }

    [method: Dapper.ExplicitConstructor]
    private sealed record Row(long Id, long PoolId, string UserId, int Units);
}

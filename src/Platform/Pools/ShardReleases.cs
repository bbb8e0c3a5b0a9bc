using System.Data.Common;
using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;

namespace Sluice.Platform.Pools;

/// <summary>A claim that a shard has decided to give back.</summary>
/// <param name="PoolId">The pool, not the lane: the shard does not know lanes.</param>
[method: Dapper.ExplicitConstructor]
public sealed record ShardRelease(long ClaimId, long PoolId, string UserId, long Units);

/// <summary>
/// Brings releases home that were decided at a shard. A row of <c>releases</c> there is written by the transaction that decided it, and waits (<c>returned = 0</c>) until the pool's database has the release too.
/// The main database takes each claim once, by the claim's own state, so a kill between the two only repeats the asking.
/// </summary>
public sealed class ShardReleases(Shards shards, Releases releases, TimeProvider time)
{
    private const int PerRoundMax = 500;

    private readonly BatchInsert insertReleases = new("releases", "claim_id", "pool_id", "user_id", "units", "returned", "released_at");

    /// <summary>Notes releases in the transaction at the shard that decides them.</summary>
    public async Task NoteAsync(DbTransaction transaction, IReadOnlyList<ShardRelease> decided)
    {
        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        var noted = await insertReleases.RunAsync(transaction, decided.Count, (row, column) => column switch
        {
            0 => decided[row].ClaimId,
            1 => decided[row].PoolId,
            2 => decided[row].UserId,
            3 => decided[row].Units,
            4 => 0,
            _ => now,
        });
        if (noted.Count != decided.Count)
        {
            throw new InvalidOperationException($"Of {decided.Count} orders that were pending {decided.Count - noted.Count} had given their units back before.");
        }
    }

    /// <summary>Releases in the main database what a shard has decided, the earliest first. Safe at any moment, any number of processes at once.</summary>
    /// <returns>How many were on their way.</returns>
    /// <exception cref="DependencyUnavailableException">The shard or the main database is away: the next call goes on.</exception>
    public async Task<int> TakeAsync(Shard shard)
    {
        var waiting = (await shard.Database.ReadAsync(connection => connection.QueryAsync<long>(
            "SELECT claim_id FROM releases WHERE returned = 0 ORDER BY pool_id, claim_id LIMIT @PerRoundMax", new { PerRoundMax }))).AsList();
        await TakeAsync(shard, waiting);
        return waiting.Count;
    }

    /// <summary>Releases these in the main database.</summary>
    /// <inheritdoc cref="TakeAsync(Shard)"/>
    public async Task TakeAsync(Shard shard, IReadOnlyList<long> claimIds)
    {
        if (claimIds.Count == 0)
        {
            return;
        }

        // May run again, both: home passes over what it has released, and the mark says what is so.
        await shards.Main.WriteAsync(transaction => releases.ReleaseAsync(transaction, claimIds), LostCommit.RunAgain);
        FaultPoints.Reach("shard.release-taken");
        await shard.Database.WriteAsync(
            transaction => transaction.Connection!.ExecuteAsync("UPDATE releases SET returned = 1 WHERE claim_id IN @claimIds", new { claimIds = SqlList.Of(claimIds) }, transaction), LostCommit.RunAgain);
    }

    /// <summary>Units of a pool that shards have given back and home does not know of yet.</summary>
    /// <exception cref="DependencyUnavailableException">A shard is away.</exception>
    public static async Task<long> UnitsUnderwayAsync(Shards shards, long poolId)
    {
        var units = 0L;
        foreach (var shard in shards.Others)
        {
            units += await shard.Database.ReadAsync(connection => connection.QuerySingleAsync<long>(
                "SELECT COALESCE(SUM(units), 0) FROM releases WHERE returned = 0 AND pool_id = @poolId", new { poolId }));
        }

        return units;
    }
}

using System.Data.Common;
using System.Runtime.InteropServices;
using System.Text.Json.Serialization;
using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using StackExchange.Redis;

namespace Sluice.Platform.Pools;

/// <summary>What an audit says of a pool.</summary>
public enum Verdict
{
    /// <summary>Every check holds, and nothing is on its way.</summary>
    Holds,

    /// <summary>Claims or releases are on their way: ask again in a moment.</summary>
    Settling,

    /// <summary>A check fails.</summary>
    Broken,
}

/// <summary>The audit of one pool; the numbers that its certificate carries.</summary>
/// <param name="CapacityUnits">Units at the start plus adjustments.</param>
/// <param name="SoldUnits">Units of confirmed claims.</param>
/// <param name="HeldUnits">Units of claims that SQL does not have yet.</param>
/// <param name="ReleasedUnits">Units that were claimed and given back.</param>
/// <param name="LeftUnits">Units that nobody has, in Redis or set aside.</param>
/// <param name="QueueDepth">Claims that SQL does not have yet.</param>
/// <param name="AcceptedClaims">Claims in SQL: confirmed and released.</param>
public sealed record AuditResult(
    int Version,
    [property: JsonNumberHandling(JsonNumberHandling.WriteAsString | JsonNumberHandling.AllowReadingFromString)] long PoolId,
    string Title,
    DateTime IssuedAt,
    Verdict Verdict,
    long CapacityUnits,
    long AdjustmentUnits,
    long SoldUnits,
    long HeldUnits,
    long ReleasedUnits,
    long LeftUnits,
    long QueueDepth,
    long DeadLetters,
    long AcceptedClaims,
    long Orders,
    IReadOnlyList<AuditCheck> Checks);

/// <summary>
/// Checks everything that must hold of a pool, in SQL on one snapshot and in Redis. The checks count from the claims themselves, never from a counter that the claim path keeps.
/// Cost: one pass over the pool's claims in SQL and one over its holders in Redis.
/// </summary>
public sealed class PoolAudit(Database database, Shards shards, RedisConnection redis, IEnumerable<IPoolKind> kinds, TimeProvider time)
{
    /// <summary>Audits a pool, or returns null when there is none.</summary>
    /// <exception cref="DependencyUnavailableException">An engine does not answer.</exception>
    public async Task<AuditResult?> RunAsync(long poolId)
    {
        // Which lanes a pool has never changes.
        var known = await database.ReadAsync(connection => RowsAsync(connection, poolId));
        if (!known.Exists(row => row.Id == poolId && row.RootId is null))
        {
            return null;
        }

        var keys = known.FindAll(row => row.Lanes == 1).ConvertAll(lane => new PoolKeys(lane.Id));

        // Redis before and after SQL: if neither the queue nor the units moved in any lane, the two snapshots belong together.
        var before = await Task.WhenAll(keys.Select(LookAsync));
        var sql = await database.ReadAsync(async connection =>
        {
            var rows = await RowsAsync(connection, poolId);
            return rows.Count == 0 ? null : await CountAsync(connection, rows.Find(row => row.Id == poolId)!, rows.FindAll(row => row.Lanes == 1));
        }, ReadFrom.Reader);
        if (sql is null)
        {
            return null;
        }

        // Decided at a shard, and still sold here.
        var underway = await ShardReleases.UnitsUnderwayAsync(shards, poolId);
        long holders = 0;
        foreach (var lane in keys)
        {
            holders += await HoldersAsync(lane);
        }

        var looks = await Task.WhenAll(keys.Select(LookAsync));
        var after = (Left: looks.Sum(look => look.Left), Depth: looks.Sum(look => look.Depth), Dead: looks.Sum(look => look.Dead));
        // A dead letter is a claim on its way too: it has a check of its own, and the two that compare the engines wait for it.
        var settled = before.SequenceEqual(looks) && after is { Depth: 0, Dead: 0 } && !looks.Any(look => look.IsFrozen) && sql.UnreturnedUnits == 0 && underway == 0 &&
            sql.Lanes.TrueForAll(lane => lane is { SoldAsideUnits: 0, TakingUnits: 0 } && (lane.RootId is null || lane.AppliedVersion == lane.Version));
        var (pool, checks) = (sql.Pool, sql.Checks);
        if (settled)
        {
            checks.Add(AuditCheck.Equal(
                "units-balance-in-redis", sql.Lanes.Sum(lane => lane.RedisUnits) - sql.SoldUnits, after.Left, "The units left in Redis are the capacity less what SQL has sold and what is set aside."));
            checks.Add(AuditCheck.Equal("holders-match-sql", sql.SoldUnits, holders, "The users in Redis hold as many units as SQL has sold."));
        }

        checks.Add(AuditCheck.Equal("no-dead-letters", 0, after.Dead, "No accepted claim waits for a person."));
        var verdict = checks.Exists(check => !check.Holds) ? Verdict.Broken : settled ? Verdict.Holds : Verdict.Settling;
        return new AuditResult(
            Version: 1, poolId, pool.Title, time.GetUtcNow().UtcDateTime, verdict, pool.CapacityUnits, sql.AdjustmentUnits, sql.SoldUnits, sql.SoldUnits > holders ? 0 : holders - sql.SoldUnits,
            sql.ReleasedUnits, after.Left + sql.Lanes.Sum(lane => lane.SetAsideUnits - lane.SoldAsideUnits + lane.TakingUnits), after.Depth, after.Dead, sql.AcceptedClaims, sql.Orders, checks);
    }

    // The pool's own row, and those of its lanes.
    private static async Task<List<Pool>> RowsAsync(DbConnection connection, long poolId) =>
        (await connection.QueryAsync<Pool>($"SELECT {Pool.Columns} FROM pools WHERE id = @poolId OR root_id = @poolId ORDER BY id", new { poolId })).AsList();

    private async Task<Counts> CountAsync(DbConnection connection, Pool pool, List<Pool> lanes)
    {
        var ids = lanes.ConvertAll(lane => lane.Id);
        var id = new { id = pool.Id, lanes = SqlList.Of(ids), limit = pool.PerUserLimit, confirmed = ClaimState.Confirmed, released = ClaimState.Released, rejected = ClaimState.Rejected };
        Task<long> Number(string sql) => connection.QuerySingleAsync<long>(sql, id);
        var sold = await Number("SELECT COALESCE(SUM(units), 0) FROM claims WHERE pool_id IN @lanes AND state = @confirmed");
        var released = await Number("SELECT COALESCE(SUM(units), 0) FROM claims WHERE pool_id IN @lanes AND state = @released");
        var adjustments = await Number("SELECT COALESCE(SUM(units), 0) FROM pool_adjustments WHERE pool_id = @id");
        var accepted = await Number("SELECT COUNT(*) FROM claims WHERE pool_id IN @lanes AND state IN (@confirmed, @released)");
        var checks = new List<AuditCheck>
        {
            new("never-above-capacity", sold <= pool.CapacityUnits, pool.CapacityUnits, sold, "No more is sold than there is (found ≤ expected)."),
            AuditCheck.Equal("capacity-explained", pool.InitialUnits + adjustments, pool.CapacityUnits, "The capacity is the stock at the start plus every adjustment."),
            AuditCheck.Equal("units-balance-in-sql", sold, lanes.Sum(lane => lane.ClaimedUnits), "The pool's counter is the sum of its confirmed claims."),
            AuditCheck.Equal(
                "nobody-above-the-limit",
                0,
                await Number("SELECT COUNT(*) FROM (SELECT user_id FROM claims WHERE pool_id IN @lanes AND state = @confirmed GROUP BY user_id HAVING SUM(units) > @limit) u"),
                $"No user holds more than {pool.PerUserLimit}."),
            AuditCheck.Equal(
                "each-release-once",
                await Number("SELECT COUNT(*) FROM claims WHERE pool_id IN @lanes AND state = @released"),
                await Number("SELECT COUNT(*) FROM releases WHERE pool_id IN @lanes"),
                "Each released claim was released once."),
            AuditCheck.Equal(
                "nothing-accepted-was-refused", 0, await Number($"SELECT COUNT(*) FROM claims WHERE pool_id IN @lanes AND state = @rejected AND reason <> '{ClaimWriter.AskedAgain}'"),
                "SQL refused no claim that was accepted, except where its user asked again and has the other one."),
        };
        if (pool.Lanes > 1)
        {
            checks.Add(AuditCheck.Equal("lanes-add-up", pool.CapacityUnits, lanes.Sum(lane => lane.CapacityUnits), "The lanes together have the pool's capacity, no more and no less."));
            checks.Add(AuditCheck.Equal(
                "lanes-explained", 0, await Number(
                    "SELECT COUNT(*) FROM pools p WHERE p.root_id = @id AND p.capacity_units <> p.initial_units + (SELECT COALESCE(SUM(a.units), 0) FROM pool_adjustments a WHERE a.pool_id = p.id)"),
                "What each lane has is its share of the stock and of the adjustments, plus and minus every move between lanes."));
            checks.Add(new(
                "no-lane-above-its-capacity", lanes.TrueForAll(lane => lane.ClaimedUnits <= lane.CapacityUnits), 0, lanes.Count(lane => lane.ClaimedUnits > lane.CapacityUnits),
                "No lane has sold more than it had."));
        }

        // Never a verdict without the checks of the module.
        var kind = kinds.FirstOrDefault(kind => kind.Kind == pool.Kind) ?? throw new ProblemException(new Problem(
            421, "other-node", "Not this node", $"This node does not run the module of a {pool.Kind}. Ask a node that does (setting Modules)."));
        var own = await kind.AuditAsync(connection, pool.Id, ids);
        checks.AddRange(own);
        var orders = kind.MakesOrders && own.Count > 0 ? own[0].Found : 0;

        var unreturned = await Number("SELECT COALESCE(SUM(units), 0) FROM releases WHERE pool_id IN @lanes AND returned = 0");
        return new Counts(pool, lanes, sold, released, adjustments, accepted, unreturned, orders, checks);
    }

    private async Task<Look> LookAsync(PoolKeys keys)
    {
        var left = redis.GuardAsync(keys.Left, db => db.StringGetAsync(keys.Left));
        var depth = redis.GuardAsync(keys.Log, db => db.ListLengthAsync(keys.Log));
        var dead = redis.GuardAsync(keys.Dead, db => db.ListLengthAsync(keys.Dead));
        var meta = await redis.GuardAsync(keys.Meta, db => db.HashGetAsync(keys.Meta, ["frozen", "refills", "run"]));
        return new Look((long)await left, await depth, await dead, !meta[0].IsNullOrEmpty || meta[2].IsNull, (long)meta[1]);
    }

    private async Task<long> HoldersAsync(PoolKeys keys)
    {
        try
        {
            long units = 0;
            await foreach (var user in redis.DbOf(keys.Holders).HashScanAsync(keys.Holders, pageSize: 2_000))
            {
                units += ClaimEntry.FromHolder(user.Value.ToString()).Where(claim => !claim.Released).Sum(claim => (long)claim.Units);
            }

            return units;
        }
        catch (Exception e) when (e is RedisConnectionException or RedisTimeoutException)
        {
            throw new DependencyUnavailableException("redis", e.Message, e);
        }
    }

    private sealed record Counts(
        Pool Pool, List<Pool> Lanes, long SoldUnits, long ReleasedUnits, long AdjustmentUnits, long AcceptedClaims, long UnreturnedUnits, long Orders, List<AuditCheck> Checks);

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Look(long Left, long Depth, long Dead, bool IsFrozen, long Refills);
}

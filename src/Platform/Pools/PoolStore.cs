using System.Data.Common;
using System.Globalization;
using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;

namespace Sluice.Platform.Pools;

/// <summary>
/// Pools in SQL, and the way their settings reach Redis: SQL first (version + 1), then Configure.lua, then <c>applied_version</c>.
/// A crash in between is finished by <see cref="ApplyPendingAsync"/>.
/// </summary>
public sealed class PoolStore(Database database, RedisConnection redis, PoolRebuilder rebuilder, ClaimIds ids, TimeProvider time)
{
    /// <summary>Lanes that a pool may have.</summary>
    public const int LanesMax = 64;

    private const int ApplyTriesMax = 20;

    // Ids that are tried for a lane before it is put wherever it falls.
    private const int LaneIdTriesMax = 100;

    private static readonly TimeSpan ApplyPause = TimeSpan.FromMilliseconds(50);

    private static readonly RedisScript ConfigureScript = RedisScript.Load("Configure.lua");

    /// <summary>Adds a pool in the caller's transaction. It takes no claims until <see cref="ApplyAsync"/> has brought it to Redis.</summary>
    /// <param name="setAsideUnits">Of the units, those that SQL sells should Redis be away, 0 – <paramref name="units"/>. Not with lanes.</param>
    /// <param name="lanes">1 – <see cref="LanesMax"/>. More than one where a single Redis server would not keep up with this pool alone.</param>
    public async Task<Pool> CreateAsync(
        DbTransaction transaction, long id, string kind, string title, long units, long perUserLimit, Gate gate, DateTimeOffset? opensAt, DateTimeOffset? closesAt, long setAsideUnits = 0, int lanes = 1)
    {
        if (lanes > 1 && setAsideUnits > 0)
        {
            throw new ArgumentException("Nothing can be set aside of a pool with several lanes.", nameof(setAsideUnits));
        }

        var pool = new Pool(
            id, kind, title, units, units, 0, perUserLimit, gate, opensAt?.ToUnixTimeMilliseconds(), closesAt?.ToUnixTimeMilliseconds(),
            Version: 1, AppliedVersion: 0, Generation: 0, time.GetUtcNow().ToUnixTimeMilliseconds(), setAsideUnits, SoldAsideUnits: 0, TakingUnits: 0, lanes, RootId: null, TakingFor: null);
        List<Pool> rows = [pool];
        for (var lane = 0; lane < lanes && lanes > 1; lane++)
        {
            var share = ShareOf(units, lane, lanes);
            rows.Add(pool with { Id = NewLaneId(id, lane), InitialUnits = share, CapacityUnits = share, Lanes = 1, RootId = id });
        }

        await transaction.Connection!.ExecuteAsync(
            "INSERT INTO pools (id, kind, title, initial_units, capacity_units, claimed_units, per_user_limit, gate, opens_at, closes_at, version, applied_version, created_at, set_aside_units, lanes, root_id) " +
            "VALUES (@Id, @Kind, @Title, @InitialUnits, @CapacityUnits, 0, @PerUserLimit, @Gate, @OpensAt, @ClosesAt, @Version, @AppliedVersion, @CreatedAt, @SetAsideUnits, @Lanes, @RootId)",
            rows,
            transaction);
        return pool;
    }

    /// <summary>The pool, or the lane, or null.</summary>
    public Task<Pool?> FindAsync(long id) => database.ReadAsync(connection =>
        connection.QuerySingleOrDefaultAsync<Pool?>($"SELECT {Pool.Columns} FROM pools WHERE id = @id", new { id }));

    /// <summary>These pools, those that exist.</summary>
    public Task<IReadOnlyList<Pool>> FindAsync(IReadOnlyCollection<long> poolIds) => database.ReadAsync<IReadOnlyList<Pool>>(async connection =>
        [.. await connection.QueryAsync<Pool>($"SELECT {Pool.Columns} FROM pools WHERE id IN @poolIds", new { poolIds = SqlList.Of(poolIds) })]);

    /// <summary>What is claimed from of each of these pools: its lanes, in their order, or the pool itself. Pools that do not exist are left out.</summary>
    public async Task<ILookup<long, Pool>> LanesAsync(IReadOnlyCollection<long> poolIds) => (await database.ReadAsync(connection => connection.QueryAsync<Pool>(
        $"SELECT {Pool.Columns} FROM pools WHERE lanes = 1 AND (id IN @poolIds OR root_id IN @poolIds) ORDER BY id", new { poolIds = SqlList.Of(poolIds) }))).ToLookup(lane => lane.RootId ?? lane.Id);

    /// <summary>Pools, newest first, without their lanes.</summary>
    /// <param name="before">Only those with a smaller id.</param>
    public Task<IReadOnlyList<Pool>> ListAsync(int poolsMax, long before = long.MaxValue) => database.ReadAsync<IReadOnlyList<Pool>>(async connection =>
        [.. await connection.QueryAsync<Pool>($"SELECT {Pool.Columns} FROM pools WHERE root_id IS NULL AND id < @before ORDER BY id DESC LIMIT @poolsMax", new { poolsMax, before })]);

    /// <summary>
    /// Sets the gate in the caller's transaction. Closed is for good.
    /// </summary>
    /// <param name="opensAt">The new opening time, or null to leave it.</param>
    /// <returns>False when the pool is closed already and should become anything else.</returns>
    public static async Task<bool> SetGateAsync(DbTransaction transaction, long id, Gate gate, DateTimeOffset? opensAt = null) =>
        await transaction.Connection!.ExecuteAsync(
            "UPDATE pools SET gate = @gate, opens_at = COALESCE(@opensAt, opens_at), version = version + 1 WHERE (id = @id OR root_id = @id) AND (gate <> @closed OR @gate = @closed)",
            new { id, gate, opensAt = opensAt?.ToUnixTimeMilliseconds(), closed = Gate.Closed },
            transaction) > 0;

    /// <summary>An operator's hand at the gate of a pool that there is, committed; <see cref="ApplyAsync"/> brings it to Redis. Opening means now: a time in the future, or none, becomes this moment. After a pause the time in the past stays.</summary>
    /// <returns>False when the pool is closed for good, or its time is over and it should open.</returns>
    /// <exception cref="DependencyUnavailableException">Not run again by itself when its commit got lost: another operator may have turned the gate since. This one sees what there is, and presses again.</exception>
    public async Task<bool> TurnGateAsync(long id, Gate gate)
    {
        var pool = await FindAsync(id) ?? throw new InvalidOperationException($"There is no pool {id}.");
        var now = time.GetUtcNow();
        DateTimeOffset? opensAt = gate == Gate.Open && !(pool.OpensAt <= now.ToUnixTimeMilliseconds()) ? now : null;
        return !(gate == Gate.Open && pool.ClosesAt <= now.ToUnixTimeMilliseconds()) && await database.WriteAsync(transaction => SetGateAsync(transaction, id, gate, opensAt));
    }

    /// <summary>Adds units in the caller's transaction, with a ledger row; to each lane its share.</summary>
    /// <returns>False when the pool is closed.</returns>
    public async Task<bool> AddUnitsAsync(DbTransaction transaction, long id, long adjustmentId, long units)
    {
        if (!await AddAsync(transaction, id, adjustmentId, units))
        {
            return false;
        }

        var lanes = (await transaction.Connection!.QueryAsync<long>("SELECT id FROM pools WHERE root_id = @id ORDER BY id", new { id }, transaction)).AsList();
        for (var lane = 0; lane < lanes.Count; lane++)
        {
            if (ShareOf(units, lane, lanes.Count) is > 0 and var share)
            {
                await AddAsync(transaction, lanes[lane], NewId(id), share);
            }
        }

        return true;
    }

    private async Task<bool> AddAsync(DbTransaction transaction, long id, long adjustmentId, long units)
    {
        var changed = await transaction.Connection!.ExecuteAsync(
            "UPDATE pools SET capacity_units = capacity_units + @units, version = version + 1 WHERE id = @id AND gate <> @closed",
            new { id, units, closed = Gate.Closed },
            transaction);
        if (changed == 0)
        {
            return false;
        }

        await WriteAdjustmentAsync(transaction, id, adjustmentId, units);
        return true;
    }

    private Task<int> WriteAdjustmentAsync(DbTransaction transaction, long id, long adjustmentId, long units) => transaction.Connection!.ExecuteAsync(
        "INSERT INTO pool_adjustments (id, pool_id, units, created_at) VALUES (@adjustmentId, @id, @units, @now)",
        new { adjustmentId, id, units, now = time.GetUtcNow().ToUnixTimeMilliseconds() },
        transaction);

    /// <summary>
    /// Gives what is still set aside to Redis, for a pool that has not much else left: the last units are sold where everybody asks. SQL gives up first; <see cref="ApplyPendingAsync"/> brings it to Redis.
    /// A crash in between hides the units until then, and never doubles them.
    /// </summary>
    /// <returns>False when SQL has sold of them since the last rebuild, which has to come first.</returns>
    public Task<bool> GiveSetAsideAsync(long id) => database.WriteAsync(
        async transaction => await transaction.Connection!.ExecuteAsync(
            "UPDATE pools SET set_aside_units = 0, version = version + 1 WHERE id = @id AND set_aside_units > 0 AND sold_aside_units = 0", new { id }, transaction) == 1,
        LostCommit.RunAgain);

    /// <summary>
    /// Sets how many units SQL may sell should Redis be away, beside those that it has sold. Fewer: SQL gives up first, then Redis gets them. More: Redis gives up first.
    /// A crash in between hides units until <see cref="PoolKeeper"/> has finished it, and never doubles them. Idempotent.
    /// </summary>
    /// <param name="units">≥ 0. Not above what Redis then has left itself: these would be given back at once (<see cref="GiveSetAsideAsync"/>).</param>
    /// <returns>The pool as it is now; <see cref="Pool.SetAsideUnits"/> less <see cref="Pool.SoldAsideUnits"/> is something else than <paramref name="units"/> where Redis has not that many left, or the pool is closed.</returns>
    /// <exception cref="DependencyUnavailableException">Redis or SQL is away. Fewer are set aside all the same, and Redis gets them when it is back; more are not.</exception>
    public async Task<Pool> SetAsideAsync(long id, long units)
    {
        var pool = await FindAsync(id) ?? throw new InvalidOperationException($"There is no pool {id}.");
        if (pool.TakingUnits > 0)
        {
            // Somebody died over it, or is at it this moment: either way it can be finished here.
            await ApplyAsync(id);
            await FinishTakingAsync(id);
            pool = (await FindAsync(id))!;
        }

        var more = units - (pool.SetAsideUnits - pool.SoldAsideUnits);
        if (more == 0 || pool.Gate == Gate.Closed || (more > 0 && (await LeftAsync(id) ?? 0) < more + units))
        {
            return pool;
        }

        // What is being taken (step 1) is nobody's until Redis has given it up (step 2: Configure.lua, with the version) and SQL has written that down (step 3). Step 3 changes nothing that Redis knows.
        // Not run again when its commit got lost: SQL may have sold of it since. Whoever asked asks again.
        var changed = await database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync(
            more > 0
                ? "UPDATE pools SET taking_units = @more, version = version + 1 WHERE id = @id AND version = @Version AND taking_units = 0 AND sold_aside_units = @SoldAsideUnits"
                : "UPDATE pools SET set_aside_units = set_aside_units + @more, version = version + 1 WHERE id = @id AND version = @Version AND taking_units = 0 AND sold_aside_units = @SoldAsideUnits",
            new { id, more, pool.Version, pool.SoldAsideUnits },
            transaction));
        if (changed != 1)
        {
            throw new DependencyUnavailableException("sql", $"pool {id} was changed by somebody else this moment; ask again.");
        }

        FaultPoints.Reach("aside.wanted");
        await ApplyAsync(id);
        FaultPoints.Reach("aside.taken");
        await FinishTakingAsync(id);
        return (await FindAsync(id))!;
    }

    /// <summary>
    /// Moves units that nobody has from one lane of a pool to another, in the steps of <see cref="SetAsideAsync"/>: SQL notes what is to be taken, Redis gives it up, SQL writes both lanes in one transaction, Redis gets it.
    /// A crash in between hides the units until <see cref="PoolKeeper"/> has finished it, and never doubles them. Nothing is moved where somebody else changes the lane this moment, or its units are sold by now.
    /// </summary>
    /// <exception cref="DependencyUnavailableException">Redis or SQL is away.</exception>
    internal async Task MoveAsync(Pool from, long to, long units)
    {
        // Not run again when its commit got lost: somebody else may have changed the lane since. Whoever needs the units looks again.
        var wanted = await database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync(
            "UPDATE pools SET taking_units = @units, taking_for = @to, version = version + 1 WHERE id = @Id AND version = @Version AND taking_units = 0", new { from.Id, from.Version, to, units }, transaction));
        if (wanted == 1)
        {
            FaultPoints.Reach("lane.wanted");
            await ApplyAsync(from.Id);
            FaultPoints.Reach("lane.taken");
            await FinishTakingAsync(from.Id);
            FaultPoints.Reach("lane.given");
            await ApplyAsync(to);
        }
    }

    /// <summary>Sets aside what Redis has given up for that, or gives it to the lane that it is for: known by the version, which Redis has with these units already taken from its share. Without Redis.</summary>
    /// <param name="id">A pool, or null: all.</param>
    /// <returns>How many pools.</returns>
    public Task<int> FinishTakingAsync(long? id = null) => database.WriteAsync(
        async transaction =>
        {
            var taken = (await transaction.Connection!.QueryAsync<(long Id, long For, long Units)>(
                "SELECT id, taking_for, taking_units FROM pools WHERE taking_units > 0 AND taking_for IS NOT NULL AND applied_version = version AND (@id IS NULL OR id = @id)", new { id }, transaction)).AsList();
            var finished = 0;
            foreach (var move in taken)
            {
                finished += await FinishMoveAsync(transaction, move.Id, move.For, move.Units) ? 1 : 0;
            }

            return finished + await transaction.Connection!.ExecuteAsync(
                "UPDATE pools SET set_aside_units = set_aside_units + taking_units, taking_units = 0 " +
                "WHERE taking_units > 0 AND taking_for IS NULL AND applied_version = version AND (@id IS NULL OR id = @id)",
                new { id },
                transaction);
        },
        LostCommit.RunAgain);

    // Both lanes or none. That the one has less changes nothing that Redis knows of it; that the other has more is a setting of a new version.
    private async Task<bool> FinishMoveAsync(DbTransaction transaction, long from, long to, long units)
    {
        await LockAsync(transaction, [from, to]);
        var finished = await transaction.Connection!.ExecuteAsync(
            "UPDATE pools SET capacity_units = capacity_units - @units, taking_units = 0, taking_for = NULL WHERE id = @from AND taking_for = @to AND taking_units = @units AND applied_version = version",
            new { from, to, units },
            transaction);
        if (finished != 1)
        {
            return false;
        }

        await transaction.Connection!.ExecuteAsync("UPDATE pools SET capacity_units = capacity_units + @units, version = version + 1 WHERE id = @to", new { to, units }, transaction);
        await WriteAdjustmentAsync(transaction, from, NewId(from), -units);
        await WriteAdjustmentAsync(transaction, to, NewId(to), units);
        return true;
    }

    /// <summary>Units left in Redis, or null where it does not know the pool.</summary>
    public async Task<long?> LeftAsync(long id)
    {
        var left = new PoolKeys(id).Left;
        return (long?)await redis.GuardAsync(left, db => db.StringGetAsync(left));
    }

    /// <summary>Brings Redis to the settings in SQL, in every lane. Idempotent; answers when claims see them.</summary>
    /// <exception cref="DependencyUnavailableException">Not now; <see cref="ApplyPendingAsync"/> will.</exception>
    public async Task ApplyAsync(long id)
    {
        var pool = await FindAsync(id) ?? throw new InvalidOperationException($"There is no pool {id}.");
        if (pool.Lanes > 1)
        {
            await redis.EachAsync((await LanesAsync([id]))[id], lane => new PoolKeys(lane.Id).Meta, lane => ApplyAsync(lane.Id));
            return;
        }

        var keys = new PoolKeys(id);
        for (var tries = 1; ; tries++)
        {
            var answer = (string?)await redis.RunScriptAsync(ConfigureScript, keys.Configure, [
                await redis.RunAsync(keys.Meta), pool.Version, GateName(pool.Gate), Optional(pool.OpensAt), Optional(pool.ClosesAt), pool.PerUserLimit, pool.RedisUnits - pool.TakingUnits]);
            if (answer == "L" && tries < ApplyTriesMax)
            {
                // Sold meanwhile: nothing is taken. Only this want is given up, not one that came since.
                await database.WriteAsync(
                    transaction => transaction.Connection!.ExecuteAsync(
                        "UPDATE pools SET taking_units = 0, taking_for = NULL, version = version + 1 WHERE id = @id AND version = @Version AND taking_units > 0", new { id, pool.Version }, transaction),
                    LostCommit.RunAgain);
                pool = await FindAsync(id) ?? pool;
                continue;
            }

            if (answer is "A" or "O" || await (answer == "M" ? rebuilder.RebuildAsync(id) : rebuilder.TakeOverAsync(id)) is not null)
            {
                break;
            }

            // Somebody else rebuilds it, perhaps with the settings of before. It takes a moment; then they are applied on top.
            if (tries == ApplyTriesMax)
            {
                throw new DependencyUnavailableException("redis", $"pool {id} is being rebuilt.");
            }

            await Task.Delay(ApplyPause, time);
        }

        await redis.BarrierAsync();

        // May run again: it says what is so.
        await database.WriteAsync(
            transaction => transaction.Connection!.ExecuteAsync(
                "UPDATE pools SET applied_version = @version WHERE id = @id AND applied_version < @version", new { id, version = pool.Version }, transaction),
            LostCommit.RunAgain);
    }

    /// <summary>Applies what a crash or an outage left between SQL and Redis.</summary>
    /// <returns>How many pools were behind.</returns>
    public async Task<int> ApplyPendingAsync()
    {
        var behind = await database.ReadAsync(connection => connection.QueryAsync<long>("SELECT id FROM pools WHERE applied_version < version AND lanes = 1 LIMIT 100"));
        var count = 0;
        await redis.EachAsync(behind, id => new PoolKeys(id).Meta, async id =>
        {
            await ApplyAsync(id);
            count++;
        });

        return count;
    }

    /// <summary>Locks pools, from the lowest id on: whoever changes claims of a pool does it alone. SQLite's writer is alone anyway.</summary>
    internal static Task<IEnumerable<long>> LockAsync(DbTransaction transaction, IEnumerable<long> ids) => transaction.Connection!.QueryAsync<long>(
        $"SELECT id FROM pools WHERE id IN @ids ORDER BY id{Dialect.ForUpdate(transaction)}", new { ids = SqlList.Of(ids) }, transaction);

    // Evenly, the first ones one more.
    private static long ShareOf(long units, int lane, int lanes) => (units / lanes) + (lane < units % lanes ? 1 : 0);

    private long NewId(long of) => ids.Next(of.ToString(CultureInfo.InvariantCulture));

    // The lanes in turn on all primaries: what one server would not carry is why there are several.
    private long NewLaneId(long poolId, int lane)
    {
        var id = NewId(poolId);
        for (var tries = 1; tries < LaneIdTriesMax && redis.ServerOf(new PoolKeys(id).Meta) is var (server, servers) && server != lane % servers; tries++)
        {
            id = NewId(poolId);
        }

        return id;
    }

    internal static string GateName(Gate gate) => gate switch
    {
        Gate.Draft => "draft",
        Gate.Open => "open",
        Gate.Paused => "paused",
        Gate.Closed => "closed",
    };

    internal static StackExchange.Redis.RedisValue Optional(long? value) => value is { } number ? number : "";
}

using System.Data.Common;
using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;

namespace Sluice.Platform.Pools;

/// <summary>
/// Pools in SQL, and the way their settings reach Redis: SQL first (version + 1), then Configure.lua, then <c>applied_version</c>.
/// A crash in between is finished by <see cref="ApplyPendingAsync"/>.
/// </summary>
public sealed class PoolStore(Database database, RedisConnection redis, PoolRebuilder rebuilder, TimeProvider time)
{
    private const int ApplyTriesMax = 20;

    private static readonly TimeSpan ApplyPause = TimeSpan.FromMilliseconds(50);

    private static readonly RedisScript ConfigureScript = RedisScript.Load("Configure.lua");

    /// <summary>Adds a pool in the caller's transaction. It takes no claims until <see cref="ApplyAsync"/> has brought it to Redis.</summary>
    public async Task<Pool> CreateAsync(
        DbTransaction transaction, long id, string kind, string title, long units, long perUserLimit, Gate gate, DateTimeOffset? opensAt, DateTimeOffset? closesAt)
    {
        var pool = new Pool(
            id, kind, title, units, units, 0, perUserLimit, gate, opensAt?.ToUnixTimeMilliseconds(), closesAt?.ToUnixTimeMilliseconds(),
            Version: 1, AppliedVersion: 0, Generation: 0, time.GetUtcNow().ToUnixTimeMilliseconds());
        await transaction.Connection!.ExecuteAsync(
            "INSERT INTO pools (id, kind, title, initial_units, capacity_units, claimed_units, per_user_limit, gate, opens_at, closes_at, version, applied_version, created_at) " +
            "VALUES (@Id, @Kind, @Title, @InitialUnits, @CapacityUnits, 0, @PerUserLimit, @Gate, @OpensAt, @ClosesAt, @Version, @AppliedVersion, @CreatedAt)",
            pool,
            transaction);
        return pool;
    }

    /// <summary>The pool, or null.</summary>
    public Task<Pool?> FindAsync(long id) => database.ReadAsync(connection =>
        connection.QuerySingleOrDefaultAsync<Pool?>($"SELECT {Pool.Columns} FROM pools WHERE id = @id", new { id }));

    /// <summary>Every pool, newest first.</summary>
    public Task<IReadOnlyList<Pool>> ListAsync(int poolsMax) => database.ReadAsync<IReadOnlyList<Pool>>(async connection =>
        [.. await connection.QueryAsync<Pool>($"SELECT {Pool.Columns} FROM pools ORDER BY id DESC LIMIT @poolsMax", new { poolsMax })]);

    /// <summary>
    /// Sets the gate in the caller's transaction. Closed is for good.
    /// </summary>
    /// <param name="opensAt">The new opening time, or null to leave it.</param>
    /// <returns>False when the pool is closed already and should become anything else.</returns>
    public static async Task<bool> SetGateAsync(DbTransaction transaction, long id, Gate gate, DateTimeOffset? opensAt = null) =>
        await transaction.Connection!.ExecuteAsync(
            "UPDATE pools SET gate = @gate, opens_at = COALESCE(@opensAt, opens_at), version = version + 1 WHERE id = @id AND (gate <> @closed OR @gate = @closed)",
            new { id, gate, opensAt = opensAt?.ToUnixTimeMilliseconds(), closed = Gate.Closed },
            transaction) == 1;

    /// <summary>Adds units in the caller's transaction, with a ledger row.</summary>
    /// <returns>False when the pool is closed.</returns>
    public async Task<bool> AddUnitsAsync(DbTransaction transaction, long id, long adjustmentId, long units)
    {
        var changed = await transaction.Connection!.ExecuteAsync(
            "UPDATE pools SET capacity_units = capacity_units + @units, version = version + 1 WHERE id = @id AND gate <> @closed",
            new { id, units, closed = Gate.Closed },
            transaction);
        if (changed == 0)
        {
            return false;
        }

        await transaction.Connection!.ExecuteAsync(
            "INSERT INTO pool_adjustments (id, pool_id, units, created_at) VALUES (@adjustmentId, @id, @units, @now)",
            new { adjustmentId, id, units, now = time.GetUtcNow().ToUnixTimeMilliseconds() },
            transaction);
        return true;
    }

    /// <summary>Brings Redis to the settings in SQL. Idempotent; answers when claims see them.</summary>
    /// <exception cref="DependencyUnavailableException">Not now; <see cref="ApplyPendingAsync"/> will.</exception>
    public async Task ApplyAsync(long id)
    {
        var pool = await FindAsync(id) ?? throw new InvalidOperationException($"There is no pool {id}.");
        var keys = new PoolKeys(id);
        for (var tries = 1; ; tries++)
        {
            var answer = (string?)await redis.RunScriptAsync(ConfigureScript, keys.Configure, [
                await redis.RunAsync(keys.Meta), pool.Version, GateName(pool.Gate), Optional(pool.OpensAt), Optional(pool.ClosesAt), pool.PerUserLimit, pool.CapacityUnits]);
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
        var behind = await database.ReadAsync(connection => connection.QueryAsync<long>("SELECT id FROM pools WHERE applied_version < version LIMIT 100"));
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

    internal static string GateName(Gate gate) => gate switch
    {
        Gate.Draft => "draft",
        Gate.Open => "open",
        Gate.Paused => "paused",
        Gate.Closed => "closed",
    };

    internal static StackExchange.Redis.RedisValue Optional(long? value) => value is { } number ? number : "";
}

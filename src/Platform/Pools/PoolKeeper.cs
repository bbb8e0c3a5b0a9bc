using Dapper;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;

namespace Sluice.Platform.Pools;

/// <summary>
/// Keeps Redis and SQL together: rebuilds every pool that Redis does not have in this life of its own (after a crash, a restart, a flush),
/// applies settings and returns units that a crash left between the two.
/// </summary>
public sealed partial class PoolKeeper(
    Database database, RedisConnection redis, PoolRebuilder rebuilder, PoolStore pools, Lanes lanes, Releases releases, ClaimIds ids, TimeProvider time, ILogger<PoolKeeper> log)
    : BackgroundService
{
    // A fold is a rebuild: not more often than this of all, should a node that is cut off from Redis go on selling through SQL.
    private static readonly TimeSpan Round = TimeSpan.FromMilliseconds(500), AllPoolsRound = TimeSpan.FromSeconds(10), FoldRound = TimeSpan.FromSeconds(2);

    // Of more pools than this a part in each round. A claim that meets a pool that is lost has it rebuilt itself.
    private const int PoolsPerRound = 64;

    private volatile bool ready;
    private string? knownLives;
    private long allLookedAt, foldedAt;
    private int lookedAtTo;

    /// <summary>True once every pool has been brought up after the start.</summary>
    public bool IsReady => ready;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await Task.Yield();
        while (!stoppingToken.IsCancellationRequested)
        {
            var idle = true;
            try
            {
                if (!ready)
                {
                    await StartIdsAsync();
                }

                // Each whatever became of the one before: of several servers one may be away, and what is on the others goes on.
                DependencyUnavailableException? first = null;
                ready |= await TryAsync(RebuildStrangersAsync);
                await TryAsync(FoldAsync);
                await TryAsync(GiveLastUnitsAsync);
                await TryAsync(lanes.LevelAsync);
                idle = await TryAsync(pools.ApplyPendingAsync) + await TryAsync(releases.ReturnPendingAsync) + await TryAsync(FinishTakingAsync) == 0;
                if (first is not null)
                {
                    LogFailed(log, null, first.Message);
                }

                async Task<T?> TryAsync<T>(Func<Task<T>> step)
                {
                    try
                    {
                        return await step();
                    }
                    catch (DependencyUnavailableException e)
                    {
                        first ??= e;
                        return default;
                    }
                }
            }
            catch (Exception e)
            {
                // The edge of the process: an engine is away. The next round goes on where this one stopped.
                LogFailed(log, e is DependencyUnavailableException ? null : e, e.Message);
            }

            if (idle)
            {
                await Task.Delay(Round, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    // A pool whose "run" is not the server's own was last seen in another life of it: nothing in it is trusted.
    // Pools that can sell are looked at every round, the rest at the start, in a new life of the server, and now and then.
    // False while another process is still at one of them.
    private async Task<bool> RebuildStrangersAsync()
    {
        var lives = redis.Lives;
        var all = lives != knownLives || time.GetElapsedTime(allLookedAt) > AllPoolsRound;
        var pools = (await database.ReadAsync(connection => connection.QueryAsync<long>(
            "SELECT id FROM pools WHERE lanes = 1 AND (@all OR gate <> @closed) ORDER BY id", new { all, closed = Gate.Closed }))).AsList();
        if (!all && pools.Count > PoolsPerRound)
        {
            var from = lookedAtTo < pools.Count ? lookedAtTo : 0;
            lookedAtTo = from + PoolsPerRound;
            pools = pools.GetRange(from, Math.Min(PoolsPerRound, pools.Count - from));
        }

        var asked = pools.ConvertAll(id =>
        {
            var key = new PoolKeys(id).Meta;
            return (Id: id, Key: key, Meta: redis.GuardAsync(key, db => db.HashGetAsync(key, ["run", "frozen"])));
        });
        var complete = true;
        await redis.EachAsync(asked, pool => pool.Key, async pool =>
        {
            var known = await pool.Meta;
            if (known[0] != await redis.RunAsync(pool.Key))
            {
                complete &= await rebuilder.RebuildAsync(pool.Id) is not null;
            }
            else if (!known[1].IsNullOrEmpty)
            {
                // Frozen in this life: somebody is rebuilding it, or began to and died; the freeze itself tells the two apart.
                complete &= await rebuilder.TakeOverAsync(pool.Id) is not null;
            }
        });
        if (all && complete)
        {
            (knownLives, allLookedAt) = (lives, time.GetTimestamp());
        }

        return complete;
    }

    /// <summary>Pools of which SQL has sold, closed ones too: a rebuild makes these units known to Redis, so that limits and keys count there. In a new life of the server that was done already.</summary>
    internal async Task<int> FoldAsync()
    {
        if (foldedAt != 0 && time.GetElapsedTime(foldedAt) < FoldRound)
        {
            return 0;
        }

        var sold = (await database.ReadAsync(connection => connection.QueryAsync<long>("SELECT id FROM pools WHERE sold_aside_units > 0 LIMIT 100"))).AsList();
        foldedAt = sold.Count > 0 ? time.GetTimestamp() : 0;
        await redis.EachAsync(sold, id => new PoolKeys(id).Meta, rebuilder.RebuildAsync);
        return sold.Count;
    }

    // What Redis has given up and a crash kept from being set aside.
    private async Task<int> FinishTakingAsync() =>
        await database.ReadAsync(connection => connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM pools WHERE taking_units > 0 AND applied_version = version")) > 0 ? await pools.FinishTakingAsync() : 0;

    // What is set aside is of use as long as there is a rush to go on without Redis. When Redis has less than that itself, it gets it.
    private async Task<int> GiveLastUnitsAsync()
    {
        var setAside = await database.ReadAsync(connection => connection.QueryAsync<(long Id, long Units)>(
            "SELECT id, set_aside_units FROM pools WHERE gate = @open AND set_aside_units > 0 AND sold_aside_units = 0", new { open = Gate.Open }));
        var given = 0;
        await redis.EachAsync(setAside, pool => new PoolKeys(pool.Id).Meta, async pool =>
        {
            if (await pools.LeftAsync(pool.Id) < pool.Units)
            {
                given += await pools.GiveSetAsideAsync(pool.Id) ? 1 : 0;
            }
        });
        return given;
    }

    // Should the clock have been set back while this node was down, no id is given out twice.
    private async Task StartIdsAsync()
    {
        var (newestPool, newestClaim) = await database.ReadAsync(connection => connection.QuerySingleAsync<(long, long)>(
            "SELECT COALESCE((SELECT MAX(id) FROM pools), 0), COALESCE((SELECT MAX(id) FROM claims), 0)"));
        ids.StartAfter(Math.Max(newestPool, newestClaim));
        foreach (var id in await database.ReadAsync(connection => connection.QueryAsync<long>("SELECT id FROM pools WHERE lanes = 1 AND gate <> @closed", new { closed = Gate.Closed })))
        {
            var queue = new PoolKeys(id).Log;
            if (ClaimEntry.TryFromQueue(id, await redis.GuardAsync(queue, db => db.ListGetByIndexAsync(queue, -1)), out var newest))
            {
                ids.StartAfter(newest.Id);
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Keeping pools in step failed, trying again: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, string says);
}

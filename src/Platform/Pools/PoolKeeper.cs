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
    Database database, RedisConnection redis, PoolRebuilder rebuilder, PoolStore pools, Releases releases, ClaimIds ids, TimeProvider time, ILogger<PoolKeeper> log)
    : BackgroundService
{
    private static readonly TimeSpan Round = TimeSpan.FromMilliseconds(500), AllPoolsRound = TimeSpan.FromSeconds(10);

    private volatile bool ready;
    private string? knownLives;
    private long allLookedAt;

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
                ready |= await TryAsync(RebuildStrangersAsync);
                idle = await TryAsync(pools.ApplyPendingAsync) + await TryAsync(releases.ReturnPendingAsync) == 0;
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

    private async Task<T?> TryAsync<T>(Func<Task<T>> step)
    {
        try
        {
            return await step();
        }
        catch (DependencyUnavailableException e)
        {
            LogFailed(log, null, e.Message);
            return default;
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
            "SELECT id FROM pools WHERE @all OR gate <> @closed", new { all, closed = Gate.Closed }))).AsList();
        var asked = pools.ConvertAll(id => (Id: id, Keys: new PoolKeys(id), Meta: redis.GuardAsync(new PoolKeys(id).Meta, db => db.HashGetAsync(new PoolKeys(id).Meta, ["run", "frozen"]))));
        var complete = true;
        await redis.EachAsync(asked, pool => pool.Keys.Meta, async pool =>
        {
            var known = await pool.Meta;
            if (known[0] != await redis.RunAsync(pool.Keys.Meta))
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

    // Should the clock have been set back while this node was down, no id is given out twice.
    private async Task StartIdsAsync()
    {
        var (newestPool, newestClaim) = await database.ReadAsync(connection => connection.QuerySingleAsync<(long, long)>(
            "SELECT COALESCE((SELECT MAX(id) FROM pools), 0), COALESCE((SELECT MAX(id) FROM claims), 0)"));
        ids.StartAfter(Math.Max(newestPool, newestClaim));
        foreach (var id in await database.ReadAsync(connection => connection.QueryAsync<long>("SELECT id FROM pools WHERE gate <> @closed", new { closed = Gate.Closed })))
        {
            if (ClaimEntry.TryFromQueue(id, await redis.GuardAsync(new PoolKeys(id).Log, db => db.ListGetByIndexAsync(new PoolKeys(id).Log, -1)), out var newest))
            {
                ids.StartAfter(newest.Id);
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Keeping pools in step failed, trying again: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, string says);
}

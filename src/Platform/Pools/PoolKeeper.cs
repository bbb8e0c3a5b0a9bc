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
    private static readonly TimeSpan Round = TimeSpan.FromMilliseconds(500);

    private volatile bool ready;

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
                ready |= await RebuildStrangersAsync();
                idle = await pools.ApplyPendingAsync() + await releases.ReturnPendingAsync() == 0;
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
    // False while another process is still at one of them.
    private async Task<bool> RebuildStrangersAsync()
    {
        var run = await redis.RunAsync();
        var all = (await database.ReadAsync(connection => connection.QueryAsync<(long Id, long Newest)>(
            "SELECT id, COALESCE((SELECT MAX(c.id) FROM claims c WHERE c.pool_id = pools.id), id) FROM pools"))).AsList();
        if (!ready)
        {
            foreach (var (id, newest) in all)
            {
                ids.StartAfter(Math.Max(id, newest));
            }
        }

        var complete = true;
        foreach (var (id, _) in all)
        {
            // Frozen in this life: somebody is rebuilding it, or began to and failed; the freeze itself tells the two apart.
            var meta = await redis.GuardAsync(db => db.HashGetAsync(new PoolKeys(id).Meta, ["run", "frozen"]));
            if (meta[0] != run || !meta[1].IsNullOrEmpty)
            {
                complete &= await rebuilder.RebuildAsync(id) is not null;
            }
        }

        return complete;
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Keeping pools in step failed, trying again: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, string says);
}

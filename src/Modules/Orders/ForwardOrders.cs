using System.Diagnostics.Metrics;
using Dapper;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders;

/// <summary>Forwards orders to their shards and brings releases home. Each shard by itself: one that is away keeps nobody else waiting.</summary>
public sealed partial class ForwardOrders : BackgroundService
{
    private static readonly TimeSpan Round = TimeSpan.FromMilliseconds(100), CountRound = TimeSpan.FromSeconds(5);

    private readonly Shards shards;
    private readonly OrderOutbox outbox;
    private readonly ShardReleases releases;
    private readonly Releases home;
    private readonly TimeProvider time;
    private readonly ILogger<ForwardOrders> log;

    // Of each shard how many orders wait for it, and when the oldest was claimed (Unix milliseconds, 0: none). For the metrics.
    private volatile IReadOnlyList<(int Shard, long Rows, long Since)> waiting = [];

    internal ForwardOrders(Shards shards, OrderOutbox outbox, ShardReleases releases, Releases home, PoolMetrics metrics, TimeProvider time, ILogger<ForwardOrders> log)
    {
        (this.shards, this.outbox, this.releases, this.home, this.time, this.log) = (shards, outbox, releases, home, time, log);
        if (shards.Others.Count > 0)
        {
            metrics.Meter.CreateObservableGauge("sluice_outbox_orders", () => waiting.Select(each => new Measurement<long>(each.Rows, Of(each.Shard))), description: "Orders that wait for the way to their shard");
            metrics.Meter.CreateObservableGauge(
                "sluice_outbox_age", () => waiting.Select(each => new Measurement<double>(each.Since == 0 ? 0 : Math.Max(0, (time.GetUtcNow().ToUnixTimeMilliseconds() - each.Since) / 1_000.0), Of(each.Shard))), "s",
                "How long ago the oldest of them was claimed");
        }
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => shards.Others.Count == 0 ? Task.CompletedTask : Task.WhenAll(
        [.. shards.Others.Select(shard => Rounds.RunAsync(() => RoundAsync(shard), Round, (error, says) => LogFailed(log, error, shard.Index, says), time, stoppingToken)),
        Rounds.RunAsync(CountAsync, CountRound, (error, says) => LogUncounted(log, error, says), time, stoppingToken)]);

    /// <summary>One round: all that waits for this shard, and what it has released.</summary>
    internal async Task RoundAsync(Shard shard)
    {
        while (await outbox.ForwardAsync(shard))
        {
        }

        if (await releases.TakeAsync(shard) > 0)
        {
            await home.ReturnPendingAsync();
        }
    }

    private async Task CountAsync()
    {
        var rows = (await shards.Main.ReadAsync(connection => connection.QueryAsync<(long Shard, long Rows, long Oldest)>("SELECT shard, COUNT(*), MIN(id) FROM order_outbox GROUP BY shard"))).ToDictionary(row => row.Shard);
        waiting = [.. shards.Others.Select(shard => rows.TryGetValue(shard.Index, out var row) ? (shard.Index, row.Rows, ClaimIds.TimeOf(row.Oldest).ToUnixTimeMilliseconds()) : (shard.Index, 0L, 0L))];
    }

    private static KeyValuePair<string, object?> Of(int shard) => new("shard", shard);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Orders of shard {Shard} wait: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, int shard, string says);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Counting the orders that wait for shards failed, trying again: {Says}")]
    private static partial void LogUncounted(ILogger log, Exception? error, string says);
}

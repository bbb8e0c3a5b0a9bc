using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using StackExchange.Redis;

namespace Sluice.Platform.WriteQueue;

/// <summary>
/// Writes what the broker delivers into SQL, and acknowledges it after the commit. Any number of readers may share a topic. The log is the carrier's: it drops there what SQL has.
/// </summary>
public sealed partial class QueueReader(
    IQueueUse use, Brokers brokers, RedisConnection redis, QueueSignal signal, WriteQueueOptions options, TimeProvider time, ILogger<QueueReader> log) : BackgroundService
{
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(brokers.Topics.Values.Select(topic => Task.Run(() => ReadAsync(topic, stoppingToken), CancellationToken.None)));

    private async Task ReadAsync(IBroker topic, CancellationToken stopping)
    {
        var pause = TimeSpan.Zero;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await RoundAsync(topic, stopping);
                pause = TimeSpan.Zero;
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                break;
            }
            catch (Exception e)
            {
                // The edge of the process, as in QueueDrain.
                pause = await PauseAsync(pause, e, stopping);
            }
        }
    }

    /// <summary>Waits for messages, writes them, acknowledges them. Returns how many entries they had.</summary>
    internal async Task<int> RoundAsync(IBroker topic, CancellationToken stopping)
    {
        var deliveries = await brokers.CallAsync(topic, broker => broker.ReadAsync(stopping));
        if (deliveries.Count == 0)
        {
            return 0;
        }

        if (deliveries.Count(delivery => delivery.IsRedelivered) is > 0 and var again)
        {
            brokers.Redelivered(again);
        }

        FaultPoints.Reach("reader.delivered");
        var slices = new List<Slice>();
        foreach (var delivery in deliveries)
        {
            if (Slice.TryParse(delivery.Message) is { } slice)
            {
                slices.Add(slice);
            }
            else
            {
                await ForeignAsync(topic, delivery.Message, "Not a message of a Sluice.");
            }
        }

        foreach (var partition in slices.GroupBy(slice => (slice.Partition, slice.Generation)))
        {
            await WritePartitionAsync(topic, partition.Key.Partition, partition.Key.Generation, [.. partition.SelectMany(slice => slice.Entries).Select(entry => (RedisValue)entry)], stopping);
        }

        // After the commit, never before: a reader that dies in between is delivered to again, and the unique keys turn the second write into nothing.
        FaultPoints.Reach("reader.committed");
        signal.Ring();
        await brokers.CallAsync(topic, broker => broker.AcknowledgeAsync(deliveries));
        var entries = slices.Sum(slice => slice.Entries.Count);
        brokers.Confirmed(entries);
        return entries;
    }

    private async Task WritePartitionAsync(IBroker topic, string name, long generation, RedisValue[] entries, CancellationToken stopping)
    {
        var partition = await UntilDoneAsync(async () => new Found(await use.FindAsync(name, generation)), stopping);
        if (partition.Partition is null)
        {
            await ForeignAsync(topic, new Slice(name, generation, [.. entries.Select(entry => (byte[])entry!)]).ToBytes(), $"There is no partition {name}.");
            return;
        }

        foreach (var batch in entries.Distinct().Chunk(options.BatchRowsMax))
        {
            await WriteBatchAsync(topic, partition.Partition, batch, stopping);
        }
    }

    // A batch that fails for a reason of its own is halved until the poison entry stands alone.
    private async Task WriteBatchAsync(IBroker topic, QueuePartition partition, RedisValue[] batch, CancellationToken stopping)
    {
        try
        {
            await UntilDoneAsync(async () => await use.WriteDeliveredAsync(partition, batch) ? new Found(partition) : null, stopping);
        }
        catch (Exception e) when (e is not DependencyUnavailableException and not OperationCanceledException)
        {
            if (batch.Length == 1)
            {
                await SetAsideAsync(topic, partition, batch[0], e);
                return;
            }

            await WriteBatchAsync(topic, partition, batch[..(batch.Length / 2)], stopping);
            await WriteBatchAsync(topic, partition, batch[(batch.Length / 2)..], stopping);
        }
    }

    private async Task SetAsideAsync(IBroker topic, QueuePartition partition, RedisValue entry, Exception error)
    {
        LogPoison(log, error, partition.Name, entry.ToString());
        var letter = new DeadLetter(entry.ToString(), $"{error.GetType().Name}: {error.Message}", time.GetUtcNow());
        switch (await partition.SetAsideAsync(redis, entry, letter, options.DeadLettersMax))
        {
            case null:
                // It stays in the log and becomes its head; the carrier publishes no more than InFlightMax behind it, and it comes again. Other partitions go on meanwhile.
                LogFull(log, partition.Name, options.DeadLettersMax);
                break;
            case false when await use.CountWrittenAsync(partition, [entry]) == 0:
                // Delivered twice, and set aside before; or Redis has forgotten it, and then this is the only copy.
                var letters = await partition.DeadLettersAsync(redis, options.DeadLettersMax);
                if (!letters.Any(known => known.Entry == letter.Entry))
                {
                    await ForeignAsync(topic, new Slice(partition.Name, partition.Generation, [(byte[])entry!]).ToBytes(), letter.Error);
                }

                break;
        }
    }

    private async Task ForeignAsync(IBroker topic, byte[] message, string error)
    {
        LogForeign(log, topic.Describe, error);
        await brokers.CallAsync(topic, broker => broker.SetAsideAsync(message, error));
    }

    // The deliveries stay in hand while an engine is away, and are not asked for again: a broker that counts deliveries must not give up on them.
    private async Task<Found> UntilDoneAsync(Func<Task<Found?>> attempt, CancellationToken stopping)
    {
        var pause = TimeSpan.Zero;
        while (true)
        {
            DependencyUnavailableException? away = null;
            try
            {
                if (await attempt() is { } done)
                {
                    return done;
                }
            }
            catch (DependencyUnavailableException e)
            {
                away = e;
            }

            pause = await PauseAsync(pause, away, stopping);
            stopping.ThrowIfCancellationRequested();
        }
    }

    private async Task<TimeSpan> PauseAsync(TimeSpan pause, Exception? error, CancellationToken stopping)
    {
        pause = TimeSpan.FromMilliseconds(Math.Min(Math.Max(pause.TotalMilliseconds * 2, 50), options.BackoffMax.TotalMilliseconds));
        LogPaused(log, error is DependencyUnavailableException ? null : error, pause.TotalMilliseconds, error?.Message ?? "the pool is being rebuilt.");
        await Task.Delay(pause, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return pause;
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Reading from the broker waits {PauseMs} ms: {Says}")]
    private static partial void LogPaused(ILogger log, Exception? error, double pauseMs, string says);

    [LoggerMessage(Level = LogLevel.Error, Message = "Partition {Partition}: set aside as a dead letter: {Entry}")]
    private static partial void LogPoison(ILogger log, Exception error, string partition, string entry);

    [LoggerMessage(Level = LogLevel.Error, Message = "Partition {Partition} has {Count} dead letters; replay or discard them")]
    private static partial void LogFull(ILogger log, string partition, int count);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Topic}: a message that nobody here can use is set aside: {Error}")]
    private static partial void LogForeign(ILogger log, string topic, string error);

    private sealed record Found(QueuePartition? Partition);
}

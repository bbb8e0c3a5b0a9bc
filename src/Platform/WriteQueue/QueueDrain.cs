using System.Diagnostics;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using StackExchange.Redis;

namespace Sluice.Platform.WriteQueue;

/// <summary>What a queue is used for: where its partitions are and how a batch becomes rows.</summary>
public interface IQueueUse
{
    /// <summary>The partitions to drain; asked again on every round, so it must be cheap.</summary>
    ValueTask<IReadOnlyList<QueuePartition>> PartitionsAsync();

    /// <summary>Writes the entries in one SQL transaction. Entries that were written before must have no effect.</summary>
    /// <returns>False: nothing was written, because the partition was rebuilt since the peek. Peek again.</returns>
    /// <exception cref="DependencyUnavailableException">Not now: the drain comes back with the same entries.</exception>
    /// <exception cref="Exception">Something in the batch cannot be written: the drain halves the batch until it knows which entry, and sets that aside.</exception>
    Task<bool> WriteAsync(QueuePartition partition, RedisValue[] entries);

    /// <summary>The kinds of entries that this node writes; with a broker, a topic each.</summary>
    IReadOnlyCollection<string> Topics { get; }

    /// <summary>The partition of this name as it was in this generation, also one that <see cref="PartitionsAsync"/> leaves out; null when there is none.</summary>
    ValueTask<QueuePartition?> FindAsync(string name, long generation);

    /// <summary>
    /// As <see cref="WriteAsync"/>, for entries that a broker has kept since <see cref="QueuePartition.Generation"/>, however long that is: if the partition was rebuilt meanwhile, those that it still knows are written,
    /// and those that it does not know are brought back.
    /// </summary>
    /// <returns>False: not now, try again. Some may be written.</returns>
    /// <inheritdoc cref="WriteAsync"/>
    Task<bool> WriteDeliveredAsync(QueuePartition partition, RedisValue[] entries);

    /// <summary>How many of the entries SQL has, up to the first that it does not have.</summary>
    /// <exception cref="DependencyUnavailableException">SQL does not answer.</exception>
    Task<int> CountWrittenAsync(QueuePartition partition, RedisValue[] entries);
}

/// <summary>
/// Empties the partitions of one queue into SQL: peek, commit, acknowledge. Any number of drains may work on the same partitions: that costs work, never correctness.
/// </summary>
public sealed partial class QueueDrain(
    IQueueUse use, RedisConnection redis, QueueSignal signal, WriteQueueOptions options, TimeProvider time, ILogger<QueueDrain> log) : BackgroundService
{
    // For each partition that failed: how many entries to try next. Halved on failure, doubled on success.
    private readonly Dictionary<string, int> carefulBatches = [];

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await Task.Yield();
        var pause = TimeSpan.Zero;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                var entries = await RoundAsync();
                pause = TimeSpan.Zero;
                if (entries == 0)
                {
                    await signal.WaitAsync(options.IdlePoll, stoppingToken);
                }
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                break;
            }
            catch (Exception e)
            {
                // The edge of the process: an engine is away, or something nobody thought of. Neither may end the drain, both must be seen.
                pause = TimeSpan.FromMilliseconds(Math.Min(Math.Max(pause.TotalMilliseconds * 2, 50), options.BackoffMax.TotalMilliseconds));
                LogPaused(log, e is DependencyUnavailableException ? null : e, pause.TotalMilliseconds, e.Message);
                await Task.Delay(pause, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }

        await DrainWhatIsLeftAsync();
    }

    /// <summary>One batch from each partition. Returns how many entries were dealt with.</summary>
    internal async Task<int> RoundAsync()
    {
        var done = 0;
        DependencyUnavailableException? stopped = null;
        var partitions = await use.PartitionsAsync();
        try
        {
            await redis.EachAsync(partitions, partition => partition.Log, async partition =>
            {
                try
                {
                    done += await BatchAsync(partition);
                }
                catch (DependencyUnavailableException e) when (e.Dependency == "queue")
                {
                    // This partition waits for a person; the others do not.
                    stopped = e;
                }
            });
        }
        catch (DependencyUnavailableException e) when (e.Dependency == "redis")
        {
            // Of several servers one may be away; what is on the others was dealt with.
            stopped = e;
        }

        return done > 0 || stopped is null ? done : throw stopped;
    }

    private async Task<int> BatchAsync(QueuePartition partition)
    {
        var size = carefulBatches.GetValueOrDefault(partition.Name, options.BatchRowsMax);
        var batch = await partition.PeekAsync(redis, size);
        if (batch.Length == 0)
        {
            return 0;
        }

        FaultPoints.Reach("queue.peeked");
        try
        {
            if (!await use.WriteAsync(partition, batch))
            {
                return batch.Length;
            }
        }
        catch (Exception e) when (e is not DependencyUnavailableException)
        {
            await ShrinkOrQuarantineAsync(partition, batch, e);
            return batch.Length;
        }

        // Acknowledge after the commit, never before. A crash between the two delivers the batch again, and the unique keys turn the second write into nothing.
        FaultPoints.Reach("queue.committed");
        await partition.AcknowledgeAsync(redis, batch, options.JournalEntriesMax);
        if (carefulBatches.TryGetValue(partition.Name, out var careful))
        {
            if (careful * 2 >= options.BatchRowsMax)
            {
                carefulBatches.Remove(partition.Name);
            }
            else
            {
                carefulBatches[partition.Name] = careful * 2;
            }
        }

        return batch.Length;
    }

    // The batch is at the head and stays there, so halving it walks to the poison entry: it ends up alone at the head.
    private async Task ShrinkOrQuarantineAsync(QueuePartition partition, RedisValue[] batch, Exception error)
    {
        if (batch.Length > 1)
        {
            carefulBatches[partition.Name] = batch.Length / 2;
            return;
        }

        LogPoison(log, error, partition.Name, batch[0].ToString());
        var letter = new DeadLetter(batch[0].ToString(), $"{error.GetType().Name}: {error.Message}", time.GetUtcNow());
        if (!await partition.QuarantineAsync(redis, batch[0], letter, options.DeadLettersMax))
        {
            throw new DependencyUnavailableException("queue", $"partition {partition.Name} has {options.DeadLettersMax} dead letters; replay or discard them.");
        }
    }

    // Asked to stop: what this process accepted it also writes, as long as it may take; the rest waits in the queue for the next start.
    private async Task DrainWhatIsLeftAsync()
    {
        try
        {
            while (await RoundAsync() > 0)
            {
            }
        }
        catch (DependencyUnavailableException e)
        {
            LogPaused(log, null, 0, e.Message);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The queue waits {PauseMs} ms: {Says}")]
    private static partial void LogPaused(ILogger log, Exception? error, double pauseMs, string says);

    [LoggerMessage(Level = LogLevel.Error, Message = "Partition {Partition}: set aside as a dead letter: {Entry}")]
    private static partial void LogPoison(ILogger log, Exception error, string partition, string entry);
}

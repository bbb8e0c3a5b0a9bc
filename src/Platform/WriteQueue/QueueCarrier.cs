using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using StackExchange.Redis;

namespace Sluice.Platform.WriteQueue;

/// <summary>
/// Carries the log to the broker. An entry is <em>held</em> (in the log), then <em>published</em> (in the log, and confirmed by the broker), then <em>confirmed</em> (in SQL, and dropped from the log).
/// The log stays the only record of what SQL does not have: what is published is a copy. So whatever is forgotten here, by the broker or in between is published again, and comes to nothing where it had arrived.
/// </summary>
/// <remarks>
/// One node carries a topic at a time, by a lease that only saves work. How far it is it keeps in memory: who takes over begins at the head.
/// The sweeper is this: entries are dropped at the head only, so one that got lost becomes the head, and the head then stands still. If nothing waits at the broker either, everything published is published again.
/// </remarks>
public sealed partial class QueueCarrier(
    IQueueUse use, Brokers brokers, RedisConnection redis, QueueSignal signal, WriteQueueOptions options, TimeProvider time, ILogger<QueueCarrier> log) : BackgroundService
{
    // Of entries as long as they may be, so many are less than the megabyte that brokers allow for a message.
    private const int SliceEntriesMax = 500, EntryBytesMax = 1_000;

    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(3), LeaseRenewed = TimeSpan.FromSeconds(1), LastRoundsMax = TimeSpan.FromSeconds(20);

    private static readonly RedisScript LeaseScript = RedisScript.Load("Lease.lua");

    private readonly string me = Guid.NewGuid().ToString("N");
    private readonly Dictionary<string, (bool IsMine, long At)> leases = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Carried> carried = new(StringComparer.Ordinal);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await Task.Yield();
        var pause = TimeSpan.Zero;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                var moved = await RoundAsync();
                pause = TimeSpan.Zero;
                if (moved == 0)
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
                // The edge of the process, as in QueueDrain: an engine is away, or something nobody thought of.
                pause = Longer(pause);
                LogPaused(log, e is DependencyUnavailableException ? null : e, pause.TotalMilliseconds, e.Message);
                await Task.Delay(pause, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }

        await CarryWhatIsLeftAsync();
    }

    /// <summary>One look at each partition of the topics that this node carries. Returns how many entries were dropped or published.</summary>
    /// <exception cref="DependencyUnavailableException">SQL is away, or a Redis server while nothing moves on the others. A broker that is away, or takes nothing of one partition, is no exception: that partition rests.</exception>
    internal async Task<int> RoundAsync()
    {
        var moved = 0;
        DependencyUnavailableException? stopped = null;
        try
        {
            await redis.EachAsync(await use.PartitionsAsync(), partition => partition.Log, async partition => moved += await IsMineAsync(partition.Topic) ? await CarryAsync(partition) : Leave(partition));
        }
        catch (DependencyUnavailableException e) when (e.Dependency == "redis")
        {
            // Of several servers one may be away; what is on the others was dealt with.
            stopped = e;
        }

        brokers.Standing(carried.Values.Sum(each => (long)each.Count), carried.Values.Sum(each => each.Behind));
        return moved > 0 || stopped is null ? moved : throw stopped;
    }

    private int Leave(QueuePartition partition)
    {
        carried.Remove(partition.Name);
        return 0;
    }

    private async Task<int> CarryAsync(QueuePartition partition)
    {
        if (!carried.TryGetValue(partition.Name, out var at))
        {
            carried[partition.Name] = at = new Carried();
        }

        // Also while the broker does not take it: readers have some in hand, and what SQL has may leave the log.
        var moved = at.Count > 0 ? await DropWrittenAsync(partition, at) : 0;
        if (at.Pause > TimeSpan.Zero && time.GetElapsedTime(at.FailedAt) < at.Pause)
        {
            return moved;
        }

        try
        {
            if (at.Count > 0 && moved == 0)
            {
                await SweepAsync(at);
            }

            while (at.Count < options.InFlightMax && await PublishAsync(partition, at) is > 0 and var published)
            {
                moved += published;
            }

            at.Pause = TimeSpan.Zero;
        }
        catch (DependencyUnavailableException e) when (e.Dependency is not ("redis" or "sql"))
        {
            // This partition rests: its dead letters are full, or the broker, or the part of it that this partition has, does not answer. The others do not wait for that. Said once.
            if (at.Pause == TimeSpan.Zero)
            {
                LogRests(log, partition.Name, e.Message);
            }

            (at.Pause, at.FailedAt) = (Longer(at.Pause), time.GetTimestamp());
        }

        if (at.Count == 0 && at.Pause == TimeSpan.Zero)
        {
            carried.Remove(partition.Name);
        }

        return moved;
    }

    private TimeSpan Longer(TimeSpan pause) => TimeSpan.FromMilliseconds(Math.Min(Math.Max(pause.TotalMilliseconds * 2, 50), options.BackoffMax.TotalMilliseconds));

    // published → confirmed: what SQL has leaves the log, from the head on. Only after it was asked: a broker that says "delivered" is no proof.
    private async Task<int> DropWrittenAsync(QueuePartition partition, Carried at)
    {
        var moved = 0;
        while (at.Count > 0)
        {
            var head = await partition.PeekAsync(redis, 1);
            if (head.Length == 0 || await use.CountWrittenAsync(partition, head) == 0)
            {
                if (head.Length == 0 || head[0] != at.Head)
                {
                    (at.Head, at.HeadSince) = (head.Length == 0 ? RedisValue.Null : head[0], time.GetTimestamp());
                }

                break;
            }

            var batch = await partition.PeekAsync(redis, Math.Min(at.Count, options.BatchRowsMax));
            var written = await use.CountWrittenAsync(partition, batch);
            if (written == 0 || !await partition.AcknowledgeAsync(redis, batch[..written], options.JournalEntriesMax))
            {
                // Somebody else was faster: what is the head now, the next look tells.
                (at.Head, at.HeadSince) = (RedisValue.Null, time.GetTimestamp());
                break;
            }

            FaultPoints.Reach("carrier.dropped");
            at.Count = Math.Max(0, at.Count - written);
            moved += written;
            if (written < batch.Length)
            {
                break;
            }
        }

        return moved;
    }

    private async Task SweepAsync(Carried at)
    {
        var age = time.GetElapsedTime(at.HeadSince);
        if (age < options.RepublishAfter || time.GetElapsedTime(at.SweptAt) < options.RepublishAfter)
        {
            return;
        }

        // As long as messages wait, it may be among them, and more of them would not help. Not for ever: another partition's may keep coming.
        at.SweptAt = time.GetTimestamp();
        var waiting = await brokers.CallAsync(brokers.Topics[at.Topic], topic => topic.WaitingAsync());
        if (waiting == 0 || age > options.RepublishAfter * 10)
        {
            LogSweeping(log, at.Count, age.TotalSeconds);
            brokers.Republishing(at.Count);
            (at.Count, at.HeadSince) = (0, time.GetTimestamp());
        }
    }

    // held → published. Returns the entries, or 0: there are none; -1: the log is not what it was, begin at its head.
    private async Task<int> PublishAsync(QueuePartition partition, Carried at)
    {
        at.Topic = partition.Topic;
        var entries = await partition.PeekAsync(redis, Math.Max(0, at.Count - 1), Math.Min(options.BatchRowsMax, options.InFlightMax - at.Count) + (at.Count > 0 ? 1 : 0));
        if (at.Count > 0)
        {
            // Somebody else dropped or set aside entries, or Redis has forgotten some: the place is not ours any more.
            if (entries.Length == 0 || entries[0] != at.Last)
            {
                at.Count = 0;
                return -1;
            }

            entries = entries[1..];
        }

        if (entries.Length == 0)
        {
            at.Behind = 0;
            return 0;
        }

        if (Array.Find(entries, static entry => entry.Length() > EntryBytesMax) is { IsNull: false } monster)
        {
            var letter = new DeadLetter(monster.ToString(), $"Longer than {EntryBytesMax} bytes: no entry of ours.", time.GetUtcNow());
            return await partition.SetAsideAsync(redis, monster, letter, options.DeadLettersMax) is null
                ? throw new DependencyUnavailableException("queue", $"partition {partition.Name} has {options.DeadLettersMax} dead letters; replay or discard them.")
                : -1;
        }

        var slices = entries.Chunk(SliceEntriesMax).Select(slice => new Slice(partition.Name, partition.Generation, [.. slice.Select(entry => (byte[])entry!)]).ToBytes()).ToList();
        await brokers.CallAsync(brokers.Topics[partition.Topic], topic => topic.PublishAsync(partition.Name, slices));
        FaultPoints.Reach("carrier.published");
        (at.Count, at.Last) = (at.Count + entries.Length, entries[^1]);
        brokers.Published(entries.Length);
        at.Behind = at.Count < options.InFlightMax ? 0 : await partition.DepthAsync(redis) - at.Count;
        return entries.Length;
    }

    private async Task<bool> IsMineAsync(string topic)
    {
        // The embedded server has no other node, and the lease of its last life would only keep this one waiting.
        if (redis.IsEmbedded)
        {
            return true;
        }

        if (leases.TryGetValue(topic, out var known) && time.GetElapsedTime(known.At) < LeaseRenewed)
        {
            return known.IsMine;
        }

        bool mine;
        try
        {
            mine = await TakeAsync(topic, Lease);
        }
        catch (DependencyUnavailableException)
        {
            // Of several servers the one that has the lease may be away. Two who carry do no harm; nobody would.
            mine = true;
        }

        leases[topic] = (mine, time.GetTimestamp());
        return mine;
    }

    private async Task<bool> TakeAsync(string topic, TimeSpan lease) => (long)await redis.RunScriptAsync(LeaseScript, [$"sluice:carrier:{options.Name}:{topic}"], [me, (long)lease.TotalMilliseconds]) == 1;

    // Asked to stop: what this process accepted is written too, by the readers, which stop after this. As long as something moves, and as far as it is ours to carry.
    private async Task CarryWhatIsLeftAsync()
    {
        try
        {
            var since = time.GetTimestamp();
            while (time.GetElapsedTime(since) < LastRoundsMax)
            {
                if (await RoundAsync() > 0)
                {
                    since = time.GetTimestamp();
                }
                else if (carried.Values.All(each => each.Count == 0 || each.Pause > TimeSpan.Zero))
                {
                    break;
                }
                else
                {
                    await signal.WaitAsync(options.IdlePoll, CancellationToken.None);
                }
            }

            foreach (var (topic, _) in leases.Where(lease => lease.Value.IsMine))
            {
                await TakeAsync(topic, TimeSpan.FromMilliseconds(1));
            }
        }
        catch (DependencyUnavailableException e)
        {
            LogPaused(log, null, 0, e.Message);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Carrying to the broker waits {PauseMs} ms: {Says}")]
    private static partial void LogPaused(ILogger log, Exception? error, double pauseMs, string says);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Partition {Partition} is not carried to the broker for the moment; it waits in the log, and is tried again: {Says}")]
    private static partial void LogRests(ILogger log, string partition, string says);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Count} entries are at the broker, and the oldest was not written for {Seconds:0} s: publishing them again")]
    private static partial void LogSweeping(ILogger log, int count, double seconds);

    /// <summary>How far a partition is carried: its first <see cref="Count"/> entries are published, and the last of these is <see cref="Last"/>.</summary>
    private sealed class Carried
    {
        public string Topic { get; set; } = "";

        public int Count { get; set; }

        public RedisValue Last { get; set; }

        /// <summary>Entries behind them.</summary>
        public long Behind { get; set; }

        /// <summary>The oldest entry, and since when it has been that.</summary>
        public RedisValue Head { get; set; }

        public long HeadSince { get; set; }

        public long SweptAt { get; set; }

        /// <summary>How long it rests since <see cref="FailedAt"/>, because it could not be published; 0 when it could.</summary>
        public TimeSpan Pause { get; set; }

        public long FailedAt { get; set; }
    }
}

using System.ComponentModel.DataAnnotations;

namespace Sluice.Platform.WriteQueue;

/// <summary>Bounds of the write queue.</summary>
public sealed class WriteQueueOptions
{
    /// <summary>Entries in one SQL transaction, 1–4,000. As many as wait, so a larger bound delays nobody; users come in no order, and a large batch writes an index page once for many of them.</summary>
    [Range(1, 4_000)] public int BatchRowsMax { get; init; } = 4_000;

    /// <summary>Entries that may wait in one partition; above it claims are answered 503 <c>queue-full</c>.</summary>
    [Range(1, 100_000_000)] public int LagMax { get; init; } = 2_000_000;

    /// <summary>Acknowledged entries kept in Redis for each partition, from which a lost SQL tail is re-driven; 0 = none.</summary>
    [Range(0, 10_000_000)] public int JournalEntriesMax { get; init; } = 10_000;

    /// <summary>Entries that could not be written and wait for a person; when it is full the partition stops.</summary>
    [Range(1, 1_000_000)] public int DeadLettersMax { get; init; } = 10_000;

    /// <summary>How long an idle worker waits before it looks again at queues that other processes fill, 1 ms – 10 s. Queues filled by its own process wake it at once.</summary>
    [Range(typeof(TimeSpan), "00:00:00.001", "00:00:10")] public TimeSpan IdlePoll { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Longest pause between tries while SQL or Redis is away, 100 ms – 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:01:00")] public TimeSpan BackoffMax { get; init; } = TimeSpan.FromSeconds(2);
}

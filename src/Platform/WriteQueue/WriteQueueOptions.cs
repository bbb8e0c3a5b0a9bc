using System.ComponentModel.DataAnnotations;

namespace Sluice.Platform.WriteQueue;

/// <summary>What brings entries from the queue's log in Redis to the workers.</summary>
public enum QueueEngine
{
    /// <summary>Nothing: workers read the log.</summary>
    Redis,

    /// <summary>A quorum queue of a RabbitMQ server.</summary>
    RabbitMq,

    /// <summary>A topic of a Kafka cluster.</summary>
    Kafka,
}

/// <summary>The write queue: what carries it, and its bounds.</summary>
public sealed class WriteQueueOptions
{
    /// <summary>What brings entries to the workers: <c>Redis</c> (they read the log), or a message broker that the log is carried to, <c>RabbitMq</c> or <c>Kafka</c>. The log keeps each entry until SQL has it, whatever is chosen; docs/queues.md.</summary>
    public QueueEngine Engine { get; init; } = QueueEngine.Redis;

    /// <summary>
    /// Where the broker is. RabbitMQ: <c>amqp://user:password@host:port/vhost</c>, nodes of one cluster with commas in between. Kafka: <c>host:port,host:port</c>, or settings of librdkafka as
    /// <c>bootstrap.servers=host:port;security.protocol=…</c>. Empty for <c>Redis</c>.
    /// </summary>
    public string Connection { get; init; } = "";

    /// <summary>What queues, topics and the consumer group of this shop begin with, so that several shops can share a broker: 1–64 of a–z, 0–9, dot and dash.</summary>
    [RegularExpression("^[a-z0-9.-]{1,64}$")] public string Name { get; init; } = "sluice";

    /// <summary>Entries of one partition that may be at the broker and not yet in SQL, 100–1,000,000; the rest waits in the log.</summary>
    [Range(100, 1_000_000)] public int InFlightMax { get; init; } = 40_000;

    /// <summary>How long the oldest entry may be at the broker without being written before it is published again, 1 s – 10 min. Too early costs work, never correctness.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:10:00")] public TimeSpan RepublishAfter { get; init; } = TimeSpan.FromSeconds(10);

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

    /// <summary>What does not fit together, one line each.</summary>
    public IEnumerable<string> Contradictions()
    {
        var wanted = Engine switch
        {
            QueueEngine.Redis => Connection.Length == 0 ? null : "is for RabbitMq and Kafka only; set WriteQueue:Engine too, or leave it empty",
            QueueEngine.RabbitMq => RabbitMqAddress.IsAddress(Connection) ? null : "write amqp://user:password@host:port/vhost, nodes of one cluster with commas in between",
            QueueEngine.Kafka => KafkaAddress.IsAddress(Connection) ? null : "write host:port,host:port, or bootstrap.servers=host:port;security.protocol=…",
        };
        return wanted is null ? [] : [$"WriteQueue:Connection: {wanted}"];
    }
}

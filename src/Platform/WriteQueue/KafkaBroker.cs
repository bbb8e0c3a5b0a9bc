using System.Threading.Channels;
using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.WriteQueue;

/// <summary>
/// A topic of a Kafka cluster: an idempotent producer with <c>acks=all</c>, the partition's name as the key, and one consumer group whose offsets are committed by hand.
/// Kafka's transactions are not used: the unique keys in SQL do what they would.
/// </summary>
internal sealed partial class KafkaBroker(WriteQueueOptions options, string topic, ILogger<KafkaBroker> log) : IBroker
{
    private const int PrefetchMax = 500;

    private static readonly TimeSpan CallTimeMax = TimeSpan.FromSeconds(10), ConnectTimeMax = TimeSpan.FromSeconds(5), PollTime = TimeSpan.FromMilliseconds(100);

    private readonly string name = $"{options.Name}.{topic}";
    private readonly string dead = $"{options.Name}.dead";
    private readonly Lock opening = new();
    private Link? link;
    private volatile string? trouble;
    private bool closed;

    public string Describe => $"Kafka at {KafkaAddress.Settings(options.Connection)["bootstrap.servers"]}, topic {name}";

    public Task OpenAsync() => Task.Run(() =>
    {
        try
        {
            using var admin = new DependentAdminClientBuilder(Open().Producer.Handle).Build();
            admin.GetMetadata(ConnectTimeMax);
        }
        catch (KafkaException e)
        {
            throw Unavailable(e);
        }
    });

    public Task PublishAsync(string key, IReadOnlyList<byte[]> messages) => SendAsync(name, messages.Select(message => new Message<string, byte[]> { Key = key, Value = message }));

    public Task SetAsideAsync(byte[] message, string error) =>
        SendAsync(dead, [new Message<string, byte[]> { Key = "", Value = message, Headers = new Headers { { "error", System.Text.Encoding.UTF8.GetBytes(error) } } }]);

    public async Task<IReadOnlyList<Delivery>> ReadAsync(CancellationToken cancel)
    {
        var inbox = Open().Inbox.Reader;
        if (!await inbox.WaitToReadAsync(cancel))
        {
            Drop();
            throw new DependencyUnavailableException("kafka", trouble ?? "the consumer ended.");
        }

        var deliveries = new List<Delivery>();
        while (deliveries.Count < PrefetchMax && inbox.TryRead(out var delivery))
        {
            deliveries.Add(delivery);
        }

        return deliveries;
    }

    public Task AcknowledgeAsync(IReadOnlyList<Delivery> deliveries) => Task.Run(() =>
    {
        var next = deliveries.Select(delivery => (TopicPartitionOffset)delivery.Receipt).GroupBy(offset => offset.TopicPartition)
            .Select(partition => new TopicPartitionOffset(partition.Key, partition.Max(offset => offset.Offset.Value) + 1)).ToList();
        try
        {
            Open().Consumer.Commit(next);
        }
        catch (KafkaException e)
        {
            // The partition may be another reader's by now: it reads them again.
            throw Unavailable(e);
        }
    });

    public Task<long> WaitingAsync() => Task.Run(() =>
    {
        try
        {
            var open = Open();
            using var admin = new DependentAdminClientBuilder(open.Producer.Handle).Build();
            var partitions = admin.GetMetadata(name, CallTimeMax).Topics.Single().Partitions.Select(partition => new TopicPartition(name, partition.PartitionId));
            return open.Consumer.Committed(partitions, CallTimeMax).Sum(committed =>
            {
                var ends = open.Consumer.QueryWatermarkOffsets(committed.TopicPartition, CallTimeMax);
                return ends.High.Value - Math.Max(committed.Offset.Value, ends.Low.Value);
            });
        }
        catch (KafkaException e)
        {
            throw Unavailable(e);
        }
    });

    public ValueTask DisposeAsync()
    {
        lock (opening)
        {
            closed = true;
        }

        Drop();
        return ValueTask.CompletedTask;
    }

    private async Task SendAsync(string to, IEnumerable<Message<string, byte[]>> messages)
    {
        var producer = Open().Producer;
        try
        {
            await Task.WhenAll(messages.Select(message => producer.ProduceAsync(to, message)));
        }
        catch (KafkaException e)
        {
            if (e.Error.IsFatal)
            {
                // An idempotent producer that lost count of its messages is good for nothing any more.
                Drop();
            }

            throw Unavailable(e);
        }
        catch (ObjectDisposedException e)
        {
            throw new DependencyUnavailableException("kafka", "the connection was closed meanwhile.", e);
        }
    }

    private Link Open()
    {
        lock (opening)
        {
            return closed ? throw new DependencyUnavailableException("kafka", "closed.") : link ??= Connect();
        }
    }

    private Link Connect()
    {
        var settings = KafkaAddress.Settings(options.Connection);
        var producer = new ProducerBuilder<string, byte[]>(new ProducerConfig(new Dictionary<string, string>(settings, StringComparer.Ordinal))
        {
            EnableIdempotence = true, Acks = Acks.All, MessageTimeoutMs = (int)CallTimeMax.TotalMilliseconds, LingerMs = 2, ClientId = "sluice",
        }).SetErrorHandler((_, error) => Hear(error)).SetLogHandler((_, _) => { }).Build();
        var consumer = new ConsumerBuilder<string, byte[]>(new ConsumerConfig(new Dictionary<string, string>(settings, StringComparer.Ordinal))
        {
            GroupId = options.Name, EnableAutoCommit = false, EnableAutoOffsetStore = false, AutoOffsetReset = AutoOffsetReset.Earliest, AllowAutoCreateTopics = true,
            SessionTimeoutMs = 6_000, HeartbeatIntervalMs = 1_000, QueuedMaxMessagesKbytes = 16_384, ClientId = "sluice",

            // A batch is tried again for as long as SQL is away; whether this process lives, its heartbeats say.
            MaxPollIntervalMs = 86_400_000,
        }).SetErrorHandler((_, error) => Hear(error)).SetLogHandler((_, _) => { }).Build();
        consumer.Subscribe(name);
        return new Link(producer, consumer, PrefetchMax, PollTime, Hear);
    }

    private void Drop()
    {
        lock (opening)
        {
            link?.Dispose();
            link = null;
        }
    }

    private void Hear(Error error)
    {
        trouble = error.Reason;
        LogTrouble(log, error.Reason);
    }

    private static DependencyUnavailableException Unavailable(KafkaException e) => new("kafka", e.Error.Reason, e);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Kafka: {Says}")]
    private static partial void LogTrouble(ILogger log, string says);

    // The client blocks a thread for each poll, so it gets one of its own.
    private sealed class Link : IDisposable
    {
        private readonly CancellationTokenSource closing = new();
        private readonly TimeSpan pollTime;
        private readonly Action<Error> hear;
        private readonly Task polling;

        public Link(IProducer<string, byte[]> producer, IConsumer<string, byte[]> consumer, int prefetchMax, TimeSpan pollTime, Action<Error> hear)
        {
            (Producer, Consumer, this.pollTime, this.hear) = (producer, consumer, pollTime, hear);
            Inbox = Channel.CreateBounded<Delivery>(prefetchMax);
            polling = Task.Factory.StartNew(Poll, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }

        public IProducer<string, byte[]> Producer { get; }

        public IConsumer<string, byte[]> Consumer { get; }

        public Channel<Delivery> Inbox { get; }

        public void Dispose()
        {
            closing.Cancel();
            polling.Wait();
            Consumer.Close();
            Consumer.Dispose();
            Producer.Dispose();
            closing.Dispose();
        }

        private void Poll()
        {
            try
            {
                while (!closing.IsCancellationRequested)
                {
                    try
                    {
                        if (Consumer.Consume(pollTime) is { Message.Value: { } message } result)
                        {
                            Inbox.Writer.WriteAsync(new(message, IsRedelivered: false, result.TopicPartitionOffset), closing.Token).AsTask().GetAwaiter().GetResult();
                        }
                    }
                    catch (ConsumeException e) when (!e.Error.IsFatal)
                    {
                        // A topic that is not there yet, a broker that is away: it goes on by itself.
                        hear(e.Error);
                    }
                }
            }
            catch (OperationCanceledException) when (closing.IsCancellationRequested)
            {
                // Closed while the inbox was full.
            }
            catch (KafkaException e)
            {
                hear(e.Error);
            }
            finally
            {
                Inbox.Writer.TryComplete();
            }
        }
    }
}

/// <summary><c>host:port,host:port</c>, or settings of librdkafka with semicolons in between.</summary>
internal static class KafkaAddress
{
    // What the guarantees rest on is not for the connection to change.
    private static readonly string[] Ours =
        ["enable.idempotence", "acks", "request.required.acks", "group.id", "enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "max.poll.interval.ms", "message.timeout.ms", "transactional.id"];

    public static bool IsAddress(string text) =>
        text.Length > 0 && text.Split(';').All(part => !text.Contains('=', StringComparison.Ordinal) || part.IndexOf('=', StringComparison.Ordinal) > 0) && Settings(text) is var settings &&
        settings.TryGetValue("bootstrap.servers", out var servers) && servers.Length > 0 && servers.Split(',').All(server => server.LastIndexOf(':') is > 0 and var colon && ushort.TryParse(server[(colon + 1)..], out _)) &&
        !settings.Keys.Any(key => Ours.Contains(key));

    public static Dictionary<string, string> Settings(string text)
    {
        var settings = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var part in text.Contains('=', StringComparison.Ordinal) ? text.Split(';') : [$"bootstrap.servers={text}"])
        {
            settings[part.Split('=')[0].Trim()] = part[(part.IndexOf('=', StringComparison.Ordinal) + 1)..].Trim();
        }

        return settings;
    }
}

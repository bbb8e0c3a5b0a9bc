using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.WriteQueue;

/// <summary>The broker's topics that this node uses, one for each kind of entries, and what operators watch of them.</summary>
public sealed class Brokers : IAsyncDisposable
{
    private readonly Dictionary<string, IBroker> topics;
    private readonly ConcurrentDictionary<IBroker, string> ailments = new();
    private readonly Meter meter = new("Sluice");
    private readonly Counter<long> published;
    private readonly Counter<long> republished;
    private readonly Counter<long> confirmed;
    private readonly Counter<long> redelivered;
    private long inFlight;
    private long waiting;

    public Brokers(WriteQueueOptions options, IQueueUse use, ILoggerFactory logs)
    {
        topics = use.Topics.ToDictionary(topic => topic, IBroker (topic) => options.Engine switch
        {
            QueueEngine.RabbitMq => new RabbitMqBroker(options, topic),
            QueueEngine.Kafka => new KafkaBroker(options, topic, logs.CreateLogger<KafkaBroker>()),
            QueueEngine.Redis => throw new InvalidOperationException("There is no broker."),
        }, StringComparer.Ordinal);
        published = meter.CreateCounter<long>("sluice_queue_published", description: "Entries that the broker has confirmed, the repeated ones too");
        republished = meter.CreateCounter<long>("sluice_queue_republished", description: "Entries published again because they were at the broker for too long");
        confirmed = meter.CreateCounter<long>("sluice_queue_confirmed", description: "Delivered entries that SQL has");
        redelivered = meter.CreateCounter<long>("sluice_queue_redelivered", description: "Messages that the broker has delivered before (RabbitMQ)");
        meter.CreateObservableGauge("sluice_queue_in_flight", () => Volatile.Read(ref inFlight), description: "Entries at the broker that SQL does not have yet, as the carrying node knows");
        meter.CreateObservableGauge("sluice_queue_lag", () => Volatile.Read(ref waiting), description: "Entries in the log that are not at the broker yet, as the carrying node knows");
    }

    public IReadOnlyDictionary<string, IBroker> Topics => topics;

    /// <summary>Why the broker, or one topic of it, cannot be used at the moment, or null. Claims go on meanwhile: they wait in the log.</summary>
    public string? Ailment => ailments.Values.FirstOrDefault();

    /// <summary>One line for the start banner.</summary>
    public string Describe => string.Join("; ", topics.Values.Select(topic => topic.Describe));

    /// <summary>Connects.</summary>
    /// <exception cref="DependencyUnavailableException">The broker does not answer or refuses.</exception>
    public Task OpenAsync() => Task.WhenAll(topics.Values.Select(topic => topic.OpenAsync()));

    /// <summary>Calls the broker, and remembers whether this topic of it is well.</summary>
    internal async Task<T> CallAsync<T>(IBroker topic, Func<IBroker, Task<T>> call)
    {
        try
        {
            var answer = await call(topic);
            ailments.TryRemove(topic, out _);
            return answer;
        }
        catch (DependencyUnavailableException e)
        {
            ailments[topic] = e.Message;
            throw;
        }
    }

    /// <inheritdoc cref="CallAsync{T}(IBroker, Func{IBroker, Task{T}})"/>
    internal Task CallAsync(IBroker topic, Func<IBroker, Task> call) => CallAsync(topic, async broker =>
    {
        await call(broker);
        return true;
    });

    internal void Published(int entries) => published.Add(entries);

    internal void Republishing(int entries) => republished.Add(entries);

    internal void Confirmed(int entries) => confirmed.Add(entries);

    internal void Redelivered(int messages) => redelivered.Add(messages);

    internal void Standing(long atTheBroker, long inTheLog) => (inFlight, waiting) = (atTheBroker, inTheLog);

    public async ValueTask DisposeAsync()
    {
        foreach (var topic in topics.Values)
        {
            await topic.DisposeAsync();
        }

        meter.Dispose();
    }
}

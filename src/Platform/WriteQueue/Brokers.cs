using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.WriteQueue;

/// <summary>The broker's topics that this node uses, one for each kind of entries, and what operators watch of them.</summary>
public sealed class Brokers : IAsyncDisposable
{
    private readonly Dictionary<string, IBroker> topics;
    private readonly Meter meter = new("Sluice");
    private readonly Counter<long> published;
    private readonly Counter<long> republished;
    private readonly Counter<long> confirmed;
    private readonly Counter<long> redelivered;
    private long inFlight;
    private long waiting;
    private volatile string? ailment;

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

    /// <summary>Why the broker cannot be used at the moment, or null. Claims go on meanwhile: they wait in the log.</summary>
    public string? Ailment => ailment;

    /// <summary>One line for the start banner.</summary>
    public string Describe => string.Join("; ", topics.Values.Select(topic => topic.Describe));

    /// <summary>Connects.</summary>
    /// <exception cref="DependencyUnavailableException">The broker does not answer or refuses.</exception>
    public Task OpenAsync() => Task.WhenAll(topics.Values.Select(topic => topic.OpenAsync()));

    /// <summary>Calls the broker, and remembers whether it is well.</summary>
    internal async Task<T> CallAsync<T>(Func<Task<T>> call)
    {
        try
        {
            var answer = await call();
            ailment = null;
            return answer;
        }
        catch (DependencyUnavailableException e)
        {
            ailment = e.Message;
            throw;
        }
    }

    /// <inheritdoc cref="CallAsync{T}(Func{Task{T}})"/>
    internal Task CallAsync(Func<Task> call) => CallAsync(async () =>
    {
        await call();
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

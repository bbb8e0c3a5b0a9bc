using Confluent.Kafka;

namespace Sluice.Tests.Integration.Servers;

/// <summary>
/// The cluster that comes with Kafka's own client for its tests: one broker that speaks the protocol on a loopback port and keeps topics, groups and offsets in memory. It cannot be restarted: a new one is another one, and empty.
/// </summary>
public sealed class KafkaCluster : IDisposable
{
    private readonly IProducer<Null, byte[]> producer;

    public KafkaCluster()
    {
        var settings = new ProducerConfig();
        settings.Set("test.mock.num.brokers", "1");
        producer = new ProducerBuilder<Null, byte[]>(settings).Build();
        using var admin = new DependentAdminClientBuilder(producer.Handle).Build();
        Connection = string.Join(",", admin.GetMetadata(TimeSpan.FromSeconds(10)).Brokers.Select(broker => $"{broker.Host}:{broker.Port}"));
    }

    public string Connection { get; }

    public void Dispose() => producer.Dispose();
}

using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.WriteQueue;

/// <summary>One message: entries of one partition, in the order of its log. Entries as bytes, since what is in the log need not be text.</summary>
/// <param name="Partition">The partition's name.</param>
/// <param name="Generation">The partition's generation, known before the entries were peeked; see <see cref="QueuePartition.Generation"/>.</param>
public sealed record Slice(string Partition, long Generation, IReadOnlyList<byte[]> Entries)
{
    internal byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, SliceJson.Default.Slice);

    /// <summary>Null for a message that none of ours has sent.</summary>
    internal static Slice? TryParse(ReadOnlySpan<byte> message)
    {
        try
        {
            return JsonSerializer.Deserialize(message, SliceJson.Default.Slice) is { Partition.Length: > 0, Entries.Count: > 0 } slice && slice.Entries.All(entry => entry is not null) ? slice : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>A message that the broker keeps until it is acknowledged.</summary>
/// <param name="IsRedelivered">The broker says that it may have been delivered before. Kafka does not know.</param>
/// <param name="Receipt">What the broker needs to take the acknowledgement.</param>
public sealed record Delivery(byte[] Message, bool IsRedelivered, object Receipt);

/// <summary>
/// One topic of a message broker that delivers at least once. Calls are bounded in time; a connection that is lost is opened again by the next call.
/// Safe for one publisher and one reader at once.
/// </summary>
public interface IBroker : IAsyncDisposable
{
    /// <summary>Which server and topic, without a password.</summary>
    string Describe { get; }

    /// <summary>Connects, and makes what the topic needs, unless that was done.</summary>
    /// <exception cref="DependencyUnavailableException">The broker does not answer or refuses.</exception>
    Task OpenAsync();

    /// <summary>Publishes messages; on return the broker has confirmed that it keeps all of them. Messages of one key stay in their order.</summary>
    /// <exception cref="DependencyUnavailableException">Not all of them are confirmed. Some may be there: publish all of them again.</exception>
    Task PublishAsync(string key, IReadOnlyList<byte[]> messages);

    /// <summary>Sets a message aside that nobody can use; confirmed on return.</summary>
    /// <inheritdoc cref="PublishAsync"/>
    Task SetAsideAsync(byte[] message, string error);

    /// <summary>Waits for messages and returns all that are here, bounded by the prefetch; none after a while without any. In order for each key, unless they are redelivered.</summary>
    /// <exception cref="DependencyUnavailableException">The connection was lost: what was read and not acknowledged comes again.</exception>
    Task<IReadOnlyList<Delivery>> ReadAsync(CancellationToken cancel);

    /// <summary>Done with these, which were read in this order, and with everything read before them.</summary>
    /// <exception cref="DependencyUnavailableException">They may come again.</exception>
    Task AcknowledgeAsync(IReadOnlyList<Delivery> deliveries);

    /// <summary>How many messages wait for a reader. One round trip or a few.</summary>
    /// <exception cref="DependencyUnavailableException">The broker does not answer.</exception>
    Task<long> WaitingAsync();
}

[JsonSerializable(typeof(Slice))]
internal sealed partial class SliceJson : JsonSerializerContext;

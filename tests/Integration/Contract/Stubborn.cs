using Sluice.Platform.Pools;
using Sluice.Platform.WriteQueue;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Cannot write one user's claims, until told otherwise: a bug in a module's rows, say.</summary>
internal sealed class Stubborn(ClaimWriter writer, string refused) : IQueueUse
{
    public string? Refused { get; set; } = refused;

    public IReadOnlyCollection<string> Topics => writer.Topics;

    public ValueTask<IReadOnlyList<QueuePartition>> PartitionsAsync() => writer.PartitionsAsync();

    public ValueTask<QueuePartition?> FindAsync(string name, long generation) => writer.FindAsync(name, generation);

    public Task<int> CountWrittenAsync(QueuePartition partition, RedisValue[] entries) => writer.CountWrittenAsync(partition, entries);

    public Task<bool> WriteAsync(QueuePartition partition, RedisValue[] entries)
    {
        Demand(entries);
        return writer.WriteAsync(partition, entries);
    }

    public Task<bool> WriteDeliveredAsync(QueuePartition partition, RedisValue[] entries)
    {
        Demand(entries);
        return writer.WriteDeliveredAsync(partition, entries);
    }

    private void Demand(RedisValue[] entries)
    {
        if (Refused is { } user && entries.Any(entry => entry.ToString().Contains($",{user},", StringComparison.Ordinal)))
        {
            throw new InvalidOperationException($"Not {user}.");
        }
    }
}

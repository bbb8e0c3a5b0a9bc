using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Platform.Pools;
using Sluice.Platform.WriteQueue;

namespace Sluice.Tests.Integration.Contract;

/// <summary>What a node with the role worker runs for its queue's engine, on a <see cref="PoolNode"/>. Several on one node are as several processes.</summary>
internal sealed class Worker : IAsyncDisposable
{
    private readonly List<BackgroundService> services = [];
    private readonly Brokers? brokers;

    public Worker(PoolNode node, IQueueUse? use = null)
    {
        use ??= node.Writer;
        if (node.Queue.Engine == QueueEngine.Redis)
        {
            services.Add(node.NewDrain(use));
            return;
        }

        brokers = new Brokers(node.Queue, use, NullLoggerFactory.Instance);
        services.Add(new QueueReader(use, brokers, node.Redis, node.Signal, node.Queue, TimeProvider.System, NullLogger<QueueReader>.Instance));
        services.Add(Carrier = new QueueCarrier(use, brokers, node.Redis, node.Signal, node.Queue, TimeProvider.System, NullLogger<QueueCarrier>.Instance));
    }

    public QueueCarrier Carrier => field ?? throw new InvalidOperationException("No broker, no carrier.");

    /// <summary>The topic of the node's pools.</summary>
    public IBroker Topic => brokers!.Topics[PoolNode.Kind];

    public static async Task<Worker> StartAsync(PoolNode node, IQueueUse? use = null)
    {
        var worker = new Worker(node, use);
        await worker.BeginAsync();
        return worker;
    }

    public async Task BeginAsync()
    {
        foreach (var service in services)
        {
            await service.StartAsync(CancellationToken.None);
        }
    }

    /// <summary>Messages of the topic, at least so many entries or messages, within a minute.</summary>
    public async Task<IReadOnlyList<Delivery>> ReadAsync(int atLeast, Func<Delivery, int> size)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        var read = new List<Delivery>();
        while (read.Sum(size) < atLeast)
        {
            read.AddRange(await Topic.ReadAsync(patience.Token));
        }

        return read;
    }

    public static int Entries(Delivery delivery) => Slice.TryParse(delivery.Message)!.Entries.Count;

    /// <summary>Carries until there is nothing to carry, or as much as may be at the broker is there.</summary>
    public async Task CarryAsync()
    {
        while (await Carrier.RoundAsync() > 0)
        {
        }
    }

    /// <summary>As the host does: in the other order, one after the other.</summary>
    public async Task StopAsync()
    {
        foreach (var service in services.AsEnumerable().Reverse())
        {
            await service.StopAsync(CancellationToken.None);
        }
    }

    /// <summary>As the broker sees a process that died: its connection is gone, and nothing more is written or acknowledged.</summary>
    public async Task DieAsync()
    {
        if (brokers is not null)
        {
            await brokers.DisposeAsync();
        }

        using var atOnce = new CancellationTokenSource();
        await atOnce.CancelAsync();
        await Task.WhenAll(services.Select(service => service.StopAsync(atOnce.Token)));
    }

    public async ValueTask DisposeAsync()
    {
        await DieAsync();
        services.ForEach(service => service.Dispose());
    }
}

using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.WriteQueue;
using Sluice.Tests.Integration.Servers;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>What the write queue promises, whatever carries it: Redis' list alone, a quorum queue of a real RabbitMQ, a topic of Kafka's mock cluster.</summary>
public sealed class QueueEnginesTests(Engines engines)
{
    [Theory]
    [InlineData(QueueEngine.Redis)]
    [InlineData(QueueEngine.RabbitMq)]
    [InlineData(QueueEngine.Kafka)]
    public async Task Queue_WithTwoWorkersAtOnce_WritesEachClaimOnceAndEndsEmpty(QueueEngine engine)
    {
        const int Claims = 1_000;
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), queue: await engines.QueueAsync(engine));
        var (pool, other) = (await node.OpenPoolAsync(Claims), await node.OpenPoolAsync(10));
        await using var one = await Worker.StartAsync(node);
        await using var two = await Worker.StartAsync(node);
        await Task.WhenAll(Enumerable.Range(0, Claims).Select(user => node.ClaimAsync(pool, $"u-{user}")));
        await node.ClaimEachAsync(other, 0, 10);
        await node.EmptyAsync(pool);
        await node.EmptyAsync(other);

        Assert.Equal(Claims, (await node.WrittenAsync(pool)).Count);
        await node.AssertAuditHoldsAsync(pool);
        await node.AssertAuditHoldsAsync(other);
    }

    [Theory]
    [InlineData(QueueEngine.Redis)]
    [InlineData(QueueEngine.RabbitMq)]
    [InlineData(QueueEngine.Kafka)]
    public async Task Batch_OfAWorkerThatDied_IsDeliveredToTheNextOne(QueueEngine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), queue: await engines.QueueAsync(engine));
        var pool = await node.OpenPoolAsync(50);
        var held = new Hanging(node.Writer);
        await using (var dying = await Worker.StartAsync(node, held))
        {
            await node.ClaimEachAsync(pool, 0, 50);
            await held.Reached.WaitAsync(TimeSpan.FromSeconds(60));
            await dying.DieAsync();
        }

        Assert.Empty(await node.WrittenAsync(pool));
        await using var next = await Worker.StartAsync(node);
        await node.EmptyAsync(pool);
        await node.AssertAuditHoldsAsync(pool);

        // Woken, the dead one doubles nothing.
        held.Release();
        Assert.True(await held.Answer.WaitAsync(TimeSpan.FromSeconds(30)));
        await node.AssertAuditHoldsAsync(pool);
    }

    [Theory]
    [InlineData(QueueEngine.Redis, Engine.Redis)]
    [InlineData(QueueEngine.RabbitMq, Engine.Redis)]
    [InlineData(QueueEngine.RabbitMq, Engine.Garnet)]
    [InlineData(QueueEngine.Kafka, Engine.Redis)]
    public async Task Poison_AmongClaims_IsSetAsideTheRestIsWrittenAndAReplayWritesIt(QueueEngine engine, Engine redis)
    {
        using var node = new PoolNode(await engines.OpenAsync(redis), queue: await engines.QueueAsync(engine));
        var pool = await node.OpenPoolAsync(40);
        var partition = ClaimWriter.PartitionOf(pool);
        var use = new Stubborn(node.Writer, "u-7");
        await node.ClaimEachAsync(pool, 0, 20);
        await node.Redis.DbOf(new PoolKeys(pool).Log).ListRightPushAsync(new PoolKeys(pool).Log, ["\0\u00ff;;;", new byte[] { 0xff, 0xfe }, "", new string('x', 10_000)]);
        await node.ClaimEachAsync(pool, 20, 20);
        await using var worker = await Worker.StartAsync(node, use);
        await node.EmptyAsync(pool);

        Assert.Equal(39, (await node.WrittenAsync(pool)).Count);
        var letters = await partition.DeadLettersAsync(node.Redis, 10);
        Assert.Equal(5, letters.Count);
        Assert.Contains(letters, letter => letter.Entry.Contains(",u-7,", StringComparison.Ordinal) && letter.Error == "InvalidOperationException: Not u-7.");

        use.Refused = null;
        Assert.Equal(5, await partition.ReplayAsync(node.Redis, lagMax: 100));
        node.Signal.Ring();
        await node.EmptyAsync(pool);
        Assert.Equal(40, (await node.WrittenAsync(pool)).Count);
        Assert.Equal(4, await partition.DeadCountAsync(node.Redis));
    }

    // The carrier counts what is at a broker, whichever that is.
    [Theory]
    [InlineData(QueueEngine.Redis)]
    [InlineData(QueueEngine.RabbitMq)]
    public async Task Lag_IsBoundedAndClaimsAboveItAreRefusedUntilThereIsRoom(QueueEngine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), queue: await engines.QueueAsync(engine, inFlightMax: 100, lagMax: 250));
        var pool = await node.OpenPoolAsync(300);
        await node.ClaimEachAsync(pool, 0, 250);
        Assert.Equal("queue", (await Assert.ThrowsAsync<DependencyUnavailableException>(() => node.ClaimAsync(pool, "u-late"))).Dependency);
        if (engine != QueueEngine.Redis)
        {
            // Nobody reads: no more than the bound goes to the broker, however often the carrier looks.
            await using var worker = new Worker(node);
            await worker.CarryAsync();
            Assert.Equal(100, (await worker.ReadAsync(100, Worker.Entries)).Sum(Worker.Entries));
            Assert.Equal(250, await ClaimWriter.PartitionOf(pool).DepthAsync(node.Redis));
        }

        await using var next = await Worker.StartAsync(node);
        await node.EmptyAsync(pool);
        Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(pool, "u-late")).Outcome);
        await node.EmptyAsync(pool);
        Assert.Equal(251, (await node.WrittenAsync(pool)).Count);
        await node.AssertAuditHoldsAsync(pool);
    }

    [Theory]
    [InlineData(QueueEngine.Redis)]
    [InlineData(QueueEngine.RabbitMq)]
    [InlineData(QueueEngine.Kafka)]
    public async Task Stop_OfAWorker_WritesWhatWasAccepted(QueueEngine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), queue: await engines.QueueAsync(engine));
        var pool = await node.OpenPoolAsync(400);
        await using var worker = await Worker.StartAsync(node);
        await Task.WhenAll(Enumerable.Range(0, 400).Select(user => node.ClaimAsync(pool, $"u-{user}")));
        await worker.StopAsync();

        Assert.Equal(400, (await node.WrittenAsync(pool)).Count);
        await node.AssertAuditHoldsAsync(pool);
    }

    /// <summary>Takes the first batch and does nothing with it until it is told to.</summary>
    private sealed class Hanging(ClaimWriter writer) : IQueueUse
    {
        private readonly TaskCompletionSource reached = new(TaskCreationOptions.RunContinuationsAsynchronously), released = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource<bool> answer = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Reached => reached.Task;

        public Task<bool> Answer => answer.Task;

        public IReadOnlyCollection<string> Topics => writer.Topics;

        public void Release() => released.TrySetResult();

        public ValueTask<IReadOnlyList<QueuePartition>> PartitionsAsync() => writer.PartitionsAsync();

        public ValueTask<QueuePartition?> FindAsync(string name, long generation) => writer.FindAsync(name, generation);

        public Task<int> CountWrittenAsync(QueuePartition partition, RedisValue[] entries) => writer.CountWrittenAsync(partition, entries);

        public Task<bool> WriteAsync(QueuePartition partition, RedisValue[] entries) => HangAsync(() => writer.WriteAsync(partition, entries));

        public Task<bool> WriteDeliveredAsync(QueuePartition partition, RedisValue[] entries) => HangAsync(() => writer.WriteDeliveredAsync(partition, entries));

        private async Task<bool> HangAsync(Func<Task<bool>> write)
        {
            reached.TrySetResult();
            await released.Task;
            var written = await write();
            answer.TrySetResult(written);
            return written;
        }
    }
}

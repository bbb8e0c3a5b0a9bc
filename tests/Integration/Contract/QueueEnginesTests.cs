using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.WriteQueue;
using Sluice.Tests.Integration.Servers;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>What the write queue promises, whatever carries it: Redis' list alone, a quorum queue of a real RabbitMQ, a topic of Kafka's mock cluster.</summary>
public sealed class QueueEnginesTests(Engines engines)
{
    // Nothing is brought back but what the queue brings.
    private static readonly PoolsOptions Forgetful = new() { AckJournalClaimsMax = 0 };

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
        await EmptyAsync(node, pool);
        await EmptyAsync(node, other);

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
        await EmptyAsync(node, pool);
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
        await node.Redis.Db.ListRightPushAsync(new PoolKeys(pool).Log, ["\0\u00ff;;;", new byte[] { 0xff, 0xfe }, ""]);
        await node.ClaimEachAsync(pool, 20, 20);
        await using var worker = await Worker.StartAsync(node, use);
        await EmptyAsync(node, pool);

        Assert.Equal(39, (await node.WrittenAsync(pool)).Count);
        var letters = await partition.DeadLettersAsync(node.Redis, 10);
        Assert.Equal(4, letters.Count);
        Assert.Contains(letters, letter => letter.Entry.Contains(",u-7,", StringComparison.Ordinal) && letter.Error == "InvalidOperationException: Not u-7.");

        use.Refused = null;
        Assert.Equal(4, await partition.ReplayAsync(node.Redis, lagMax: 100));
        node.Signal.Ring();
        await EmptyAsync(node, pool);
        Assert.Equal(40, (await node.WrittenAsync(pool)).Count);
        Assert.Equal(3, await partition.DeadCountAsync(node.Redis));
    }

    [Theory]
    [InlineData(QueueEngine.Redis)]
    [InlineData(QueueEngine.RabbitMq)]
    [InlineData(QueueEngine.Kafka)]
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
            await CarryAsync(worker);
            Assert.Equal(100, await CountMessagesAsync(worker.Topic, entriesMin: 100));
            Assert.Equal(250, await ClaimWriter.PartitionOf(pool).DepthAsync(node.Redis));
        }

        await using var next = await Worker.StartAsync(node);
        await EmptyAsync(node, pool);
        Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(pool, "u-late")).Outcome);
        await EmptyAsync(node, pool);
        Assert.Equal(251, (await node.WrittenAsync(pool)).Count);
        await node.AssertAuditHoldsAsync(pool);
    }

    [Theory]
    [InlineData(QueueEngine.RabbitMq)]
    [InlineData(QueueEngine.Kafka)]
    public async Task Broker_ThatLosesWhatItHasConfirmed_IsSentItAgain(QueueEngine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), queue: await engines.QueueAsync(engine));
        var pool = await node.OpenPoolAsync(60);
        await node.ClaimEachAsync(pool, 0, 60);
        await using var worker = new Worker(node);
        await CarryAsync(worker);

        // Somebody else takes it and says that it is done.
        var taken = 0;
        while (taken < 60)
        {
            var deliveries = await worker.Topic.ReadAsync(CancellationToken.None);
            await worker.Topic.AcknowledgeAsync(deliveries);
            taken += deliveries.Sum(delivery => Slice.TryParse(delivery.Message)!.Entries.Count);
        }

        await worker.BeginAsync();
        await EmptyAsync(node, pool);
        Assert.Equal(60, (await node.WrittenAsync(pool)).Count);
        await node.AssertAuditHoldsAsync(pool);
    }

    [Theory]
    [InlineData(QueueEngine.RabbitMq)]
    [InlineData(QueueEngine.Kafka)]
    public async Task Delivered_AfterARebuildThatLostNothing_IsWrittenWithoutAnotherRebuild(QueueEngine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), Forgetful, await engines.QueueAsync(engine));
        var pool = await node.OpenPoolAsync(units: 10);
        var claims = await node.ClaimEachAsync(pool, 0, 6);
        await using var worker = new Worker(node);
        await CarryAsync(worker);
        await node.Rebuilder.RebuildAsync(pool);

        await worker.BeginAsync();
        await EmptyAsync(node, pool);
        Assert.Equal(2, (await node.Pools.FindAsync(pool))!.Generation);
        Assert.Equal(claims, (await node.WrittenAsync(pool)).Select(claim => claim.Id).ToHashSet());
        await node.AssertAuditHoldsAsync(pool);
    }

    [Theory]
    [InlineData(QueueEngine.RabbitMq)]
    [InlineData(QueueEngine.Kafka)]
    public async Task Delivered_AfterRedisForgotThePoolAndSoldItsUnits_FitsAsFarAsThereIsRoom(QueueEngine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), Forgetful, await engines.QueueAsync(engine));
        var pool = await node.OpenPoolAsync(units: 10);
        var before = await node.ClaimEachAsync(pool, 0, 6);
        await using var worker = new Worker(node);
        await CarryAsync(worker);
        var keys = new PoolKeys(pool);
        await node.Redis.Db.KeyDeleteAsync([keys.Meta, keys.Left, keys.Holders, keys.Log, keys.Journal, keys.Dead, keys.Handed]);
        var rebuilder = new PoolRebuilder(node.Database, node.Redis, new AckJournal(Forgetful), TimeProvider.System, NullLogger<PoolRebuilder>.Instance);
        await rebuilder.RebuildAsync(pool);
        var after = await node.ClaimEachAsync(pool, 100, 7);

        // Only the broker still knows of the first six. Three of them find a unit; the others are recorded as what they are: a broken promise.
        await worker.BeginAsync();
        await Eventually.TrueAsync(async () => (await node.WrittenAsync(pool)).Count == 13, "all thirteen are known to SQL");
        await EmptyAsync(node, pool);
        var states = (await node.WrittenAsync(pool)).ToDictionary(claim => claim.Id, claim => claim.State);
        Assert.All(after, claim => Assert.Equal(ClaimState.Confirmed, states[claim]));
        Assert.Equal(before.Order().Take(3), before.Where(claim => states[claim] == ClaimState.Confirmed).Order());
        Assert.Equal(0, (await node.InRedisAsync(pool)).Left);
    }

    [Theory]
    [InlineData(QueueEngine.RabbitMq)]
    [InlineData(QueueEngine.Kafka)]
    public async Task Messages_ThatAreNoClaims_AreSetAsideAtTheBrokerAndStopNobody(QueueEngine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), queue: await engines.QueueAsync(engine));
        var pool = await node.OpenPoolAsync(10);
        await using var worker = await Worker.StartAsync(node);
        await worker.Topic.PublishAsync("x", ["hello"u8.ToArray(), "{}"u8.ToArray(), [], new Slice("999999999", 1, [[49]]).ToBytes(), new Slice("no pool", 1, [[49]]).ToBytes()]);
        await node.ClaimEachAsync(pool, 0, 10);
        await EmptyAsync(node, pool);
        await node.AssertAuditHoldsAsync(pool);
        if (engine == QueueEngine.RabbitMq)
        {
            await using var connection = await new RabbitMQ.Client.ConnectionFactory { Uri = new Uri(node.Queue.Connection) }.CreateConnectionAsync();
            await using var channel = await connection.CreateChannelAsync();
            await Eventually.TrueAsync(async () => (await channel.QueueDeclarePassiveAsync($"{node.Queue.Name}.dead")).MessageCount == 5, "all five are in the queue of the dead-letter exchange");
        }
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

    private static async Task CarryAsync(Worker worker)
    {
        while (await worker.Carrier.RoundAsync() > 0)
        {
        }
    }

    // Reads and does not acknowledge: whoever comes next is delivered to again.
    private static async Task<int> CountMessagesAsync(IBroker topic, int entriesMin)
    {
        var entries = 0;
        while (entries < entriesMin)
        {
            entries += (await topic.ReadAsync(CancellationToken.None)).Sum(delivery => Slice.TryParse(delivery.Message)!.Entries.Count);
        }

        return entries;
    }

    private static Task EmptyAsync(PoolNode node, long pool) =>
        Eventually.TrueAsync(async () => await ClaimWriter.PartitionOf(pool).DepthAsync(node.Redis) == 0, $"the queue of pool {pool} is empty");

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

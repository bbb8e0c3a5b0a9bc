using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Platform.Pools;
using Sluice.Platform.WriteQueue;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>What is at a broker is a copy: it may be lost, late or foreign. The rest of the contract is in <see cref="QueueEnginesTests"/>.</summary>
public sealed class BrokerTests(Engines engines)
{
    // Nothing is brought back but what the broker brings.
    private static readonly PoolsOptions Forgetful = new() { AckJournalClaimsMax = 0 };

    [Theory]
    [InlineData(QueueEngine.RabbitMq)]
    [InlineData(QueueEngine.Kafka)]
    public async Task Message_ThatIsReadAndNotAcknowledged_ComesAgainUntilItIs(QueueEngine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), queue: await engines.QueueAsync(engine));
        byte[][] messages = [[1], [2], [3]];
        await using (var dying = new Worker(node))
        {
            await dying.Topic.PublishAsync("one key", messages);
            Assert.Equal(messages, (await dying.ReadAsync(3, _ => 1)).Select(delivery => delivery.Message));
        }

        await using var next = new Worker(node);
        var again = await next.ReadAsync(3, _ => 1);
        Assert.Equal(messages, again.Select(delivery => delivery.Message));
        await next.Topic.AcknowledgeAsync(again);
        Assert.Equal(0, await next.Topic.WaitingAsync());
        await next.Topic.PublishAsync("one key", [[4]]);
        Assert.Equal([[4]], (await next.ReadAsync(1, _ => 1)).Select(delivery => delivery.Message));
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
        await worker.CarryAsync();

        // Somebody else takes it and says that it is done.
        await worker.Topic.AcknowledgeAsync(await worker.ReadAsync(60, Worker.Entries));

        await worker.BeginAsync();
        await node.EmptyAsync(pool);
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
        await worker.CarryAsync();
        await node.Rebuilder.RebuildAsync(pool);

        await worker.BeginAsync();
        await node.EmptyAsync(pool);
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
        await worker.CarryAsync();
        var keys = new PoolKeys(pool);
        await node.Redis.DbOf(keys.Meta).KeyDeleteAsync([keys.Meta, keys.Left, keys.Holders, keys.Log, keys.Journal, keys.Dead, keys.Handed]);
        var rebuilder = new PoolRebuilder(node.Database, node.Redis, new AckJournal(Forgetful), TimeProvider.System, NullLogger<PoolRebuilder>.Instance);
        await rebuilder.RebuildAsync(pool);
        var after = await node.ClaimEachAsync(pool, 100, 7);

        // Only the broker still knows of the first six. Three of them find a unit; the others are recorded as what they are: a broken promise.
        await worker.BeginAsync();
        await Eventually.TrueAsync(async () => (await node.WrittenAsync(pool)).Count == 13, "all thirteen are known to SQL");
        await node.EmptyAsync(pool);
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
        await node.EmptyAsync(pool);
        await node.AssertAuditHoldsAsync(pool);
        if (engine == QueueEngine.RabbitMq)
        {
            await using var connection = await new RabbitMQ.Client.ConnectionFactory { Uri = new Uri(node.Queue.Connection) }.CreateConnectionAsync();
            await using var channel = await connection.CreateChannelAsync();
            await Eventually.TrueAsync(async () => (await channel.QueueDeclarePassiveAsync($"{node.Queue.Name}.dead")).MessageCount == 5, "all five are in the queue of the dead-letter exchange");
        }
    }

    [Fact]
    public async Task Topic_ThatItsBrokerRefuses_HoldsUpNoOther()
    {
        const string Refused = "refused";
        var queue = await engines.QueueAsync(QueueEngine.RabbitMq);
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), queue: queue, kinds: [new PoolNode.PlainKind(Refused), new PoolNode.PlainKind(PoolNode.Kind)]);
        await using var connection = await (await engines.RabbitMqAsync()).ConnectAsync();
        await using var channel = await connection.CreateChannelAsync();

        // There is one of that name already, with other arguments.
        await channel.QueueDeclareAsync($"{queue.Name}.{Refused}", durable: true, exclusive: false, autoDelete: false);
        var (first, second) = (await node.OpenPoolAsync(10, kind: Refused), await node.OpenPoolAsync(10));
        await node.PushAsync(first, ("u-0", 1, null));
        await node.ClaimEachAsync(second, 0, 10);
        await using var worker = await Worker.StartAsync(node);
        await node.EmptyAsync(second);
        Assert.Equal(10, (await node.WrittenAsync(second)).Count);
        Assert.Empty(await node.WrittenAsync(first));

        // Mended by hand, it goes on by itself.
        await channel.QueueDeleteAsync($"{queue.Name}.{Refused}", ifUnused: false, ifEmpty: false);
        await node.EmptyAsync(first);
        Assert.Single(await node.WrittenAsync(first));
    }
}

using Sluice.Platform.Pools;
using Sluice.Platform.WriteQueue;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Redis forgets a pool while a worker holds a batch of it, peeked and not yet written: neither in the queue nor in SQL when the pool is rebuilt.</summary>
public sealed class BatchInHandTests(Engines engines)
{
    // The node that acknowledged the claims is gone, so nothing but the worker's hands has them.
    private static readonly PoolsOptions Forgetful = new() { AckJournalClaimsMax = 0 };

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.MariaDb)]
    public async Task Batch_InHandWhileRedisForgetsThePool_IsWrittenAndSoldOnce(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine), Forgetful);
        var pool = await node.OpenPoolAsync(units: 10);
        var before = await node.ClaimEachAsync(pool, 0, 6);
        await DrainAsync(node, async () =>
        {
            await ForgetAsync(node, pool);
            await node.ClaimEachAsync(pool, 100, 1);
        });

        // Three are left, not nine: ten others ask, three get one, and nobody who was told yes is refused.
        Assert.Equal(3, (await node.InRedisAsync(pool)).Left);
        var answers = new List<ClaimOutcome>();
        foreach (var user in Enumerable.Range(200, 10))
        {
            answers.Add((await node.ClaimAsync(pool, $"u-{user}")).Outcome);
        }

        Assert.Equal(3, answers.Count(answer => answer == ClaimOutcome.Accepted));
        await node.DrainAsync();
        Assert.Subset((await StatesAsync(node, pool)).Where(claim => claim.Value == ClaimState.Confirmed).Select(claim => claim.Key).ToHashSet(), before);
        await node.AssertAuditHoldsAsync(pool);
    }

    // The crowd waits behind the freeze and takes everything the moment it ends: the batch must have been counted by then.
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.MariaDb)]
    public async Task Batch_CommittedWhileACrowdWaitsForTheForgottenPool_IsCountedBeforeItOpens(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine), Forgetful);
        var pool = await node.OpenPoolAsync(units: 10);
        var before = await node.ClaimEachAsync(pool, 0, 6);
        Task<ClaimAnswer[]> crowd = Task.FromResult<ClaimAnswer[]>([]);
        await DrainAsync(node, async () =>
        {
            await ForgetAsync(node, pool);
            crowd = Task.WhenAll(Enumerable.Range(100, 30).Select(user => node.ClaimAsync(pool, $"u-{user}")));
            await Servers.Eventually.TrueAsync(async () => (string?)await node.Redis.DbOf(new PoolKeys(pool).Meta).HashGetAsync(new PoolKeys(pool).Meta, "frozen") is { Length: > 0 }, "the pool is frozen");
        });

        var accepted = (await crowd).Where(answer => answer.Outcome == ClaimOutcome.Accepted).SelectMany(answer => answer.ClaimIds).ToHashSet();
        await node.DrainAsync();
        var states = await StatesAsync(node, pool);
        Assert.All(states, claim => Assert.Equal(ClaimState.Confirmed, claim.Value));
        Assert.Equal(4, accepted.Count);
        Assert.Equal(before.Concat(accepted).Order(), states.Keys.Order());
        await node.AssertAuditHoldsAsync(pool);
    }

    [Fact]
    public async Task Batch_InHandWhileThePoolIsSoldAgainToTheLastUnit_NamesThoseWhoLostTheirsAndRefusesNobodyElse()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), Forgetful);
        var pool = await node.OpenPoolAsync(units: 10);
        var before = await node.ClaimEachAsync(pool, 0, 6);
        HashSet<long> after = [];
        await DrainAsync(node, async () =>
        {
            await ForgetAsync(node, pool);
            after = await node.ClaimEachAsync(pool, 100, 7);
        });

        var states = await StatesAsync(node, pool);
        Assert.All(after, claim => Assert.Equal(ClaimState.Confirmed, states[claim]));
        Assert.Equal(before, states.Keys.Except(after).ToHashSet());
        Assert.Equal(before.Order().Take(3), before.Where(claim => states[claim] == ClaimState.Confirmed).Order());
        Assert.Equal(0, (await node.InRedisAsync(pool)).Left);
    }

    [Fact]
    public async Task Batch_InHandWhileItsBuyersAskAgain_GivesEachOneClaim()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), Forgetful);
        var pool = await node.OpenPoolAsync(units: 10, limit: 3);
        await node.ClaimEachAsync(pool, 0, 5);
        HashSet<long> again = [];
        await DrainAsync(node, async () =>
        {
            await ForgetAsync(node, pool);
            again = await node.ClaimEachAsync(pool, 0, 4);
        });

        // The same keys: four have the claim that they were told of last, the fifth has the first one.
        var states = await StatesAsync(node, pool);
        Assert.Equal(5, states.Count);
        Assert.Subset(states.Keys.ToHashSet(), again);
        await node.AssertAuditHoldsAsync(pool);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.MariaDb)]
    public async Task Batch_InHandDuringARebuildThatLostNothing_IsWrittenWithoutAnotherRebuild(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine), Forgetful);
        var pool = await node.OpenPoolAsync(units: 10);
        var claims = await node.ClaimEachAsync(pool, 0, 6);
        await DrainAsync(node, () => node.Rebuilder.RebuildAsync(pool));

        Assert.Equal(2, (await node.Pools.FindAsync(pool))!.Generation);
        Assert.Equal(claims, (await StatesAsync(node, pool)).Keys.ToHashSet());
        await node.AssertAuditHoldsAsync(pool);
    }

    [Fact]
    public async Task Batch_InHandWhileAnotherProcessRebuilds_IsBroughtBackAfterwards()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), Forgetful);
        var pool = await node.OpenPoolAsync(units: 10);
        var claims = await node.ClaimEachAsync(pool, 0, 6);
        var meta = new PoolKeys(pool).Meta;
        await DrainAsync(node, async () =>
        {
            await ForgetAsync(node, pool);
            await node.Rebuilder.RebuildAsync(pool);
            await node.Redis.DbOf(
                meta).HashSetAsync(
                meta, [new("frozen", "another process"), new("frozenAt", TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()), new("frozenIn", await node.Redis.RunAsync(meta))]);
        });
        Assert.Empty(await StatesAsync(node, pool));

        await node.Redis.DbOf(meta).HashSetAsync(meta, "frozen", "");
        await Servers.Eventually.TrueAsync(async () => (await node.Drain.RoundAsync(), await StatesAsync(node, pool)) is (_, { Count: 6 }), "the batch is written");
        Assert.Equal(claims, (await StatesAsync(node, pool)).Keys.ToHashSet());
        await node.AssertAuditHoldsAsync(pool);
    }

    // As FLUSHALL, on a server that other tests share.
    private static Task<long> ForgetAsync(PoolNode node, long pool)
    {
        var keys = new PoolKeys(pool);
        return node.Redis.DbOf(keys.Meta).KeyDeleteAsync([keys.Meta, keys.Left, keys.Holders, keys.Log, keys.Journal, keys.Dead]);
    }

    private static async Task<Dictionary<long, ClaimState>> StatesAsync(PoolNode node, long pool) =>
        (await node.WrittenAsync(pool)).ToDictionary(claim => claim.Id, claim => claim.State);

    // Works until the queue is empty; something happens while the first batch is in the worker's hands.
    private static async Task DrainAsync(PoolNode node, Func<Task> meanwhile)
    {
        var drain = node.NewDrain(new Interrupted(node.Writer, meanwhile));
        while (await drain.RoundAsync() > 0)
        {
        }
    }

    private sealed class Interrupted(ClaimWriter writer, Func<Task> meanwhile) : IQueueUse
    {
        private bool done;

        public IReadOnlyCollection<string> Topics => writer.Topics;

        public ValueTask<IReadOnlyList<QueuePartition>> PartitionsAsync() => writer.PartitionsAsync();

        public ValueTask<QueuePartition?> FindAsync(string name, long generation) => writer.FindAsync(name, generation);

        public Task<int> CountWrittenAsync(QueuePartition partition, RedisValue[] entries) => writer.CountWrittenAsync(partition, entries);

        public Task<bool> WriteDeliveredAsync(QueuePartition partition, RedisValue[] entries) => writer.WriteDeliveredAsync(partition, entries);

        public async Task<bool> WriteAsync(QueuePartition partition, RedisValue[] entries)
        {
            if (!done)
            {
                done = true;
                await meanwhile();
            }

            return await writer.WriteAsync(partition, entries);
        }
    }
}

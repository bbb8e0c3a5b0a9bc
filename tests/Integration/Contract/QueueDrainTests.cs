using Microsoft.Extensions.Time.Testing;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.WriteQueue;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Peek, commit, acknowledge: what comes of an entry when workers meet, fail or come late.</summary>
public sealed class QueueDrainTests(Engines engines)
{
    private static readonly WriteQueueOptions Small = new() { BatchRowsMax = 8, DeadLettersMax = 1, JournalEntriesMax = 10, LagMax = 3 };

    // A claim without the rows of its module would be an order that nobody ships.
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task Drain_OnANodeWithoutTheModuleOfAPool_LeavesItsClaimsToTheOthers(Engine engine)
    {
        var pair = await engines.OpenAsync(engine);
        using var node = new PoolNode(pair);
        using var stranger = new PoolNode(pair, database: node.Database, kinds: []);
        var pool = await node.OpenPoolAsync(10);
        await node.PushAsync(pool, ("u-1", 1, null), ("u-2", 1, null));
        await stranger.DrainAsync();
        Assert.Empty(await node.WrittenAsync(pool));
        Assert.Equal("other-node", (await Assert.ThrowsAsync<ProblemException>(() => stranger.Audit.RunAsync(pool))).Problem.Code);

        await node.DrainAsync();
        Assert.Equal(2, (await node.WrittenAsync(pool)).Count);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task Drain_OfPoolsThatClosedWithClaimsInTheirQueue_WritesThemAll(Engine engine)
    {
        var time = new FakeTimeProvider(TimeProvider.System.GetUtcNow());
        using var node = new PoolNode(await engines.OpenAsync(engine), queue: new WriteQueueOptions { BatchRowsMax = 8 }, clock: time);
        var (busy, idle) = (await node.OpenPoolAsync(30), await node.OpenPoolAsync(30));
        await node.PushAsync(busy, [.. Enumerable.Range(0, 20).Select(user => ($"u-{user}", 1, (string?)null))]);
        await node.Drain.RoundAsync();
        foreach (var pool in new[] { busy, idle })
        {
            await node.Database.WriteAsync(transaction => PoolStore.SetGateAsync(transaction, pool, Gate.Closed));
        }

        // The one in whose queue something was is looked at until it is empty; the other one's turn comes.
        await node.PushAsync(idle, ("u-1", 1, null));
        time.Advance(TimeSpan.FromSeconds(1));
        await node.DrainAsync();
        Assert.Equal(20, (await node.WrittenAsync(busy)).Count);
        Assert.Empty(await node.WrittenAsync(idle));

        time.Advance(TimeSpan.FromSeconds(10));
        await node.DrainAsync();
        Assert.Single(await node.WrittenAsync(idle));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Drain_WhenTwoWorkOnOnePartition_WritesEverythingOnce(Engine engine)
    {
        const int Count = 1_000;
        using var node = new PoolNode(await engines.OpenAsync(engine), queue: new WriteQueueOptions { BatchRowsMax = 40 });
        var pool = await node.OpenPoolAsync(Count);
        var claims = await node.PushAsync(pool, [.. Enumerable.Range(0, Count).Select(user => ($"u-{user}", 1, (string?)null))]);
        await Task.WhenAll(Enumerable.Range(0, 2).Select(_ => Task.Run(async () =>
        {
            var drain = node.NewDrain();
            while (await drain.RoundAsync() > 0)
            {
            }
        })));

        var written = await node.WrittenAsync(pool);
        Assert.Equal(claims.Select(claim => claim.Id).Order(), written.Select(claim => claim.Id));
        Assert.All(written, claim => Assert.Equal(ClaimState.Confirmed, claim.State));
        Assert.Equal(Count, (await node.Pools.FindAsync(pool))!.ClaimedUnits);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Acknowledge_AfterAnotherWorkerDid_DropsNothing(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(10);
        await node.PushAsync(pool, [.. Enumerable.Range(0, 6).Select(user => ($"u-{user}", 1, (string?)null))]);
        var partition = ClaimWriter.PartitionOf(pool);
        var late = await partition.PeekAsync(node.Redis, 3);
        Assert.True(await partition.AcknowledgeAsync(node.Redis, late, 10));

        Assert.False(await partition.AcknowledgeAsync(node.Redis, late, 10));
        Assert.Equal(3, await partition.DepthAsync(node.Redis));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Drain_WhenPoisonIsAmongTheEntries_SetsItAsideAndWritesTheOthers(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine), queue: new WriteQueueOptions { BatchRowsMax = 8 });
        var pool = await node.OpenPoolAsync(30);
        var log = new PoolKeys(pool).Log;
        await node.PushAsync(pool, [.. Enumerable.Range(0, 5).Select(user => ($"u-{user}", 1, (string?)null))]);
        await node.Redis.DbOf(log).ListRightPushAsync(log, "this is no claim");
        await node.PushAsync(pool, [.. Enumerable.Range(5, 15).Select(user => ($"u-{user}", 1, (string?)null))]);
        await node.DrainAsync();

        Assert.Equal(20, (await node.WrittenAsync(pool)).Count(claim => claim.State == ClaimState.Confirmed));
        var letter = Assert.Single(await ClaimWriter.PartitionOf(pool).DeadLettersAsync(node.Redis, 10));
        Assert.Equal("this is no claim", letter.Entry);
        Assert.StartsWith("FormatException", letter.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Replay_WhenTheReasonIsGone_WritesTheDeadLetters(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(10);
        foreach (var user in Enumerable.Range(0, 10))
        {
            await node.ClaimAsync(pool, $"u-{user}");
        }

        var use = new Stubborn(node.Writer, "u-3");
        var drain = node.NewDrain(use);
        while (await drain.RoundAsync() > 0)
        {
        }

        var partition = ClaimWriter.PartitionOf(pool);
        Assert.Equal(1, await partition.DeadCountAsync(node.Redis));
        use.Refused = null;
        Assert.Equal(1, await partition.ReplayAsync(node.Redis, lagMax: 100));
        while (await drain.RoundAsync() > 0)
        {
        }

        Assert.Equal(0, await partition.DeadCountAsync(node.Redis));
        await node.AssertAuditHoldsAsync(pool);
    }

    [Fact]
    public async Task Replay_WhenTheQueueIsFull_LeavesTheDeadLetterWhereItIs()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(10);
        var keys = new PoolKeys(pool);
        await node.Redis.DbOf(keys.Log).ListRightPushAsync(keys.Log, "no claim");
        await node.DrainAsync();
        await node.PushAsync(pool, ("u-1", 1, null));

        Assert.Equal(0, await ClaimWriter.PartitionOf(pool).ReplayAsync(node.Redis, lagMax: 1));
        Assert.Equal(1, await ClaimWriter.PartitionOf(pool).DeadCountAsync(node.Redis));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Replay_OfAnEntryThatIsEmpty_KeepsItUntilItIsDiscarded(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(10);
        var partition = ClaimWriter.PartitionOf(pool);
        await node.Redis.DbOf(new PoolKeys(pool).Log).ListRightPushAsync(new PoolKeys(pool).Log, "");
        await node.DrainAsync();
        Assert.Equal("", Assert.Single(await partition.DeadLettersAsync(node.Redis, 10)).Entry);

        Assert.Equal(1, await partition.ReplayAsync(node.Redis, lagMax: 100));
        Assert.Equal(1, await partition.DepthAsync(node.Redis));
        await node.DrainAsync();
        Assert.Equal("", Assert.Single(await partition.DeadLettersAsync(node.Redis, 10)).Entry);

        Assert.Equal(1, await partition.DiscardAsync(node.Redis, letter => node.Writer.GiveUpAsync(pool, letter)));
        Assert.Equal((0, 0), (await partition.DepthAsync(node.Redis), await partition.DeadCountAsync(node.Redis)));
    }

    [Fact]
    public async Task Discard_GivesTheUnitsBackAndKeepsTheClaimAsRejected()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(5);
        var claim = await node.ClaimAsync(pool, "u-1");
        var drain = node.NewDrain(new Stubborn(node.Writer, "u-1"));
        await drain.RoundAsync();
        Assert.Equal(1, await ClaimWriter.PartitionOf(pool).DiscardAsync(node.Redis, letter => node.Writer.GiveUpAsync(pool, letter)));
        await node.Rebuilder.RebuildAsync(pool);

        Assert.Equal(5, (await node.InRedisAsync(pool)).Left);
        Assert.Equal([(claim.ClaimIds[0], "u-1", 1, ClaimState.Rejected)], await node.WrittenAsync(pool));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Drain_WhenTheDeadLettersAreFull_StopsThePartitionAndLosesNothing(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine), queue: Small);
        var pool = await node.OpenPoolAsync(10);
        var keys = new PoolKeys(pool);
        await node.Redis.DbOf(keys.Log).ListRightPushAsync(keys.Log, ["poison-1", "poison-2"]);
        await node.PushAsync(pool, ("u-1", 1, null));
        await Assert.ThrowsAsync<DependencyUnavailableException>(node.DrainAsync);

        Assert.Equal(1, await ClaimWriter.PartitionOf(pool).DeadCountAsync(node.Redis));
        Assert.Equal("poison-2", await node.Redis.DbOf(keys.Log).ListGetByIndexAsync(keys.Log, 0));
        Assert.Equal(2, await node.Redis.DbOf(keys.Log).ListLengthAsync(keys.Log));
    }

    [Fact]
    public async Task Drain_WhenOnePartitionIsStopped_EmptiesTheOthers()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet), queue: Small);
        var stopped = await node.OpenPoolAsync(10);
        var other = await node.OpenPoolAsync(10);
        await node.Redis.DbOf(new PoolKeys(stopped).Log).ListRightPushAsync(new PoolKeys(stopped).Log, ["poison-1", "poison-2"]);
        await Assert.ThrowsAsync<DependencyUnavailableException>(node.DrainAsync);
        await node.PushAsync(other, ("u-1", 1, null));
        await Assert.ThrowsAsync<DependencyUnavailableException>(node.DrainAsync);

        Assert.Single(await node.WrittenAsync(other));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Claim_WhenTheQueueIsFull_IsRefusedAndChangesNothing(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine), queue: Small);
        var pool = await node.OpenPoolAsync(10);
        foreach (var user in Enumerable.Range(0, Small.LagMax))
        {
            await node.ClaimAsync(pool, $"u-{user}");
        }

        var before = await PoolState.ReadAsync(node.Redis.DbOf(new PoolKeys(pool).Meta), new PoolKeys(pool));
        var refusal = await Assert.ThrowsAsync<DependencyUnavailableException>(() => node.ClaimAsync(pool, "u-late"));
        Assert.Equal("queue", refusal.Dependency);
        Assert.Equal(before, await PoolState.ReadAsync(node.Redis.DbOf(new PoolKeys(pool).Meta), new PoolKeys(pool)));

        await node.DrainAsync();
        Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(pool, "u-late")).Outcome);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Journal_KeepsTheNewestEntriesOnly(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine), queue: Small);
        var pool = await node.OpenPoolAsync(50);
        var claims = await node.PushAsync(pool, [.. Enumerable.Range(0, 35).Select(user => ($"u-{user}", 1, (string?)null))]);
        await node.DrainAsync();

        Assert.Equal(
            claims.TakeLast(Small.JournalEntriesMax).Select(ClaimEntry.ToQueue),
            (await node.Redis.DbOf(new PoolKeys(pool).Journal).ListRangeAsync(new PoolKeys(pool).Journal)).Select(entry => entry.ToString()));
    }

    [Fact]
    public async Task Stop_WritesWhatWasAccepted()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(100);
        var drain = node.NewDrain();
        await drain.StartAsync(CancellationToken.None);
        await Task.WhenAll(Enumerable.Range(0, 100).Select(user => node.ClaimAsync(pool, $"u-{user}")));
        await drain.StopAsync(CancellationToken.None);

        await node.AssertAuditHoldsAsync(pool);
    }
}

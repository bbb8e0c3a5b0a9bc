using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Platform.Pools;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Redis forgets claims that were acknowledged and that SQL does not have: the nodes that acknowledged them have not forgotten.</summary>
public sealed class AckJournalTests(Engines engines)
{
    private const int Units = 10, Early = 6;

    // Of no pool that any test makes: they share the Redis servers.
    private const long Nowhere = 1L << 60;

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Acknowledged_ForgottenByRedis_AreCountedBeforeThePoolOpensAgain(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(Units);
        var before = await node.ClaimEachAsync(pool, 0, Early);
        await ForgetAsync(node, pool);

        Assert.Equal(Units - Early, (await CrowdAsync(node, pool)).Count);
        await AssertKeptAsync(node, pool, before);
        Assert.Equal(0, node.Journal.Count);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Acknowledged_ForgottenWhileAnotherNodeRebuilds_AreHandedInBeforeItOpensThePool(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(Units);
        var before = await node.ClaimEachAsync(pool, 0, Early);
        await ForgetAsync(node, pool);
        var rebuilding = Another(node).RebuildAsync(pool);
        while (!rebuilding.IsCompleted)
        {
            await node.Keeping.RoundAsync();
            await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System);
        }

        Assert.Equal(Units - Early, await rebuilding);
        Assert.Equal(Units - Early, (await CrowdAsync(node, pool)).Count);
        await AssertKeptAsync(node, pool, before);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Acknowledged_ThatARebuildDidNotKnowOf_AreBroughtBackAfterwards(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(Units);
        var before = await node.ClaimEachAsync(pool, 0, Early);
        await ForgetAsync(node, pool);
        Assert.Equal(Units, await Another(node).RebuildAsync(pool));

        await node.Keeping.RoundAsync();
        Assert.Equal(Units - Early, (await node.InRedisAsync(pool)).Left);
        await AssertKeptAsync(node, pool, before);
    }

    [Fact]
    public async Task Acknowledged_WhoseUnitsWereSoldAgain_AreRejectedByNameAndNobodyElseIs()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis));
        var pool = await node.OpenPoolAsync(Units);
        var before = await node.ClaimEachAsync(pool, 0, Early);
        await ForgetAsync(node, pool);
        await Another(node).RebuildAsync(pool);
        var after = await node.ClaimEachAsync(pool, 100, 7);

        await node.Keeping.RoundAsync();
        await node.DrainAsync();
        var states = (await node.WrittenAsync(pool)).ToDictionary(claim => claim.Id, claim => claim.State);
        Assert.All(after, claim => Assert.Equal(ClaimState.Confirmed, states[claim]));
        Assert.Equal(Units, states.Values.Count(state => state == ClaimState.Confirmed));
        Assert.Equal(Early + 7 - Units, before.Count(claim => states[claim] == ClaimState.Rejected));
    }

    // The user has another claim by now, so the first one has no place: it is let go, and nobody rebuilds the pool for it again and again.
    [Fact]
    public async Task Acknowledged_WhoseUserHasAskedAgainSince_AreLetGo()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis));
        using var other = new PoolNode(await engines.OpenAsync(Engine.Redis), database: node.Database);
        var pool = await node.OpenPoolAsync(Units);
        await node.ClaimEachAsync(pool, 0, 2);
        await ForgetAsync(node, pool);
        await other.Rebuilder.RebuildAsync(pool);
        var again = await other.ClaimEachAsync(pool, 0, 2);
        for (var round = 0; round < 4; round++)
        {
            await node.Keeping.RoundAsync();
        }

        Assert.Equal(0, node.Journal.Count);
        var generation = (await node.Pools.FindAsync(pool))!.Generation;
        await node.Keeping.RoundAsync();
        Assert.Equal(generation, (await node.Pools.FindAsync(pool))!.Generation);
        await AssertKeptAsync(node, pool, again);
    }

    [Fact]
    public async Task Journal_WhenAnotherProcessHasWrittenTheClaims_LetsThemGo()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis));
        using var worker = new PoolNode(await engines.OpenAsync(Engine.Redis), database: node.Database);
        var pool = await node.OpenPoolAsync(Units);
        await node.ClaimEachAsync(pool, 0, Early);
        Assert.Equal(Early, node.Journal.Count);
        await worker.DrainAsync();

        await node.Keeping.RoundAsync();
        Assert.Equal(0, node.Journal.Count);
    }

    [Fact]
    public async Task Journal_ThatIsFull_KeepsWhatItHasAndClaimsGoOn()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis), new PoolsOptions { AckJournalClaimsMax = 4 });
        var pool = await node.OpenPoolAsync(Units);
        await node.ClaimEachAsync(pool, 0, Early);
        Assert.Equal(4, node.Journal.Count);
        await node.DrainAsync();
        Assert.Equal(0, node.Journal.Count);
        await node.ClaimEachAsync(pool, 100, 3);
        Assert.Equal(3, node.Journal.Count);
    }

    // As when the database was deleted, and the rest of the data folder was not.
    [Fact]
    public async Task Journal_OfAPoolThatSqlDoesNotKnow_LetsGoOfItAndOfNoOther()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis));
        var pool = await node.OpenPoolAsync(Units);
        await node.ClaimEachAsync(pool, 0, Early);
        node.Journal.Of(Nowhere).Keep(1, "u-1", 1, "", null, generation: 0);
        await node.Keeping.RoundAsync();
        Assert.Empty(node.Journal.Claims(Nowhere));
        Assert.Equal(Early, node.Journal.Claims(pool).Count);
    }

    // Found again, perhaps after an answer that never came: this node acknowledges it now, under the key that it has.
    [Fact]
    public async Task Journal_OfAClaimThatAnotherNodeMade_KeepsItAsItIs()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis));
        using var other = new PoolNode(await engines.OpenAsync(Engine.Redis), database: node.Database);
        var pool = await node.OpenPoolAsync(Units);
        var first = await node.ClaimAsync(pool, "u-1", key: PoolNode.Key(1));
        await other.ClaimAsync(pool, "u-1", key: PoolNode.Key(2));

        Assert.Equal(new Claim(first.ClaimIds[0], pool, "u-1", 1, PoolNode.Key(1)), Assert.Single(other.Journal.Claims(pool)));
    }

    private static async Task<List<ClaimAnswer>> CrowdAsync(PoolNode node, long pool) =>
        [.. (await Task.WhenAll(Enumerable.Range(100, 30).Select(user => node.ClaimAsync(pool, $"u-{user}")))).Where(answer => answer.Outcome == ClaimOutcome.Accepted)];

    private static async Task AssertKeptAsync(PoolNode node, long pool, HashSet<long> promised)
    {
        await node.DrainAsync();
        var written = await node.WrittenAsync(pool);
        Assert.All(written, claim => Assert.Equal(ClaimState.Confirmed, claim.State));
        Assert.Subset(written.Select(claim => claim.Id).ToHashSet(), promised);
        await node.AssertAuditHoldsAsync(pool);
    }

    // A rebuilder in another process: it has acknowledged nothing itself.
    private static PoolRebuilder Another(PoolNode node) =>
        new(node.Database, node.Redis, new AckJournal(new PoolsOptions()), TimeProvider.System, NullLogger<PoolRebuilder>.Instance);

    private static Task<long> ForgetAsync(PoolNode node, long pool)
    {
        var keys = new PoolKeys(pool);
        return node.Redis.DbOf(keys.Meta).KeyDeleteAsync([keys.Meta, keys.Left, keys.Holders, keys.Log, keys.Journal, keys.Dead, keys.Handed]);
    }
}

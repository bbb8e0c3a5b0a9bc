using Sluice.Platform.Pools;

namespace Sluice.Tests.Integration.Contract;

/// <summary>The promise itself, with everybody at once.</summary>
public sealed class ExactlySoldTests(Engines engines)
{
    private const int Callers = 64, Claims = 5_000, Units = 500;

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    [InlineData(Engine.SqlAlone)]
    [InlineData(Engine.MariaDbAlone)]
    public async Task Claim_WhenTenTimesTooManyAsk_SellsExactlyWhatThereIs(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(Units);
        var answers = await AskAsync(node, pool, user => [1]);

        Assert.Equal(Units, answers.Count(answer => answer.Outcome == ClaimOutcome.Accepted));
        Assert.Equal(Claims - Units, answers.Count(answer => answer.Outcome == ClaimOutcome.SoldOut));
        await node.DrainAsync();
        Assert.Equal(Units, (await node.WrittenAsync(pool)).Count(claim => claim.State == ClaimState.Confirmed));
        await node.AssertAuditHoldsAsync(pool);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    [InlineData(Engine.SqlAlone)]
    [InlineData(Engine.MariaDbAlone)]
    public async Task Claim_WhenEverybodyAsksTwice_CountsEachUserOnce(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(Units);
        var answers = await AskAsync(node, pool, user => [1, 1]);

        var accepted = answers.Where(answer => answer.Outcome == ClaimOutcome.Accepted).SelectMany(answer => answer.ClaimIds).ToHashSet();
        Assert.Equal(Units, accepted.Count);
        Assert.All(answers.Where(answer => answer.Outcome == ClaimOutcome.AlreadyClaimed), answer => Assert.Contains(Assert.Single(answer.ClaimIds), accepted));
        await node.DrainAsync();
        await node.AssertAuditHoldsAsync(pool);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    [InlineData(Engine.SqlAlone)]
    [InlineData(Engine.MariaDbAlone)]
    public async Task Claim_WhenUsersTakeSeveralUnits_NeverSellsMoreThanThereIs(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(Units, limit: 3);
        var answers = await AskAsync(node, pool, user => [(user % 3) + 1]);

        // Whoever wanted one got one as long as there was one: the pool ends empty to the unit.
        Assert.Equal(0, (await node.InRedisAsync(pool)).Left);
        Assert.Contains(answers, answer => answer.Outcome == ClaimOutcome.SoldOut);
        await node.DrainAsync();
        Assert.Equal(Units, (await node.Pools.FindAsync(pool))!.ClaimedUnits);
        await node.AssertAuditHoldsAsync(pool);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Claim_WhileOthersCancelAndTheWorkerWrites_EndsBalanced(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(Units);
        var worker = node.Drain;
        await worker.StartAsync(CancellationToken.None);
        try
        {
            var asking = AskAsync(node, pool, user => [1], users: 2_000);
            while (!asking.IsCompleted)
            {
                var written = (await node.WrittenAsync(pool)).Where(claim => claim.State == ClaimState.Confirmed && claim.Id % 5 == 0).Select(claim => claim.Id);
                await node.ReleaseAsync([.. written.Take(20)]);
                await node.Releases.ReturnPendingAsync();
            }

            await asking;
        }
        finally
        {
            await worker.StopAsync(CancellationToken.None);
        }

        while (await node.Releases.ReturnPendingAsync() > 0)
        {
        }

        await node.AssertAuditHoldsAsync(pool);
    }

    // So many callers, each with its share of the users, one request after the other, as fast as it can.
    private static async Task<List<ClaimAnswer>> AskAsync(PoolNode node, long pool, Func<int, int[]> units, int users = Claims)
    {
        var answers = await Task.WhenAll(Enumerable.Range(0, Callers).Select(caller => Task.Run(async () =>
        {
            var mine = new List<ClaimAnswer>();
            for (var user = caller; user < users; user += Callers)
            {
                mine.AddRange(await Task.WhenAll(units(user).Select(count => node.ClaimAsync(pool, $"u-{user}", count))));
            }

            return mine;
        })));
        return [.. answers.SelectMany(answer => answer)];
    }
}

using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Units that move between Redis' share and what is set aside, in mid-sale: hidden for a moment, never doubled.</summary>
public sealed class SetAsideTests(Engines engines)
{
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.MariaDb)]
    public async Task SetAside_RaisedAndLowered_MovesUnitsBetweenTheEngines(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(20, setAside: 2);
        await node.ClaimAsync(pool, "u");
        foreach (var (units, left) in new[] { (8, 11), (8, 11), (3, 16), (0, 19), (9, 10) })
        {
            Assert.Equal((units, 0), Aside(await node.Pools.SetAsideAsync(pool, units)));
            Assert.Equal(left, (await node.InRedisAsync(pool)).Left);
        }

        await node.DrainAsync();
        await node.AssertAuditHoldsAsync(pool);
    }

    [Fact]
    public async Task SetAside_AboveWhatRedisHasLeft_ChangesNothing()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(20, setAside: 2);
        Assert.Equal((2, 0), Aside(await node.Pools.SetAsideAsync(pool, 11)));
        Assert.Equal(18, (await node.InRedisAsync(pool)).Left);
    }

    // Whoever began it died: before Redis gave anything up, or after, and perhaps the pool was rebuilt since, or Redis has sold the units meanwhile.
    [Theory]
    [InlineData(Engine.Garnet, false, false, 5, 7)]
    [InlineData(Engine.Garnet, false, true, 0, 12)]
    [InlineData(Engine.Garnet, true, false, 5, 7)]
    [InlineData(Engine.Garnet, true, true, 0, 12)]
    [InlineData(Engine.MariaDb, true, false, 5, 7)]
    [InlineData(Engine.MariaDb, true, true, 0, 12)]
    public async Task SetAside_BrokenOff_IsFinishedOrTakenBack(Engine engine, bool taken, bool rebuilt, long setAside, long left)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(12);
        await WantAsync(node, pool, 5);

        // Not before Redis has given it up.
        Assert.Equal(0, await node.Pools.FinishTakingAsync(pool));
        if (taken)
        {
            await node.Pools.ApplyPendingAsync();
            Assert.Equal(7, (await node.InRedisAsync(pool)).Left);
        }

        if (rebuilt)
        {
            await node.Rebuilder.RebuildAsync(pool);
        }

        await FinishAsync(node);
        Assert.Equal((setAside, 0), Aside((await node.Pools.FindAsync(pool))!));
        Assert.Equal(left, (await node.InRedisAsync(pool)).Left);
        await node.AssertAuditHoldsAsync(pool);
    }

    [Fact]
    public async Task SetAside_OfUnitsThatRedisHasSoldMeanwhile_IsGivenUp()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(12);
        await node.ClaimEachAsync(pool, 0, 9);
        await WantAsync(node, pool, 5);
        await FinishAsync(node);
        Assert.Equal((0, 0), Aside((await node.Pools.FindAsync(pool))!));
        Assert.Equal(3, (await node.InRedisAsync(pool)).Left);

        // What else is set at that time arrives.
        await WantAsync(node, pool, 5);
        await node.Database.WriteAsync(transaction => PoolStore.SetGateAsync(transaction, pool, Gate.Paused));
        await node.Pools.ApplyAsync(pool);
        Assert.Equal(ClaimOutcome.Paused, (await node.ClaimAsync(pool, "late")).Outcome);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task SetAside_ChangedWhileBothEnginesSellAndOthersRebuild_NeverSellsAUnitTwice(Engine engine)
    {
        const int Capacity = 400;
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(Capacity, setAside: 20);
        var random = new Random(7);
        var sold = await Task.WhenAll(
            Task.Run(() => SellAsync(500, async n => (await node.ClaimAsync(pool, $"r-{n}")).Outcome == ClaimOutcome.Accepted)),
            Task.Run(() => SellAsync(300, async n =>
            {
                var claim = new PendingClaim($"s-{n}", 1, "", node.Ids.Next("s"));
                await node.Sql.AskAsync(pool, [claim]);
                claim.Tell();
                return (await claim.Task)!.Value.Outcome == ClaimOutcome.Accepted;
            })),
            Task.Run(() => SellAsync(60, async n =>
            {
                await node.Pools.SetAsideAsync(pool, random.Next(60));
                return false;
            })),
            Task.Run(() => SellAsync(15, async n =>
            {
                await node.Rebuilder.RebuildAsync(pool);
                await FinishAsync(node);
                return false;
            })));
        await FinishAsync(node);
        await node.DrainAsync();

        var row = (await node.Pools.FindAsync(pool))!;
        Assert.Equal(sold.Sum(), row.ClaimedUnits);
        Assert.All(await node.WrittenAsync(pool), claim => Assert.Equal(ClaimState.Confirmed, claim.State));
        Assert.Equal(Capacity, row.ClaimedUnits + (await node.InRedisAsync(pool)).Left + row.SetAsideUnits);
        await node.AssertAuditHoldsAsync(pool);
    }

    // Step 1 of PoolStore.SetAsideAsync, and then nothing.
    private static Task<int> WantAsync(PoolNode node, long pool, long units) => node.Database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync(
        "UPDATE pools SET taking_units = @units, version = version + 1 WHERE id = @pool", new { pool, units }, transaction));

    // What PoolKeeper does each round.
    private static async Task FinishAsync(PoolNode node)
    {
        await node.Pools.ApplyPendingAsync();
        await node.Pools.FinishTakingAsync();
        await node.Pools.ApplyPendingAsync();
    }

    private static async Task<int> SellAsync(int times, Func<int, Task<bool>> sell)
    {
        var sold = 0;
        for (var n = 0; n < times; n++)
        {
            try
            {
                sold += await sell(n) ? 1 : 0;
            }
            catch (DependencyUnavailableException)
            {
                // Come back later: nothing is set aside just now, or the pool is being rebuilt.
            }
        }

        return sold;
    }

    private static (long, long) Aside(Pool pool) => (pool.SetAsideUnits, pool.SoldAsideUnits);
}

using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;

namespace Sluice.Tests.Integration.Contract;

public sealed class PoolStoreTests(Engines engines)
{
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Apply_AfterAChangeInSql_IsSeenByTheNextClaim(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 1);
        await node.Database.WriteAsync(transaction => PoolStore.SetGateAsync(transaction, pool, Gate.Paused));
        await node.Pools.ApplyAsync(pool);

        Assert.Equal(ClaimOutcome.Paused, (await node.ClaimAsync(pool, "u-1")).Outcome);
    }

    [Fact]
    public async Task List_PageByPage_HasEachPoolOnceNewestFirst()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var made = new List<long>();
        for (var i = 0; i < 5; i++)
        {
            made.Add(await node.OpenPoolAsync(units: 1, apply: false));
        }

        var walked = new List<long>();
        for (var before = long.MaxValue; await node.Pools.ListAsync(poolsMax: 2, before) is { Count: > 0 } page; before = page[^1].Id)
        {
            walked.AddRange(page.Select(pool => pool.Id));
        }

        Assert.Equal(made.OrderDescending(), walked);
    }

    // A rebuild that began before the change thaws the pool with the settings of before.
    [Fact]
    public async Task Apply_WhileAnotherProcessRebuilds_IsNotTakenForApplied()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(units: 1, apply: false);
        await node.Redis.DbOf(new PoolKeys(pool).Meta).HashSetAsync(new PoolKeys(pool).Meta, [new("frozen", "another process"), new("frozenAt", TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()), new("frozenIn", await node.Redis.RunAsync(new PoolKeys(pool).Meta))]);

        await Assert.ThrowsAsync<DependencyUnavailableException>(() => node.Pools.ApplyAsync(pool));
        Assert.Equal(0, (await node.Pools.FindAsync(pool))!.AppliedVersion);
    }

    [Fact]
    public async Task ApplyPending_AfterACrashBetweenSqlAndRedis_FinishesIt()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(units: 1);
        await node.Database.WriteAsync(transaction => node.Pools.AddUnitsAsync(transaction, pool, adjustmentId: node.Ids.Next("x"), units: 4));
        Assert.Equal(1, await node.Pools.ApplyPendingAsync());

        Assert.Equal(5, (await node.InRedisAsync(pool)).Left);
        Assert.Equal(0, await node.Pools.ApplyPendingAsync());
    }
}

using Dapper;
using Sluice.Platform.Pools;

namespace Sluice.Tests.Integration.Contract;

/// <summary>SQL comes back without its newest rows (a failover, a backup that was put back): the journal of the queue brings them again.</summary>
public sealed class LostSqlTailTests(Engines engines)
{
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Rebuild_WhenSqlHasLostItsTail_WritesItAgainBesideTheUsersOtherClaims(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 10, limit: 2);
        var kept = (await node.ClaimAsync(pool, "u-1")).ClaimIds[0];
        await node.DrainAsync();
        var lost = (await node.ClaimAsync(pool, "u-1")).ClaimIds[0];
        await node.DrainAsync();
        await node.Database.WriteAsync(async transaction =>
        {
            await transaction.Connection!.ExecuteAsync("DELETE FROM claims WHERE id = @lost", new { lost }, transaction);
            await transaction.Connection!.ExecuteAsync("UPDATE pools SET claimed_units = claimed_units - 1 WHERE id = @pool", new { pool }, transaction);
        });

        Assert.Equal(8, await node.Rebuilder.RebuildAsync(pool));
        Assert.Equal(ClaimOutcome.LimitReached, (await node.ClaimAsync(pool, "u-1")).Outcome);
        await node.DrainAsync();
        var written = await node.Database.ReadAsync(connection => connection.QueryAsync<long>("SELECT id FROM claims WHERE pool_id = @pool ORDER BY id", new { pool }));
        Assert.Equal([kept, lost], written);
    }
}

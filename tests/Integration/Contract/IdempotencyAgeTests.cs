using Dapper;
using Microsoft.Extensions.Time.Testing;
using Sluice.Platform.Http;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Keys are remembered for a month, and then forgotten: the table does not grow for ever.</summary>
public sealed class IdempotencyAgeTests(Engines engines)
{
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task Key_IsRememberedForAMonthAndThenForgotten(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var time = new FakeTimeProvider(TimeProvider.System.GetUtcNow());
        var idempotency = new Idempotency(node.Database, time);
        Task<(long Id, bool IsNew)> OnceAsync(string key, long id) => idempotency.OnceAsync(key, "POST things", "a thing", _ => Task.FromResult(id));

        await OnceAsync(PoolNode.Key(1), 11);
        time.Advance(TimeSpan.FromDays(29));
        Assert.Equal((11, false), await OnceAsync(PoolNode.Key(1), 12));

        time.Advance(TimeSpan.FromDays(2));
        await OnceAsync(PoolNode.Key(2), 21);
        Assert.Equal([21L], await node.Database.ReadAsync(connection => connection.QueryAsync<long>("SELECT result_id FROM idempotency")));
        Assert.Equal((13, true), await OnceAsync(PoolNode.Key(1), 13));
    }
}

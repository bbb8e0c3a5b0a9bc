using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using Sluice.Tests.Integration.Servers;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>What a node makes of Sentinels and replicas that are not well. The drills of a whole shop are in Failure.</summary>
public sealed class SentinelTests
{
    [Fact]
    public async Task Claim_ThatNoReplicaHasInTime_IsUnknownUntilTheSameKeyFindsIt()
    {
        await using var group = await RedisGroup.StartAsync();
        using var folder = new TempFolder();
        var options = group.Options(replicaWaitMax: TimeSpan.FromMilliseconds(200));
        await using var redis = await RedisConnection.OpenAsync(options, folder.Path, NullLoggerFactory.Instance, replicated: true);
        using var node = new PoolNode(new EnginePair(redis, new(), Durability.Replicated));
        var pool = await node.OpenPoolAsync(units: 5);
        await node.ClaimAsync(pool, "u-0", key: PoolNode.Key(0));

        // Within min-replicas-max-lag: the primary takes the claim, and nobody else has it.
        var replicas = await group.ReplicasAsync();
        foreach (var replica in replicas)
        {
            replica.Stop();
        }

        await Assert.ThrowsAsync<DependencyUnavailableException>(() => node.ClaimAsync(pool, "u-1", key: PoolNode.Key(1)));
        Assert.Equal(3, (long)await redis.DbOf(new PoolKeys(pool).Left).StringGetAsync(new PoolKeys(pool).Left));
        Assert.Equal(1, node.Journal.Count);

        // On a connection that has written nothing, WAIT alone would say that all is well.
        await using var fresh = await RedisConnection.OpenAsync(options, folder.Path, NullLoggerFactory.Instance, replicated: true);
        using var other = new PoolNode(new EnginePair(fresh, new(), Durability.Replicated), database: node.Database);
        await Assert.ThrowsAsync<DependencyUnavailableException>(() => other.ClaimAsync(pool, "u-1", key: PoolNode.Key(1)));

        foreach (var replica in replicas)
        {
            replica.Continue();
        }

        ClaimAnswer? found = null;
        await Eventually.TrueAsync(
            async () =>
            {
                try
                {
                    return (found = await node.ClaimAsync(pool, "u-1", key: PoolNode.Key(1))) is not null;
                }
                catch (DependencyUnavailableException)
                {
                    return false;
                }
            },
            "the claim is found");
        Assert.Equal(ClaimOutcome.AlreadyClaimed, found!.Value.Outcome);
        await node.DrainAsync();
        Assert.Equal(2, (await node.WrittenAsync(pool)).Count);
        await node.AssertAuditHoldsAsync(pool);
    }

    // Alone with the primary, a node cannot know whether the others have a new one.
    [Fact]
    public async Task Node_ThatHearsNoMajorityOfTheSentinels_RefusesClaimsUntilItDoes()
    {
        await using var group = await RedisGroup.StartAsync();
        using var folder = new TempFolder();
        await using var redis = await RedisConnection.OpenAsync(group.Options(), folder.Path, NullLoggerFactory.Instance, replicated: true);
        using var node = new PoolNode(new EnginePair(redis, new(), Durability.Replicated));
        var pool = await node.OpenPoolAsync(units: 5);
        foreach (var sentinel in group.Sentinels.Take(2))
        {
            sentinel.Stop();
        }

        await Eventually.TrueAsync(() => IsRefusedAsync(node, pool), "claims are refused");
        var refusal = await Assert.ThrowsAsync<DependencyUnavailableException>(() => node.ClaimAsync(pool, "u-1"));
        Assert.Contains("of 3 Sentinels 1 name a primary of 'shop'", refusal.Message, StringComparison.Ordinal);

        foreach (var sentinel in group.Sentinels.Take(2))
        {
            sentinel.Continue();
        }

        await Eventually.TrueAsync(async () => !await IsRefusedAsync(node, pool), "claims go on");
    }

    // The first primary is the primary again, and is the same process as before; what it holds has been somebody else's meanwhile.
    [Fact]
    public async Task Life_AfterAFailoverThereAndBack_IsANewOneEachTime()
    {
        await using var group = await RedisGroup.StartAsync();
        using var folder = new TempFolder();
        await using var redis = await RedisConnection.OpenAsync(group.Options(), folder.Path, NullLoggerFactory.Instance, replicated: true);
        var first = await group.PrimaryAsync();
        var lives = new List<string> { await redis.RunAsync("any") };
        for (var failover = 0; failover < 2 || await group.PrimaryAsync() != first; failover++)
        {
            Assert.InRange(failover, 0, 9);
            await group.FailOverAsync();
            await Eventually.TrueAsync(async () => !lives.Contains(await LifeAsync(redis)), "the next life is noticed");
            lives.Add(await redis.RunAsync("any"));
        }

        Assert.Equal(lives.Count, lives.Distinct(StringComparer.Ordinal).Count());
    }

    [Fact]
    public async Task Start_OnAServerThatTakesWritesWithoutAReplica_IsRefusedWithASentence()
    {
        await using var server = await RedisServer.StartAsync();
        using var folder = new TempFolder();
        var options = new RedisOptions { Connection = server.Connection };
        var refusal = await Assert.ThrowsAsync<DependencyUnavailableException>(() => RedisConnection.OpenAsync(options, folder.Path, NullLoggerFactory.Instance, replicated: true));
        Assert.Contains("min-replicas-to-write is '0'", refusal.Message, StringComparison.Ordinal);

        await using var client = await ConnectionMultiplexer.ConnectAsync($"{server.Connection},allowAdmin=true");
        await client.GetServers()[0].ConfigSetAsync("min-replicas-to-write", "1");
        await client.GetServers()[0].ConfigSetAsync("appendfsync", "everysec");
        await (await RedisConnection.OpenAsync(options, folder.Path, NullLoggerFactory.Instance, replicated: true)).DisposeAsync();
        refusal = await Assert.ThrowsAsync<DependencyUnavailableException>(() => RedisConnection.OpenAsync(options, folder.Path, NullLoggerFactory.Instance));
        Assert.Contains("appendfsync is 'everysec'", refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("serviceName=shop", "serviceName=other", "0 name a primary of 'other'")]
    [InlineData("sentinel", "wrong", "0 name a primary of 'shop'")]
    [InlineData("redis-", "wrong-", "redis: ")]
    public async Task Start_WithAWrongNameOrPassword_IsRefusedAndShowsNoPassword(string right, string wrong, string says)
    {
        await using var group = await RedisGroup.StartAsync();
        using var folder = new TempFolder();
        var good = group.Options();
        var options = new RedisOptions { Connection = good.Connection.Replace(right, wrong, StringComparison.Ordinal), SentinelPassword = good.SentinelPassword.Replace(right, wrong, StringComparison.Ordinal) };
        var refusal = await Assert.ThrowsAsync<DependencyUnavailableException>(() => RedisConnection.OpenAsync(options, folder.Path, NullLoggerFactory.Instance, replicated: true));
        Assert.Contains(says, refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("not-to-be-shown", refusal.ToString(), StringComparison.Ordinal);
    }

    private static async Task<string> LifeAsync(RedisConnection redis)
    {
        try
        {
            return await redis.RunAsync("any");
        }
        catch (DependencyUnavailableException e)
        {
            throw new TimeoutException("Between two primaries.", e);
        }
    }

    private static async Task<bool> IsRefusedAsync(PoolNode node, long pool)
    {
        try
        {
            await node.ClaimAsync(pool, "u-1");
            return false;
        }
        catch (DependencyUnavailableException)
        {
            return true;
        }
    }
}

using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Pools on the primaries of a real Redis Cluster, while those change.</summary>
public sealed class RedisClusterTests : IAsyncLifetime
{
    private readonly TempFolder folder = new();
    private RedisClusterServers servers = null!;
    private RedisConnection redis = null!;
    private PoolNode node = null!;

    public async ValueTask InitializeAsync()
    {
        servers = await RedisClusterServers.StartAsync();
        redis = await OpenAsync();
        node = new PoolNode(new EnginePair(redis, new SqlOptions(), Durability.Replicated));
    }

    public async ValueTask DisposeAsync()
    {
        node?.Dispose();
        if (redis is not null)
        {
            await redis.DisposeAsync();
        }

        if (servers is not null)
        {
            await servers.DisposeAsync();
        }

        folder.Dispose();
    }

    [Fact]
    public async Task Pools_AreSpreadOverThePrimaries()
    {
        var ports = new HashSet<int>();
        foreach (var pool in Enumerable.Range(1, 12))
        {
            ports.Add(await servers.PrimaryOfAsync(new PoolKeys(pool).Meta.ToString()));
        }

        Assert.Equal(3, ports.Count);
    }

    [Fact]
    public async Task Primary_Killed_ItsPoolIsRebuiltOnTheReplicaAndTheOthersGoOn()
    {
        var (lost, other) = await TwoPoolsApartAsync();
        await node.ClaimEachAsync(lost, 1, 5);
        var before = await redis.RunAsync(new PoolKeys(lost).Meta);
        var port = await PortOfAsync(lost);
        await servers.Server(port).KillAsync();

        // At once, and all the time: the other primary does not wait for anybody.
        for (var user = 0; user < 20; user++)
        {
            Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(other, $"other-{user}")).Outcome);
        }

        await Assert.ThrowsAsync<DependencyUnavailableException>(() => node.ClaimAsync(lost, "early"));

        // The worker too, although the pool without a server comes before the other.
        using (var worker = new PoolNode(new EnginePair(redis, new SqlOptions(), Durability.Replicated), database: node.Database))
        {
            await worker.Drain.RoundAsync();
        }

        Assert.Equal(20, (await node.WrittenAsync(other)).Count);

        // And the node lets go of what the worker, another process to it, has written.
        await Eventually.TrueAsync(
            async () =>
            {
                await Assert.ThrowsAsync<DependencyUnavailableException>(node.Keeping.RoundAsync);
                return node.Journal.Count == 5;
            },
            "only the claims of the lost primary are kept");

        // Back as a replica of its replica: alone that one takes no writes, as it was told.
        await servers.BeginAgainAsync(port);
        await EventuallyAsync(lost, "late");
        Assert.NotEqual(before, await redis.RunAsync(new PoolKeys(lost).Meta));
        await node.DrainAsync();
        Assert.Equal(6, (await node.WrittenAsync(lost)).Count);
        await node.AssertAuditHoldsAsync(lost);
        await node.AssertAuditHoldsAsync(other);
    }

    [Fact]
    public async Task Primary_FrozenAndWokenAfterTheFailover_TakesNoClaimOfTheOldLife()
    {
        var (lost, _) = await TwoPoolsApartAsync();
        await node.ClaimEachAsync(lost, 1, 3);
        var port = await PortOfAsync(lost);
        servers.Server(port).Stop();
        await Assert.ThrowsAsync<DependencyUnavailableException>(() => node.ClaimAsync(lost, "into the frozen one"));
        await Eventually.TrueAsync(async () => await PortOfAsync(lost) != port, "its replica has taken over");
        servers.Server(port).Continue();
        await servers.WholeAsync();
        await EventuallyAsync(lost, "after the failover");
        var claims = await node.ClaimEachAsync(lost, 10, 3);
        await node.DrainAsync();
        var written = await node.WrittenAsync(lost);
        Assert.Superset(claims, written.Select(claim => claim.Id).ToHashSet());
        Assert.InRange(written.Count, 7, 8); // What was on its way into the frozen one may have been taken when it woke, or not.
        await node.AssertAuditHoldsAsync(lost);
    }

    [Fact]
    public async Task Slot_MovedToAnotherPrimary_ItsPoolIsRebuiltThereAndNothingIsLost()
    {
        var (moved, _) = await TwoPoolsApartAsync();
        var claims = await node.ClaimEachAsync(moved, 1, 5);
        await node.DrainAsync();
        claims.UnionWith(await node.ClaimEachAsync(moved, 6, 5));
        var before = await redis.RunAsync(new PoolKeys(moved).Meta);
        var port = await PortOfAsync(moved);
        Assert.NotEqual(port, await servers.MoveSlotAsync(new PoolKeys(moved).Meta.ToString()));
        await EventuallyAsync(moved, "after the move");
        Assert.NotEqual(before, await redis.RunAsync(new PoolKeys(moved).Meta));
        await node.DrainAsync();
        Assert.Superset(claims, (await node.WrittenAsync(moved)).Select(claim => claim.Id).ToHashSet());
        await node.AssertAuditHoldsAsync(moved);
    }

    [Fact]
    public async Task Start_OnOneNodeThatIsNoCluster_IsRefusedWithASentence()
    {
        await using var alone = await RedisServer.StartAsync();
        var refused = await Assert.ThrowsAsync<DependencyUnavailableException>(
            async () => await RedisConnection.OpenAsync(new RedisOptions { Connection = string.Join(',', Enumerable.Repeat(alone.Connection, 1).Append("127.0.0.1:1").Append("127.0.0.1:2")) }, folder.Path, NullLoggerFactory.Instance));
        Assert.Contains("Redis Cluster", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_OnOneNodeOfACluster_IsRefusedWithASentence()
    {
        var refused = await Assert.ThrowsAsync<DependencyUnavailableException>(async () => await RedisConnection.OpenAsync(servers.OneNode(), folder.Path, NullLoggerFactory.Instance, replicated: true));
        Assert.Contains("name at least three of its nodes", refused.Message, StringComparison.Ordinal);
    }

    private Task<RedisConnection> OpenAsync() => RedisConnection.OpenAsync(servers.Options(replicaWaitMax: TimeSpan.FromSeconds(5)), folder.Path, NullLoggerFactory.Instance, replicated: true);

    private Task<int> PortOfAsync(long pool) => servers.PrimaryOfAsync(new PoolKeys(pool).Meta.ToString());

    // Two pools on two primaries.
    private async Task<(long First, long Second)> TwoPoolsApartAsync()
    {
        var first = await node.OpenPoolAsync(100, limit: 1);
        while (true)
        {
            var second = await node.OpenPoolAsync(100, limit: 1);
            if (await PortOfAsync(second) != await PortOfAsync(first))
            {
                return (first, second);
            }
        }
    }

    private Task EventuallyAsync(long pool, string user) => Eventually.TrueAsync(
        async () =>
        {
            try
            {
                return (await node.ClaimAsync(pool, user, key: PoolNode.Key(999))).Outcome is ClaimOutcome.Accepted or ClaimOutcome.AlreadyClaimed;
            }
            catch (DependencyUnavailableException)
            {
                return false;
            }
        },
        "the pool takes claims again");
}

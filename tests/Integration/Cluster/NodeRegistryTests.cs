using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Operations.Nodes;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>The registry of nodes in a real Redis.</summary>
public sealed class NodeRegistryTests
{
    [Fact]
    public async Task Node_ThatAnnouncesItself_IsListedUntilItLeaves()
    {
        await using var server = await RedisServer.StartAsync();
        await using var redis = await OpenAsync(server);
        var registry = new NodeRegistry(redis, new NodesOptions());
        var node = Node(7, "127.0.0.1:1", "life-1") with { Name = "api-1", Version = "1.2", Modules = "Accounts" };
        Assert.Null(await registry.AnnounceAsync(node));
        Assert.Null(await registry.AnnounceAsync(node with { State = NodeState.Draining }));
        var listed = Assert.Single(await registry.ListAsync());
        Assert.Equal(node with { State = NodeState.Draining }, listed.Node);
        Assert.InRange(listed.Silence, TimeSpan.Zero, TimeSpan.FromSeconds(30));
        await registry.RemoveAsync(7);
        Assert.Empty(await registry.ListAsync());
    }

    [Fact]
    public async Task Number_OfALiveNode_IsGivenToNobodyElse()
    {
        await using var server = await RedisServer.StartAsync();
        await using var redis = await OpenAsync(server);
        var registry = new NodeRegistry(redis, new NodesOptions());
        Assert.Null(await registry.AnnounceAsync(Node(7, "10.0.0.1:80", "life-1")));
        Assert.Equal("10.0.0.1:80", await registry.AnnounceAsync(Node(7, "10.0.0.2:80", "life-2")));
        Assert.Equal("life-1", Assert.Single(await registry.ListAsync()).Node.Life);

        // The same place, started again after a kill, is not somebody else.
        Assert.Null(await registry.AnnounceAsync(Node(7, "10.0.0.1:80", "life-3")));

        // And one that has been silent for long has lost it.
        var impatient = new NodeRegistry(redis, new NodesOptions { SilenceMax = TimeSpan.Zero });
        Assert.Null(await impatient.AnnounceAsync(Node(7, "10.0.0.2:80", "life-4")));
        Assert.Equal("life-4", Assert.Single(await registry.ListAsync()).Node.Life);
    }

    [Fact]
    public async Task Server_WithTheNumberOfAnother_DoesNotStart()
    {
        await using var redis = await RedisServer.StartAsync();
        string[] settings = [$"Redis:Connection={redis.Connection}", "NodeId=9"];
        await using var first = await SluiceServer.StartAsync(settings);
        var error = await Assert.ThrowsAsync<InvalidOperationException>(() => SluiceServer.StartAsync(settings));
        Assert.Contains("ended with 3", error.Message, StringComparison.Ordinal);
        Assert.Contains($"127.0.0.1:{first.Port}", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Node_AskedToStop_AnswersUntilTheLoadBalancerHasLetGoOfIt()
    {
        await using var server = await RedisServer.StartAsync();
        await using var redis = await OpenAsync(server);
        var registry = new NodeRegistry(redis, new NodesOptions());
        await using var node = await SluiceServer.StartAsync([$"Redis:Connection={server.Connection}", "NodeId=3", "Nodes:LeaveTimeMax=00:01:00", "Nodes:SilenceMax=00:01:00", "DrainTimeMax=00:02:00"]);
        await registry.AnnounceBalancerAsync("lb", [Assert.Single(await registry.ListAsync()).Node.Life]);
        var ending = node.Process.TerminateAsync();
        await Eventually.TrueAsync(async () => Assert.Single(await registry.ListAsync()).Node.State == NodeState.Draining, "the node says that it drains");

        // Longer than a server that does not wait takes to end.
        for (var i = 0; i < 40; i++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/flash-sales") { Headers = { ConnectionClose = true } };
            Assert.Equal(200, (await node.AnswerAsync(request)).Status);
            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System);
        }

        await registry.AnnounceBalancerAsync("lb", ["another"]);
        Assert.Equal(0, await ending);
        Assert.Empty(await registry.ListAsync());
    }

    [Fact]
    public async Task Balancer_IsListedWithWhomItNames_UntilItIsTakenOut()
    {
        await using var server = await RedisServer.StartAsync();
        await using var redis = await OpenAsync(server);
        var registry = new NodeRegistry(redis, new NodesOptions());
        await registry.AnnounceBalancerAsync("ops-1", ["a", "b"]);
        Assert.Equal(["a", "b"], Assert.Single(await registry.ListBalancersAsync()).Lives);
        Assert.Empty(await new NodeRegistry(redis, new NodesOptions { SilenceMax = TimeSpan.FromSeconds(-1) }).ListBalancersAsync());
        await registry.RemoveBalancerAsync("ops-1");
        Assert.Empty(await registry.ListBalancersAsync());
    }

    private static NodeAnnouncement Node(int id, string address, string life) => new(id, $"node-{id}", Roles.Api, address, "", new DateTime(2026, 11, 22, 0, 0, 0, DateTimeKind.Utc), NodeState.Ready, life);

    private static Task<RedisConnection> OpenAsync(RedisServer server) => RedisConnection.OpenAsync(new RedisOptions { Connection = server.Connection }, "", NullLoggerFactory.Instance);
}

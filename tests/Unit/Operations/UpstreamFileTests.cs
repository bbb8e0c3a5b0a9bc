using Sluice.Operations.LoadBalancer;
using Sluice.Operations.Nodes;
using Sluice.Platform.Hosting;

namespace Sluice.Tests.Unit.Operations;

public sealed class UpstreamFileTests
{
    private static readonly TimeSpan SilenceMax = TimeSpan.FromSeconds(5);

    [Fact]
    public void Choose_TakesWhoAnswersHttpIsReadyAndWasHeard()
    {
        var chosen = UpstreamFile.Choose(
            [Node(1), Node(2, NodeState.Starting), Node(3, NodeState.Draining), Node(4, roles: Roles.Worker), Node(5, silent: 6), Node(6, roles: Roles.All)], [], SilenceMax, mayDropSilent: true);
        Assert.Equal([1, 6], chosen.Select(node => node.NodeId));
    }

    [Fact]
    public void Choose_WhenNobodyIsLeft_KeepsThoseOfBefore()
    {
        var before = new[] { Node(1).Node, Node(2).Node };
        Assert.Same(before, UpstreamFile.Choose([Node(1, NodeState.Draining), Node(2, silent: 60)], before, SilenceMax, mayDropSilent: true));
        Assert.Same(before, UpstreamFile.Choose([], before, SilenceMax, mayDropSilent: true));
    }

    [Fact]
    public void Choose_AfterTheRegistryWasAway_DropsNobodyForBeingSilentButWhoDrains()
    {
        var before = new[] { Node(1).Node, Node(2).Node, Node(3).Node };
        var chosen = UpstreamFile.Choose([Node(1, silent: 60), Node(3, NodeState.Draining)], before, SilenceMax, mayDropSilent: false);
        Assert.Equal([1, 2], chosen.Select(node => node.NodeId).Order());
    }

    [Theory]
    [InlineData("all", "1,2,3")]
    [InlineData("Accounts", "1,2")]
    [InlineData("catalog, accounts", "1,2")]
    [InlineData("Orders", "1,3")]
    [InlineData("Orders,Accounts", "1")]
    public void NginxOfSomeModules_SendsToNodesThatRunThemAll(string modules, string chosen)
    {
        NodeAnnouncement[] nodes = [Node(1).Node, Node(2).Node with { Modules = "Accounts,Catalog" }, Node(3).Node with { Modules = "FlashSales, Orders,Stocks" }];
        Assert.Equal(chosen, string.Join(',', nodes.Where(node => UpstreamFile.IsFor(node, new NginxOptions { Modules = modules })).Select(node => node.NodeId)));
    }

    [Fact]
    public void Of_TheSameNodesInAnyOrder_IsTheSameFile()
    {
        var one = UpstreamFile.Of([Node(1).Node, Node(2).Node]);
        Assert.Equal(one.Text, UpstreamFile.Of([Node(2).Node, Node(1).Node]).Text);
        Assert.NotEqual(one.Version, UpstreamFile.Of([Node(1).Node]).Version);
        Assert.NotEqual(one.Version, UpstreamFile.Of([Node(1).Node, Node(2).Node with { Life = "another" }]).Version);
        Assert.Contains("server 10.0.0.2:80 max_fails=2 fail_timeout=3s; # node-2", one.Text, StringComparison.Ordinal);
    }

    private static RegisteredNode Node(int id, NodeState state = NodeState.Ready, Roles roles = Roles.Api, int silent = 0) =>
        new(new NodeAnnouncement(id, $"node-{id}", roles, $"10.0.0.{id}:80", "", default, state, $"life-{id}"), TimeSpan.FromSeconds(silent));
}

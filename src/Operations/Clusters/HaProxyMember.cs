using System.Globalization;
using Sluice.Platform.Sql;

namespace Sluice.Operations.Clusters;

/// <summary>The HAProxy of the cluster, which leads to the one Galera node that is written, and the checks that it asks: what is shipped for teams (deploy/haproxy), with other addresses.</summary>
internal static class HaProxyMember
{
    public static OwnProcess Start(ClusterFolder folder, ClusterState state, Member member)
    {
        var home = folder.Of(member);
        ClusterFolder.MakeFolder(home);
        var file = Path.Combine(home, "haproxy.cfg");
        var checks = state.Members.Where(each => each.Kind == MemberKind.SqlCheck).ToDictionary(check => check.NodeId);
        File.WriteAllText(file, ShippedFile.With("haproxy.cfg", [
            ("bind 127.0.0.1:3307", string.Create(CultureInfo.InvariantCulture, $"bind 127.0.0.1:{member.Port}")),
            .. GaleraMember.Nodes(state).Select(node => (
                string.Create(CultureInfo.InvariantCulture, $"server g{node.NodeId} 10.0.0.2{node.NodeId}:3306 check addr 10.0.0.2{node.NodeId} port 9201"),
                string.Create(CultureInfo.InvariantCulture, $"server {node.Name} 127.0.0.1:{node.Port} check addr 127.0.0.1 port {checks[node.NodeId].Port}"))),
        ]));
        return OwnProcess.Start(ServerPrograms.Find("haproxy"), ["-db", "-f", file], new Dictionary<string, string>(StringComparer.Ordinal), home, folder.LogOf(member));
    }

    /// <summary><c>sluice check-sql</c> for one node.</summary>
    public static OwnProcess StartCheck(ClusterFolder folder, ClusterState state, Member member) => SluiceMember.Run(
        ["check-sql", "--urls", SluiceMember.Url(member)],
        new Dictionary<string, string>(StringComparer.Ordinal) { ["SLUICE__SQL__CONNECTION"] = MariaDbMember.Connection(folder, GaleraMember.Nodes(state).Single(node => node.NodeId == member.NodeId).Port) },
        folder.Root, folder.LogOf(member));

    /// <summary>Name of the MariaDB to which a new connection leads now, or null.</summary>
    public static async Task<string?> WriterAsync(ClusterFolder folder, ClusterState state) =>
        state.Find("haproxy") is { IsAlive: true } proxy ? (await GaleraView.TryLookAsync(MariaDbMember.Connection(folder, proxy.Port)))?.Name : null;
}

using System.Security.Cryptography;
using System.Text;
using Sluice.Operations.Nodes;
using Sluice.Platform.Hosting;

namespace Sluice.Operations.LoadBalancer;

/// <summary>nginx' upstream file: which nodes answer.</summary>
/// <param name="Version">What nginx says once this file is in force: a hash of the nodes.</param>
internal sealed record UpstreamFile(string Version, string Text, IReadOnlyList<string> Lives)
{
    /// <summary>The file for these nodes.</summary>
    public static UpstreamFile Of(IReadOnlyList<NodeAnnouncement> nodes)
    {
        var servers = nodes.OrderBy(node => node.NodeId).ToList();

        // The lives too: a node that was started again counts as in force only when nginx knows that it is back.
        var version = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', servers.Select(node => $"{node.NodeId} {node.Address} {node.Life}")))))[..12];
        var text = new StringBuilder("# Written by Sluice from its registry of nodes, and written again at every change: edits are lost.\n")
            .Append("upstream sluice {\n  zone sluice 64k;\n");
        foreach (var node in servers)
        {
            text.Append($"  server {node.Address} max_fails=2 fail_timeout=3s; # {node.Name}\n");
        }

        // Kept for each of nginx' processes: with fewer than there are requests at once, connections are made and closed all the time, which costs both sides more than the request.
        text.Append("  keepalive 512;\n}\n").Append($"map \"\" $sluice_upstreams {{\n  default \"{version}\";\n}}\n");
        return new UpstreamFile(version, text.ToString(), [.. servers.Select(node => node.Life)]);
    }

    /// <summary>The node runs what this nginx is for.</summary>
    public static bool IsFor(NodeAnnouncement node, NginxOptions options) => options.Modules.Trim().Equals("all", StringComparison.OrdinalIgnoreCase) || node.Runs(options.Modules);

    /// <summary>
    /// The nodes that should get requests: those that answer HTTP, are ready and were heard of. Never none: when nobody is left, those of before stay,
    /// because nginx can try a node that we believe dead, and cannot do anything with an empty list.
    /// </summary>
    /// <param name="before">Who gets requests now.</param>
    /// <param name="mayDropSilent">False while the registry itself was away: then silence says nothing about a node.</param>
    public static IReadOnlyList<NodeAnnouncement> Choose(IReadOnlyList<RegisteredNode> nodes, IReadOnlyList<NodeAnnouncement> before, TimeSpan silenceMax, bool mayDropSilent)
    {
        var chosen = nodes.Where(node => node.Node.Roles.HasFlag(Roles.Api) && node.Node.State == NodeState.Ready && (node.Silence <= silenceMax || (!mayDropSilent && IsIn(before, node.Node))))
            .Select(node => node.Node).ToList();
        if (!mayDropSilent)
        {
            chosen.AddRange(before.Where(old => !nodes.Any(node => node.Node.NodeId == old.NodeId)));
        }

        return chosen.Count > 0 ? chosen : before;
    }

    private static bool IsIn(IReadOnlyList<NodeAnnouncement> nodes, NodeAnnouncement node) => nodes.Any(each => each.Life == node.Life);
}

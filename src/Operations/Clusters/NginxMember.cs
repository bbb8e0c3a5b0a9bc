using System.Globalization;
using Sluice.Operations.LoadBalancer;
using Sluice.Operations.Nodes;
using Sluice.Platform.Hosting;

namespace Sluice.Operations.Clusters;

/// <summary>The nginx of the cluster: the configuration that is shipped for teams (deploy/nginx) with other paths and another port.</summary>
internal static class NginxMember
{
    public static string UpstreamFile(ClusterFolder folder) => Path.Combine(folder.Root, "nginx", "sluice-upstream.conf");

    public static string PidFile(ClusterFolder folder) => Path.Combine(folder.Root, "nginx", "nginx.pid");

    public static string CheckUrl(Member nginx) => string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{nginx.Port}/nginx/upstreams");

    public static OwnProcess Start(ClusterFolder folder, ClusterState state, Member member)
    {
        var home = folder.Of(member);
        ClusterFolder.MakeFolder(home);
        ClusterFolder.MakeFolder(Path.Combine(home, "temp"));
        File.WriteAllText(Path.Combine(home, "nginx.conf"), ShippedFile.With("nginx.conf", ("/run/nginx.pid", PidFile(folder)), ("/var/log/nginx/", $"{home}/"), ("/var/lib/nginx/", $"{home}/temp/"), ("/etc/nginx/", $"{home}/")));
        File.WriteAllText(Path.Combine(home, "sluice.conf"), ShippedFile.With(
            "sluice.conf", ("/etc/nginx/", $"{home}/"), ("/var/log/nginx/", $"{home}/"), ("listen 80 ", string.Create(CultureInfo.InvariantCulture, $"listen 127.0.0.1:{member.Port} "))));
        if (!File.Exists(UpstreamFile(folder)))
        {
            // Until the ops node has looked into the registry: the nodes that are planned.
            File.WriteAllText(UpstreamFile(folder), LoadBalancer.UpstreamFile.Of([.. state.Members.Where(node => node.Kind == MemberKind.Api).Select(node => new NodeAnnouncement(
                node.NodeId, node.Name, Roles.Api, string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{node.Port}"), "", default, NodeState.Ready))]).Text);
        }

        // Workers of a root's nginx would be nobody, who cannot look into a folder that is the owner's alone.
        var user = Environment.UserName == "root" ? " user root;" : "";
        return OwnProcess.Start(
            ServerPrograms.Find("nginx"), ["-p", home, "-c", Path.Combine(home, "nginx.conf"), "-g", $"daemon off;{user}"], new Dictionary<string, string>(StringComparer.Ordinal), home, folder.LogOf(member));
    }
}

using System.ComponentModel.DataAnnotations;

namespace Sluice.Operations.LoadBalancer;

/// <summary>The nginx that a node with the role ops looks after.</summary>
public sealed class NginxOptions
{
    /// <summary>The file that nginx includes for the upstream <c>sluice</c>; it is replaced whole. Empty: no nginx is looked after.</summary>
    [Required(AllowEmptyStrings = true)] public string UpstreamFile { get; init; } = "";

    /// <summary>
    /// Only nodes that run each of these modules get this nginx' requests, comma separated; <c>all</c>: every node with the role <c>Api</c>, whatever it runs. For modules on nodes of their own (docs/services.md):
    /// one nginx for each kind of node, and something in front that sends each address to the right one.
    /// </summary>
    [Required] public string Modules { get; init; } = "all";

    /// <summary>nginx' pid file. After a change that process is told to reload (SIGHUP), which this node must be allowed to.</summary>
    [Required(AllowEmptyStrings = true)] public string PidFile { get; init; } = "/run/nginx.pid";

    /// <summary>Where nginx says which upstream file is in force. A node that drains is let go only after that.</summary>
    [Url] public string CheckUrl { get; init; } = "http://127.0.0.1/nginx/upstreams";

    /// <summary>
    /// Before a reload nginx lets go of its connections for so long, 0 – 10 s: each answer is the last of its connection, so that the reload cuts none that a request is on its way on.
    /// nginx knows it by the file <c>sluice-reload-soon</c> beside <c>UpstreamFile</c>.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:00:10")] public TimeSpan CalmTime { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How often the registry is looked at, 100 ms – 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:00:30")] public TimeSpan Round { get; init; } = TimeSpan.FromMilliseconds(250);
}

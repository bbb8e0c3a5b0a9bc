using System.ComponentModel.DataAnnotations;

namespace Sluice.Platform.Hosting;

/// <summary>What a node does.</summary>
[Flags]
public enum Roles
{
    None = 0,

    /// <summary>Answers HTTP.</summary>
    Api = 1,

    /// <summary>Drains queues into SQL and runs the periodic jobs.</summary>
    Worker = 2,

    /// <summary>Watches the others.</summary>
    Ops = 4,

    All = Api | Worker | Ops,
}

/// <summary>The node itself.</summary>
public sealed class NodeOptions
{
    /// <summary>What this node does: <c>Api</c>, <c>Worker</c>, <c>Ops</c>, comma separated, or <c>All</c>.</summary>
    public Roles Roles { get; init; } = Roles.All;

    /// <summary>Modules that this node runs, comma separated, or <c>all</c>.</summary>
    [Required] public string Modules { get; init; } = "all";

    /// <summary>This node's number, 0–255. Two live nodes with one number could make one claim id twice.</summary>
    [Range(0, 255)] public int NodeId { get; init; }

    /// <summary>Folder of everything that this node keeps: database, append-only file, keys.</summary>
    [Required] public string Data { get; init; } = "./data";

    /// <summary>Addresses to listen on, semicolon separated.</summary>
    [Required] public string Urls { get; init; } = "http://localhost:8080";

    /// <summary>
    /// Addresses or networks (<c>10.0.0.0/8</c>) of the load balancers in front, comma separated. Only what they say about a caller (<c>X-Forwarded-For</c>, <c>X-Forwarded-Proto</c>) is believed.
    /// </summary>
    [Required(AllowEmptyStrings = true)] public string KnownProxies { get; init; } = "";

    /// <summary>How long a node that was asked to stop may take to finish what it has read, 1 s – 5 min.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:05:00")] public TimeSpan DrainTimeMax { get; init; } = TimeSpan.FromSeconds(20);
}

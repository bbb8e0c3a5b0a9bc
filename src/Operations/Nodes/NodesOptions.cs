using System.ComponentModel.DataAnnotations;

namespace Sluice.Operations.Nodes;

/// <summary>How a node makes itself known to the others. Nodes with the embedded engine are alone and do not.</summary>
public sealed class NodesOptions
{
    /// <summary>What people call this node, letters, digits and <c>-</c>; empty: <c>node-</c> and its number.</summary>
    [RegularExpression("[A-Za-z0-9-]{0,40}", ErrorMessage = "write up to 40 letters, digits and '-'")] public string Name { get; init; } = "";

    /// <summary>Where the load balancer reaches this node, <c>host:port</c>; empty: the first of <c>Urls</c>, with this machine's name where it says "any".</summary>
    [RegularExpression(@"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):\d{1,5}|", ErrorMessage = "write host:port")] public string Address { get; init; } = "";

    /// <summary>How often a node says that it is there, 100 ms – 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:00:30")] public TimeSpan HeartbeatEvery { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>After so long without a word a node counts as gone, 1 s – 5 min; several heartbeats.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:05:00")] public TimeSpan SilenceMax { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// A node that was asked to stop goes on answering until every load balancer has let go of it, at most so long, 0 – 1 min. Without load balancers in the registry it does not wait.
    /// Part of <c>DrainTimeMax</c>.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:01:00")] public TimeSpan LeaveTimeMax { get; init; } = TimeSpan.FromSeconds(10);
}

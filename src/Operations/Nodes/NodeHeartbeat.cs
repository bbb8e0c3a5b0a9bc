using System.Reflection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Admission;
using Sluice.Platform.Hosting;

namespace Sluice.Operations.Nodes;

/// <summary>
/// Keeps this node in the registry from its start to its end. Asked to stop, it says so first and waits until every load balancer has let go of it; only then does the server stop accepting.
/// </summary>
public sealed partial class NodeHeartbeat(NodeRegistry registry, NodeOptions node, NodesOptions options, ApiNodes apiNodes, TimeProvider time, ILogger<NodeHeartbeat> log) : BackgroundService, IHostedLifecycleService
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    // Between the new workers' first answer and the old ones' last request: nginx starts the new ones, waits 100 ms and only then tells the old ones.
    private static readonly TimeSpan Afterwards = TimeSpan.FromMilliseconds(500);

    private readonly string life = Guid.NewGuid().ToString("N")[..12];
    private readonly DateTime startedAt = time.GetUtcNow().UtcDateTime;
    private volatile NodeState state = NodeState.Starting;

    public NodeState State => state;

    public string Life => life;

    public string Name => options.Name.Length > 0 ? options.Name : $"node-{node.NodeId}";

    /// <summary>Before anything else starts: a node whose number is taken must not make a single id.</summary>
    /// <exception cref="DependencyUnavailableException">Another node has this number, or Redis does not answer.</exception>
    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        if (await registry.AnnounceAsync(Announcement()) is { } other)
        {
            throw new DependencyUnavailableException(
                "node", $"number {node.NodeId} (NodeId) is taken by the node at {other}, which is alive. Two nodes with one number could make one claim id twice: give this one another.");
        }
    }

    public async Task StartedAsync(CancellationToken cancellationToken)
    {
        state = NodeState.Ready;
        await SayAsync();
    }

    /// <summary>The server still accepts here; it stops when this returns.</summary>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        state = NodeState.Draining;
        await SayAsync();
        if (!node.Roles.HasFlag(Roles.Api))
        {
            return;
        }

        var started = time.GetTimestamp();
        var hadAny = false;
        while (time.GetElapsedTime(started) < options.LeaveTimeMax && !cancellationToken.IsCancellationRequested)
        {
            try
            {
                var holding = (await registry.ListBalancersAsync()).Where(balancer => balancer.Lives.Contains(life, StringComparer.Ordinal)).ToList();
                if (holding.Count == 0)
                {
                    if (hadAny)
                    {
                        await Task.Delay(Afterwards, time, CancellationToken.None);
                    }

                    return;
                }

                hadAny = true;
            }
            catch (DependencyUnavailableException)
            {
                // Nobody can be told now; whoever sends requests here finds out by the closed port.
                return;
            }

            await Task.Delay(Look, time, CancellationToken.None);
        }

        LogStillHeld(log, options.LeaveTimeMax.TotalSeconds);
    }

    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        try
        {
            await registry.RemoveAsync(node.NodeId);
        }
        catch (DependencyUnavailableException)
        {
            // It will be forgotten for its silence.
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            await Task.Delay(options.HeartbeatEvery, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!stoppingToken.IsCancellationRequested)
            {
                await SayAsync();
            }
        }
    }

    private async Task SayAsync()
    {
        try
        {
            if (await registry.AnnounceAsync(Announcement()) is { } other)
            {
                LogNumberTaken(log, node.NodeId, other);
            }

            if (node.Roles.HasFlag(Roles.Api))
            {
                apiNodes.Count = (await registry.ListAsync()).Count(other => other.Node.Roles.HasFlag(Roles.Api) && other.Node.State == NodeState.Ready && other.Silence <= options.SilenceMax);
            }
        }
        catch (DependencyUnavailableException e)
        {
            LogNotHeard(log, e.Message);
        }
    }

    private NodeAnnouncement Announcement() => new(node.NodeId, Name, node.Roles, Address(), Version(), startedAt, state, life, node.Modules);

    private string Address()
    {
        if (options.Address.Length > 0)
        {
            return options.Address;
        }

        // The first of Urls, which may say "any address of this machine": http://+:80, http://*:80, http://0.0.0.0:80, http://[::]:80.
        var first = node.Urls.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)[0];
        var uri = new Uri(first.Replace("://+", "://0.0.0.0", StringComparison.Ordinal).Replace("://*", "://0.0.0.0", StringComparison.Ordinal));
        var host = uri.Host is "0.0.0.0" or "[::]" ? Environment.MachineName : uri.Host;
        return $"{host}:{uri.Port}";
    }

    private static string Version() =>
        Assembly.GetEntryAssembly()?.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "";

    [LoggerMessage(Level = LogLevel.Warning, Message = "The registry did not hear this node: {Says}")]
    private static partial void LogNotHeard(ILogger log, string says);

    [LoggerMessage(Level = LogLevel.Error, Message = "The number {NodeId} of this node is taken by {Other}: give one of the two another number (NodeId) and start it again")]
    private static partial void LogNumberTaken(ILogger log, int nodeId, string other);

    [LoggerMessage(Level = LogLevel.Warning, Message = "A load balancer still names this node after {Seconds} s (Nodes:LeaveTimeMax); stopping all the same")]
    private static partial void LogStillHeld(ILogger log, double seconds);
}

using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using StackExchange.Redis;

namespace Sluice.Operations.Nodes;

/// <summary>What a node is doing.</summary>
public enum NodeState
{
    /// <summary>It does not listen yet.</summary>
    Starting,

    /// <summary>It does its work.</summary>
    Ready,

    /// <summary>It was asked to stop: it finishes what it has, and wants nothing new.</summary>
    Draining,
}

/// <summary>What a node says about itself.</summary>
/// <param name="NodeId">Its number.</param>
/// <param name="Address">Where it is reached, <c>host:port</c>.</param>
/// <param name="Life">One life of the process: a new value after each start.</param>
/// <param name="Modules">As in the setting <c>Modules</c>.</param>
public sealed record NodeAnnouncement(int NodeId, string Name, Roles Roles, string Address, string Version, DateTime StartedAt, NodeState State, [property: JsonIgnore] string Life = "", string Modules = "all")
{
    /// <summary>It runs each of these modules.</summary>
    /// <param name="modules">As in the setting <c>Modules</c>.</param>
    public bool Runs(string modules) => NamesIn(Modules) is var own && (own.Contains("all") || own.IsSupersetOf(NamesIn(modules)));

    private static HashSet<string> NamesIn(string modules) => modules.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).ToHashSet(StringComparer.OrdinalIgnoreCase);
}

/// <summary>A node as the registry has it.</summary>
/// <param name="Silence">Since it was heard of last, by the clock of the Redis server.</param>
public sealed record RegisteredNode(NodeAnnouncement Node, TimeSpan Silence);

/// <summary>A load balancer and the nodes (their lives) that it may send requests to.</summary>
public sealed record RegisteredBalancer(string Name, IReadOnlyList<string> Lives, TimeSpan Silence);

/// <summary>
/// Which nodes there are: each says so every second in one hash in Redis. Ages come from the clock of the Redis server, so no node needs to be right about the time.
/// One round trip for each call. Nothing about claims depends on it.
/// </summary>
public sealed class NodeRegistry(RedisConnection redis, NodesOptions options)
{
    private static readonly RedisScript Announcing = RedisScript.Load("Announce.lua", typeof(NodeRegistry).Assembly);

    // One slot, so that a Redis Cluster takes them too.
    private static readonly RedisKey Nodes = "{sluice}:nodes", Balancers = "{sluice}:balancers";

    /// <summary>After so long a node that is gone is forgotten.</summary>
    private static readonly TimeSpan ForgetAfter = TimeSpan.FromHours(1);

    /// <summary>Says that the node is there. Null, or the address of a live node that has the same number: then nothing was announced.</summary>
    /// <exception cref="DependencyUnavailableException">Redis does not answer.</exception>
    public async Task<string?> AnnounceAsync(NodeAnnouncement node)
    {
        var other = (string?)await redis.RunScriptAsync(
            Announcing, [Nodes],
            [node.NodeId, node.Life, node.Address, JsonSerializer.Serialize(node, RegistryJson.Default.NodeAnnouncement), (long)options.SilenceMax.TotalMilliseconds]);
        return other is { Length: > 0 } ? other : null;
    }

    /// <summary>Takes the node out: it ended in order.</summary>
    public Task RemoveAsync(int nodeId) => redis.GuardAsync(Nodes, db => db.HashDeleteAsync(Nodes, nodeId));

    /// <summary>Every node of the last hour, by number; also those that are silent.</summary>
    /// <exception cref="DependencyUnavailableException">Redis does not answer.</exception>
    public async Task<IReadOnlyList<RegisteredNode>> ListAsync()
    {
        var (now, entries) = await ReadAsync(Nodes);
        var nodes = new List<RegisteredNode>();
        foreach (var entry in entries)
        {
            // ms seen, life, address, description.
            if (((string?)entry.Value)?.Split(' ', 4) is [var seen, var life, _, var json] && long.TryParse(seen, out var ms) &&
                JsonSerializer.Deserialize(json, RegistryJson.Default.NodeAnnouncement) is { } node)
            {
                nodes.Add(new(node with { Life = life }, TimeSpan.FromMilliseconds(now - ms)));
            }
        }

        foreach (var old in nodes.Where(node => node.Silence > ForgetAfter))
        {
            await RemoveAsync(old.Node.NodeId);
        }

        return [.. nodes.Where(node => node.Silence <= ForgetAfter).OrderBy(node => node.Node.NodeId)];
    }

    /// <summary>Says which nodes a load balancer sends requests to, once it really does: a node that drains waits for that.</summary>
    public async Task AnnounceBalancerAsync(string name, IEnumerable<string> lives)
    {
        var (now, _) = await ReadAsync(Balancers);
        await redis.GuardAsync(Balancers, db => db.HashSetAsync(Balancers, name, $"{now} {string.Join(',', lives)}"));
    }

    /// <summary>Takes the load balancer out: nobody looks after it any more.</summary>
    public Task RemoveBalancerAsync(string name) => redis.GuardAsync(Balancers, db => db.HashDeleteAsync(Balancers, name));

    /// <summary>Every load balancer that is looked after now.</summary>
    public async Task<IReadOnlyList<RegisteredBalancer>> ListBalancersAsync()
    {
        var (now, entries) = await ReadAsync(Balancers);
        return [.. entries.Select(entry => (Name: (string)entry.Name!, Parts: ((string?)entry.Value ?? "").Split(' ', 2)))
            .Where(each => each.Parts.Length == 2 && long.TryParse(each.Parts[0], out _))
            .Select(each => new RegisteredBalancer(each.Name, each.Parts[1].Split(','), TimeSpan.FromMilliseconds(now - long.Parse(each.Parts[0], System.Globalization.CultureInfo.InvariantCulture))))
            .Where(balancer => balancer.Silence <= options.SilenceMax)];
    }

    private Task<(long NowMs, HashEntry[] Entries)> ReadAsync(RedisKey key) => redis.GuardAsync(key, async db =>
    {
        // The time first: an entry that is written in between is then a little younger than nothing, never older than it is.
        var time = db.ExecuteAsync("TIME");
        var entries = db.HashGetAllAsync(key);
        var parts = (RedisResult[])(await time)!;
        return (((long)parts[0] * 1_000) + ((long)parts[1] / 1_000), await entries);
    });
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, UseStringEnumConverter = true)]
[JsonSerializable(typeof(NodeAnnouncement))]
internal sealed partial class RegistryJson : JsonSerializerContext;

using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Sluice.Platform.Sql;

namespace Sluice.Operations.Clusters;

/// <summary>One member as <c>cluster status</c> shows it.</summary>
/// <param name="Health"><c>ok</c>, <c>down</c>, <c>hangs</c> or what is missing.</param>
/// <param name="Lag">Seconds that a replica is behind, or null.</param>
internal sealed record MemberStatus(string Name, string Role, int Pid, int Port, string Health, double? Lag, string Says)
{
    public bool IsWell => Health == "ok";
}

/// <summary>The cluster at one moment.</summary>
/// <param name="QueueDepth">Claims that wait to be written, over all pools, or null when nobody can say.</param>
/// <param name="QueueAgeMs">Age of the oldest of them.</param>
internal sealed record ClusterStatus(string Url, string Folder, IReadOnlyList<MemberStatus> Members, long? QueueDepth, long? QueueAgeMs)
{
    private const int PoolsLookedAtMax = 50;

    private static readonly HttpClient Http = new(new SocketsHttpHandler { UseProxy = false, PooledConnectionLifetime = TimeSpan.FromSeconds(5) }) { Timeout = TimeSpan.FromSeconds(3) };

    public bool IsWell => Members.All(member => member.IsWell);

    public static async Task<ClusterStatus> LookAsync(ClusterFolder folder, CancellationToken cancel)
    {
        var state = folder.Load();
        var writer = state.Sql == ClusterSql.Galera ? await HaProxyMember.WriterAsync(folder, state) : state.Writer;
        var members = await Task.WhenAll(state.InOrder.Select(member => LookAsync(folder, state, member, writer, cancel)));
        var (depth, age) = await QueueAsync(folder, state, cancel);
        return new ClusterStatus(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{state.PublicPort}"), folder.Root, members, depth, age);
    }

    private static async Task<MemberStatus> LookAsync(ClusterFolder folder, ClusterState state, Member member, string? writer, CancellationToken cancel)
    {
        var role = member.Kind switch
        {
            MemberKind.MariaDb when state.Sql == ClusterSql.Single => "sql",
            MemberKind.MariaDb when state.Sql == ClusterSql.Galera => member.Name == writer ? "sql writer" : "sql node",
            MemberKind.MariaDb => member.Name == state.Writer ? "sql primary" : "sql replica",
            MemberKind.SqlCheck => "sql check",
            MemberKind.HaProxy => "way to the sql writer",
            MemberKind.Redis when state.Redis == ClusterRedis.Single => "redis",
            MemberKind.Redis => member.Name == RedisMember.LeaderOf(folder, state, member).Name ? "redis primary" : "redis replica",
            MemberKind.Sentinel => "sentinel",
            MemberKind.Nginx => "load balancer",
            MemberKind.Worker or MemberKind.Api or MemberKind.Ops => member.Kind.ToString().ToLowerInvariant(),
        };
        var status = new MemberStatus(member.Name, role, member.Process?.Id ?? 0, member.Port, "down", null, "");
        if (member.Process is not { IsAlive: true } process)
        {
            return status with { Pid = 0 };
        }

        if (process.IsFrozen)
        {
            return status with { Health = "hangs" };
        }

        switch (member.Kind)
        {
            case MemberKind.MariaDb when state.Sql == ClusterSql.Galera:
                return await GaleraView.TryLookAsync(MariaDbMember.Connection(folder, member.Port)) is { } node
                    ? status with { Health = await GaleraMember.WhyNotAsync(folder, member) ?? "ok", Says = string.Create(CultureInfo.InvariantCulture, $"{node.Cluster}, {node.State}, sees {node.Nodes} of {GaleraMember.Nodes(state).Count()}, at {node.Committed}") }
                    : status with { Health = "does not answer" };
            case MemberKind.SqlCheck:
                return status with { Health = await SluiceMember.AnswersAsync(SluiceMember.Url(member), cancel) ? "ok" : "does not answer" };
            case MemberKind.HaProxy:
                return status with { Health = writer is null ? "no node may be written" : "ok", Says = writer is null ? "" : $"leads to {writer}" };
            case MemberKind.MariaDb:
                if (await MariaDbMember.Server(folder, member).TryLookAsync(cancel) is not { } view)
                {
                    return status with { Health = "does not answer" };
                }

                if (state.Sql == ClusterSql.Single)
                {
                    return status with { Health = "ok" };
                }

                return member.Name == state.Writer
                    ? status with { Health = !view.IsWritable ? "read-only" : view.Followers == 0 ? "commits wait: no replica" : "ok", Says = $"{view.Followers} replicas follow" }
                    : status with { Health = view.IsWritable ? "writable" : view.IsFollowing ? "ok" : "does not follow", Lag = view.SecondsBehind, Says = view.Says };
            case MemberKind.Redis:
                return await LookAtRedisAsync(folder, state, member, status);
            case MemberKind.Sentinel:
                var lacks = await SentinelMember.LacksAsync(folder, state, member);
                var named = (await SentinelMember.TryLookAsync(folder, member))?.PrimaryPort;
                return status with { Health = lacks.Length == 0 ? "ok" : lacks, Says = state.Members.FirstOrDefault(each => each.Port == named) is { } primary ? $"names {primary.Name}" : "" };
            case MemberKind.Nginx:
                return status with { Health = await SluiceMember.AnswersAsync(NginxMember.CheckUrl(member), cancel) ? "ok" : "does not answer" };
            default:
                var missing = await SluiceMember.MissingAsync(SluiceMember.Url(member), cancel);
                return status with { Health = missing switch { null => "does not answer", "" => "ok", _ => "not ready" }, Says = missing ?? "" };
        }
    }

    private static async Task<MemberStatus> LookAtRedisAsync(ClusterFolder folder, ClusterState state, Member member, MemberStatus status)
    {
        if (await RedisMember.TryLookAsync(folder, member) is not { } view)
        {
            return status with { Health = "does not answer" };
        }

        if (state.Redis == ClusterRedis.Single)
        {
            return status with { Health = "ok" };
        }

        var missing = state.Redis == ClusterRedis.Cluster ? await RedisClusterMember.LacksAsync(folder, member) : "";
        var primary = RedisMember.LeaderOf(folder, state, member);
        if (member.Name == primary.Name)
        {
            var online = view.Followers.Count(follower => follower.IsOnline);
            return status with
            {
                Health = !view.IsPrimary ? "does not lead yet" : online == 0 ? "claims wait: no replica" : missing.Length > 0 ? missing : "ok",
                Says = string.Create(CultureInfo.InvariantCulture, $"{(state.Redis == ClusterRedis.Cluster ? $"slots {RedisClusterMember.SlotsOf(folder, member)}, " : "")}{online} replica{(online == 1 ? " follows" : "s follow")}, offset {view.Offset}"),
            };
        }

        // What the primary has heard of it: so both offsets are of one moment.
        var leader = primary.Runs ? await RedisMember.TryLookAsync(folder, primary) : null;
        var seen = leader?.Followers.FirstOrDefault(follower => follower.Port == member.Port);
        return status with
        {
            Health = view.IsPrimary ? "leads nobody" : !view.IsLinked ? "does not follow" : missing.Length > 0 ? missing : "ok",
            Lag = seen?.Seconds,
            Says = (state.Redis == ClusterRedis.Cluster ? $"of {primary.Name}, " : "") +
                (seen is null ? string.Create(CultureInfo.InvariantCulture, $"offset {view.Offset}") : string.Create(CultureInfo.InvariantCulture, $"offset {seen.Offset}, {Math.Max(0, leader!.Offset - seen.Offset)} bytes behind")),
        };
    }

    // As any server of the shop would ask, from the first API node that answers.
    private static async Task<(long? Depth, long? AgeMs)> QueueAsync(ClusterFolder folder, ClusterState state, CancellationToken cancel)
    {
        var keyFile = Path.Combine(folder.Keys, "admin.key");
        if (!File.Exists(keyFile))
        {
            return (null, null);
        }

        foreach (var node in state.Members.Where(member => member.Kind == MemberKind.Api && member.IsAlive))
        {
            try
            {
                var key = (await File.ReadAllTextAsync(keyFile, cancel)).Trim();
                var pools = (await AskAsync($"{SluiceMember.Url(node)}/v1/pools", key, cancel))["items"]!.AsArray().Take(PoolsLookedAtMax);
                var views = await Task.WhenAll(pools.Select(pool => AskAsync($"{SluiceMember.Url(node)}/v1/pools/{pool!["id"]}", key, cancel)));
                return (views.Sum(view => (long)view["queueDepth"]!), views.Select(view => (long)view["oldestAgeMs"]!).DefaultIfEmpty().Max());
            }
            catch (Exception e) when (e is HttpRequestException or JsonException or TaskCanceledException && !cancel.IsCancellationRequested)
            {
                // The next one may know.
            }
        }

        return (null, null);
    }

    private static async Task<JsonNode> AskAsync(string url, string key, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, url) { Headers = { { "X-Api-Key", key } } };
        using var response = await Http.SendAsync(request, cancel);
        response.EnsureSuccessStatusCode();
        return (await response.Content.ReadFromJsonAsync<JsonNode>(cancel))!;
    }
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(ClusterStatus))]
internal sealed partial class ClusterStatusJson : JsonSerializerContext;

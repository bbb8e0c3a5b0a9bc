using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Sluice.Platform.Redis;

namespace Sluice.Operations.Clusters;

/// <summary>
/// A Redis of the cluster that is a node of a Redis Cluster: a primary with a part of the slots, or the replica of one. The primaries elect a replica when its primary is gone.
/// What a node knows of the others is in its <c>nodes.conf</c>. The first of these are written here, with everything in them: so there is no half-made cluster, whenever the command that makes it dies.
/// </summary>
internal static class RedisClusterMember
{
    public const int Primaries = 3;

    // As with Sentinels: on a host whose cores are busy with everything else, a primary that is only slow must not be taken for dead.
    private const int NodeTimeoutMs = 3_000;

    /// <summary>Lines of its <c>redis.conf</c>; writes its <c>nodes.conf</c> if it has none.</summary>
    public static IEnumerable<string> Configuration(ClusterFolder folder, ClusterState state, Member member)
    {
        var file = FileOf(folder, member);
        if (!File.Exists(file))
        {
            // Its memory, as a Sentinel has one: made once, then it is the server's own. Whole or not at all.
            File.WriteAllLines(file + ".new", FirstKnown(folder, state, member));
            File.Move(file + ".new", file);
        }

        return [
            "cluster-enabled yes", $"cluster-config-file {Path.GetFileName(file)}", string.Create(CultureInfo.InvariantCulture, $"cluster-port {member.GroupPort}"), "cluster-announce-ip 127.0.0.1",
            string.Create(CultureInfo.InvariantCulture, $"cluster-node-timeout {NodeTimeoutMs}"),

            // Sales on primaries that are there go on without the others. A replica stays with its primary: the only one of another cannot be spared.
            "cluster-require-full-coverage no", "cluster-allow-replica-migration no",
        ];
    }

    /// <summary>
    /// Who has the slots that this server led or copied last, by the newest of all files. A node writes its file before it tells anybody of a change, and starts from it.
    /// </summary>
    public static Member LeaderOf(ClusterFolder folder, ClusterState state, Member member)
    {
        var own = Known(folder, member);
        var myself = own.FirstOrDefault(node => node.IsMyself);
        var led = myself is { IsPrimary: false } ? own.FirstOrDefault(node => node.Id == myself.PrimaryId) : myself;
        if (led is not { Slots: [var (slot, _), ..] })
        {
            return led is null ? member : At(led) ?? member;
        }

        return RedisMember.Servers(state).SelectMany(server => Known(folder, server)).Where(node => node.IsPrimary && node.Has(slot)).MaxBy(node => node.Epoch) is { } newest ? At(newest) ?? member : member;

        Member? At(NamedNode node) => RedisMember.Servers(state).FirstOrDefault(server => server.Port == node.Address?.Port);
    }

    /// <summary>Slots that it leads in its own eyes, such as <c>0-5460</c>.</summary>
    public static string SlotsOf(ClusterFolder folder, Member member) =>
        string.Join(' ', Known(folder, member).Where(node => node.IsMyself).SelectMany(node => node.Slots).Select(range => string.Create(CultureInfo.InvariantCulture, $"{range.First}-{range.Last}")));

    public static async Task<bool> HearsMajorityAsync(ClusterFolder folder, Member member) => await TryLookAsync(folder, member) is { IsOk: true };

    /// <summary>What is missing in the eyes of one node; "" when nothing is.</summary>
    public static async Task<string> LacksAsync(ClusterFolder folder, Member member) => await TryLookAsync(folder, member) switch
    {
        null => "does not answer",
        { IsOk: false } => "hears no majority of the primaries",
        { SlotsServed: < NamedNode.SlotsInAll and var served } => string.Create(CultureInfo.InvariantCulture, $"misses the primary of {NamedNode.SlotsInAll - served} slots"),
        _ => "",
    };

    private static Task<RedisClusterView?> TryLookAsync(ClusterFolder folder, Member member) => RedisLook.TryClusterAsync("127.0.0.1", member.Port, folder.Secret("redis"));

    private static string FileOf(ClusterFolder folder, Member member) => Path.Combine(folder.Of(member), "nodes.conf");

    private static List<NamedNode> Known(ClusterFolder folder, Member member) => [.. NamedNode.Parse(FileOfOthers.TryRead(FileOf(folder, member)) ?? "")];

    // The cluster as it begins: each of the first three leads a third of the slots, in an epoch of its own, and has one of the others as its replica.
    private static IEnumerable<string> FirstKnown(ClusterFolder folder, ClusterState state, Member member)
    {
        var servers = RedisMember.Servers(state).ToList();
        foreach (var (server, at) in servers.Select((server, at) => (server, at)))
        {
            var part = at % Primaries;
            var (flags, primary, slots) = at < Primaries
                ? ("master", "-", string.Create(CultureInfo.InvariantCulture, $" {NamedNode.SlotsInAll * part / Primaries}-{(NamedNode.SlotsInAll * (part + 1) / Primaries) - 1}"))
                : ("slave", IdOf(folder, servers[part]), "");
            yield return string.Create(
                CultureInfo.InvariantCulture,
                $"{IdOf(folder, server)} 127.0.0.1:{server.Port}@{server.GroupPort} {(server.Name == member.Name ? "myself," : "")}{flags} {primary} 0 0 {part + 1} connected{slots}");
        }

        yield return string.Create(CultureInfo.InvariantCulture, $"vars currentEpoch {Primaries} lastVoteEpoch 0");
    }

    // From a secret of this very cluster: nodes know each other by their ids alone, and another cluster may have had the ports before.
    private static string IdOf(ClusterFolder folder, Member member) => Convert.ToHexStringLower(HMACSHA256.HashData(Encoding.UTF8.GetBytes(folder.Secret("redis")), Encoding.UTF8.GetBytes(member.Name)))[..40];
}

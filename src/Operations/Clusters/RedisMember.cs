using System.Globalization;
using Sluice.Platform.Redis;

namespace Sluice.Operations.Clusters;

/// <summary>A Redis of the cluster. Alone it flushes every write before it answers; in a group a claim is acknowledged when two servers have it.</summary>
internal static class RedisMember
{
    /// <summary>Longer than Sentinels need to notice a death, agree and promote.</summary>
    private static readonly TimeSpan FailoverTimeMax = TimeSpan.FromSeconds(20);

    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);

    /// <summary>What a node needs to know of it, as settings in its environment.</summary>
    public static IEnumerable<KeyValuePair<string, string>> Settings(ClusterFolder folder, ClusterState state)
    {
        if (state.Redis == ClusterRedis.Single)
        {
            return [new("SLUICE__REDIS__CONNECTION", string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{Servers(state).First().Port},password={folder.Secret("redis")}"))];
        }

        return [
            new("SLUICE__REDIS__CONNECTION", $"{SentinelMember.EndPoints(state)},serviceName={SentinelMember.ServiceName},password={folder.Secret("redis")}"),
            new("SLUICE__REDIS__SENTINELPASSWORD", folder.Secret("sentinel")), new("SLUICE__POOLS__DURABILITY", "Replicated"),
        ];
    }

    public static IEnumerable<Member> Servers(ClusterState state) => state.InOrder.Where(member => member.Kind == MemberKind.Redis);

    /// <summary>The one that leads, by what the Sentinels have written down last.</summary>
    public static Member Primary(ClusterFolder folder, ClusterState state) =>
        SentinelMember.NamedPort(folder, state) is { } port && Servers(state).FirstOrDefault(member => member.Port == port) is { } named ? named : Servers(state).First();

    /// <summary>Starts it, as a replica of whoever leads now. Never as a second primary: a former one that wakes up would have to be told, and take writes until then.</summary>
    public static async Task<OwnProcess> StartAsync(ClusterFolder folder, ClusterState state, Member member, Action<string> say, CancellationToken cancel)
    {
        var home = folder.Of(member);
        ClusterFolder.MakeFolder(home);

        // A file, not arguments: everybody can read those. Written anew: the server has changed its own.
        var file = Path.Combine(home, "redis.conf");
        List<string> lines = [
            string.Create(CultureInfo.InvariantCulture, $"port {member.Port}"), "bind 127.0.0.1", $"dir \"{home}\"", "save \"\"", "appendonly yes", "maxmemory-policy noeviction",
            $"requirepass {folder.Secret("redis")}", $"masterauth {folder.Secret("redis")}",
        ];
        if (state.Redis == ClusterRedis.Single)
        {
            lines.Add("appendfsync always");
        }
        else
        {
            lines.AddRange(["appendfsync everysec", "min-replicas-to-write 1", "min-replicas-max-lag 2", "repl-diskless-sync yes", "repl-diskless-sync-delay 0", "repl-backlog-size 64mb", "repl-timeout 10", "repl-ping-replica-period 1"]);
            if (await LeaderForAsync(folder, state, member, say, cancel) is { } leader && leader.Port != member.Port)
            {
                lines.Add(string.Create(CultureInfo.InvariantCulture, $"replicaof 127.0.0.1 {leader.Port}"));
            }
        }

        await File.WriteAllLinesAsync(file, lines, cancel);
        return OwnProcess.Start(ServerPrograms.Find("redis-server"), [file], new Dictionary<string, string>(StringComparer.Ordinal), home, folder.LogOf(member));
    }

    public static Task<RedisView?> TryLookAsync(ClusterFolder folder, Member member) => RedisLook.TryServerAsync("127.0.0.1", member.Port, folder.Secret("redis"));

    /// <summary>It takes commands, and has what its primary has, if that one runs.</summary>
    public static async Task<bool> IsReadyAsync(ClusterFolder folder, ClusterState state, Member member) =>
        await TryLookAsync(folder, member) is { } view && (view.IsPrimary || view.IsLinked || !Primary(folder, state).IsAlive);

    // The former primary, dead, while others could take over: it waits for them to. It may come back as the primary only where nobody else can lead, and then it has what was acknowledged.
    private static async Task<Member> LeaderForAsync(ClusterFolder folder, ClusterState state, Member member, Action<string> say, CancellationToken cancel)
    {
        var started = TimeProvider.System.GetTimestamp();
        var leader = Primary(folder, state);
        if (leader.Name != member.Name || !Servers(state).Any(other => other.Name != member.Name && other.IsAlive) || !SentinelMember.CanDecide(state))
        {
            return leader;
        }

        say($"{member.Name} was the primary: waiting for the Sentinels to name another …");
        while (leader.Name == member.Name && TimeProvider.System.GetElapsedTime(started) < FailoverTimeMax)
        {
            await Task.Delay(Look, TimeProvider.System, cancel);
            leader = Primary(folder, state);
        }

        return leader;
    }
}

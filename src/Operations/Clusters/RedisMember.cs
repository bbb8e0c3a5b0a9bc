using System.Globalization;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;

namespace Sluice.Operations.Clusters;

/// <summary>A Redis of the cluster. Alone it flushes every write before it answers; in a group a claim is acknowledged when two servers have it.</summary>
internal static class RedisMember
{
    /// <summary>Longer than Sentinels, or the primaries of a Redis Cluster, need to notice a death, agree and promote.</summary>
    private static readonly TimeSpan FailoverTimeMax = TimeSpan.FromSeconds(20);

    private static readonly TimeSpan WholeTimeMax = TimeSpan.FromSeconds(60), Look = TimeSpan.FromMilliseconds(50);

    /// <summary>What a node needs to know of it, as settings in its environment.</summary>
    public static IEnumerable<KeyValuePair<string, string>> Settings(ClusterFolder folder, ClusterState state)
    {
        var all = string.Join(',', Servers(state).Select(member => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{member.Port}")));
        var password = folder.Secret("redis");
        return state.Redis switch
        {
            ClusterRedis.Single => [new("SLUICE__REDIS__CONNECTION", $"{all},password={password}")],
            ClusterRedis.Cluster => [new("SLUICE__REDIS__CONNECTION", $"{all},password={password}"), new("SLUICE__POOLS__DURABILITY", "Replicated")],
            ClusterRedis.Sentinel => [
                new("SLUICE__REDIS__CONNECTION", $"{SentinelMember.EndPoints(state)},serviceName={SentinelMember.ServiceName},password={password}"),
                new("SLUICE__REDIS__SENTINELPASSWORD", folder.Secret("sentinel")), new("SLUICE__POOLS__DURABILITY", "Replicated"),
            ],
        };
    }

    public static IEnumerable<Member> Servers(ClusterState state) => state.InOrder.Where(member => member.Kind == MemberKind.Redis);

    /// <summary>The primary that a server follows, or it itself if it leads: by what the Sentinels, or the nodes of a Redis Cluster, have written down last. So this holds also when none of them runs.</summary>
    public static Member LeaderOf(ClusterFolder folder, ClusterState state, Member member) => state.Redis == ClusterRedis.Cluster
        ? RedisClusterMember.LeaderOf(folder, state, member)
        : SentinelMember.NamedPort(folder, state) is { } port && Servers(state).FirstOrDefault(each => each.Port == port) is { } named ? named : Servers(state).First();

    /// <summary>Names of those that lead.</summary>
    public static IEnumerable<string> Leaders(ClusterFolder folder, ClusterState state) => Servers(state).Select(member => LeaderOf(folder, state, member).Name).Distinct(StringComparer.Ordinal);

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
            var leader = await LeaderForAsync(folder, state, member, say, cancel);
            lines.AddRange(["appendfsync everysec", "min-replicas-to-write 1", "min-replicas-max-lag 2", "repl-diskless-sync yes", "repl-diskless-sync-delay 0", "repl-backlog-size 64mb", "repl-timeout 10", "repl-ping-replica-period 1"]);
            if (state.Redis == ClusterRedis.Cluster)
            {
                lines.AddRange(RedisClusterMember.Configuration(folder, state, member));
            }
            else if (leader.Port != member.Port)
            {
                lines.Add(string.Create(CultureInfo.InvariantCulture, $"replicaof 127.0.0.1 {leader.Port}"));
            }
        }

        await File.WriteAllLinesAsync(file, lines, cancel);
        return OwnProcess.Start(ServerPrograms.Find("redis-server"), [file], new Dictionary<string, string>(StringComparer.Ordinal), home, folder.LogOf(member));
    }

    public static Task<RedisView?> TryLookAsync(ClusterFolder folder, Member member) => RedisLook.TryServerAsync("127.0.0.1", member.Port, folder.Secret("redis"));

    /// <summary>It takes commands, and has what its primary has, if that one runs.</summary>
    public static async Task<bool> IsReadyAsync(ClusterFolder folder, ClusterState state, Member member)
    {
        if (await TryLookAsync(folder, member) is not { } view)
        {
            return false;
        }

        var leader = LeaderOf(folder, state, member);
        return (leader.Name == member.Name ? view.IsPrimary : view.IsLinked || !leader.Runs) &&
            (state.Redis != ClusterRedis.Cluster || !CanDecide(folder, state) || await RedisClusterMember.HearsMajorityAsync(folder, member));
    }

    /// <summary>Returns when all who have a say in a failover know and hear all that it takes: before, it might not happen.</summary>
    /// <exception cref="DependencyUnavailableException">They do not find each other.</exception>
    public static async Task WholeAsync(ClusterFolder folder, ClusterState state, CancellationToken cancel)
    {
        var started = TimeProvider.System.GetTimestamp();
        var all = state.Redis == ClusterRedis.Cluster ? Servers(state) : SentinelMember.All(state);
        while ((await Task.WhenAll(all.Select(async member => (member.Name, Lacks: await LacksAsync(member))))).FirstOrDefault(each => each.Lacks.Length > 0) is { Name: { } name, Lacks: var lacks })
        {
            if (TimeProvider.System.GetElapsedTime(started) > WholeTimeMax)
            {
                throw new DependencyUnavailableException("redis", $"{name} {lacks}: a failover might not happen. 'sluice cluster status' says who is not well.");
            }

            await Task.Delay(Look, TimeProvider.System, cancel);
        }

        Task<string> LacksAsync(Member member) => member.Kind == MemberKind.Sentinel ? SentinelMember.LacksAsync(folder, state, member) : RedisClusterMember.LacksAsync(folder, member);
    }

    // A former primary, dead, while another could take over: it waits for that. It may come back as the primary only where nobody else can lead, and then it has what was acknowledged.
    private static async Task<Member> LeaderForAsync(ClusterFolder folder, ClusterState state, Member member, Action<string> say, CancellationToken cancel)
    {
        var started = TimeProvider.System.GetTimestamp();
        var leader = LeaderOf(folder, state, member);
        if (leader.Name != member.Name || !Servers(state).Any(other => other.Name != member.Name && other.IsAlive && LeaderOf(folder, state, other).Name == member.Name) || !CanDecide(folder, state))
        {
            return leader;
        }

        say($"{member.Name} was {(state.Redis == ClusterRedis.Cluster ? "a primary: waiting for its replica to take over" : "the primary: waiting for the Sentinels to name another")} …");
        while (leader.Name == member.Name && TimeProvider.System.GetElapsedTime(started) < FailoverTimeMax)
        {
            await Task.Delay(Look, TimeProvider.System, cancel);
            leader = LeaderOf(folder, state, member);
        }

        return leader;
    }

    // A majority of those who name the next primary runs.
    private static bool CanDecide(ClusterFolder folder, ClusterState state)
    {
        var voters = state.Redis == ClusterRedis.Cluster ? [.. Leaders(folder, state).Select(name => state.Find(name)!)] : SentinelMember.All(state).ToList();
        return voters.Count(voter => voter.Runs) * 2 > voters.Count;
    }
}

using System.Globalization;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;

namespace Sluice.Operations.Clusters;

/// <summary>One of the Sentinels that watch the Redis servers of the cluster and promote a replica when the primary is gone.</summary>
internal static class SentinelMember
{
    public const string ServiceName = "sluice";

    // On a host whose cores are busy with everything else, a primary that is only slow must not be taken for dead: two failovers in a row have lost what WAIT had promised.
    private const int DownAfterMs = 3_000;

    public static IEnumerable<Member> All(ClusterState state) => state.InOrder.Where(member => member.Kind == MemberKind.Sentinel);

    public static string EndPoints(ClusterState state) => string.Join(',', All(state).Select(member => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{member.Port}")));

    public static Task<SentinelView?> TryLookAsync(ClusterFolder folder, Member member) => RedisLook.TrySentinelAsync("127.0.0.1", member.Port, folder.Secret("sentinel"), ServiceName);

    /// <summary>
    /// Port of the primary in the newest of their files. A Sentinel writes its file before it tells anybody, and starts from it: so this holds also when none of them runs.
    /// Null before they have ever run.
    /// </summary>
    public static int? NamedPort(ClusterFolder folder, ClusterState state) =>
        All(state).Select(member => FileOf(folder, member)).Where(File.Exists).Select(file => Named(File.ReadAllLines(file))).Where(named => named.Port > 0).OrderByDescending(named => named.Epoch).Select(named => (int?)named.Port).FirstOrDefault();

    public static OwnProcess Start(ClusterFolder folder, ClusterState state, Member member)
    {
        ClusterFolder.MakeFolder(folder.Of(member));

        // Its memory: who leads, since which failover, and whom else it knows. Made once, then it is the Sentinel's own.
        var file = FileOf(folder, member);
        if (!File.Exists(file))
        {
            File.WriteAllLines(file, [
                string.Create(CultureInfo.InvariantCulture, $"port {member.Port}"), "bind 127.0.0.1", $"dir \"{folder.Of(member)}\"",
                $"requirepass {folder.Secret("sentinel")}", $"sentinel sentinel-pass {folder.Secret("sentinel")}",
                string.Create(CultureInfo.InvariantCulture, $"sentinel monitor {ServiceName} 127.0.0.1 {RedisMember.LeaderOf(folder, state, RedisMember.Servers(state).First()).Port} {(All(state).Count() / 2) + 1}"),
                $"sentinel auth-pass {ServiceName} {folder.Secret("redis")}", string.Create(CultureInfo.InvariantCulture, $"sentinel down-after-milliseconds {ServiceName} {DownAfterMs}"),
                $"sentinel failover-timeout {ServiceName} 10000", $"sentinel parallel-syncs {ServiceName} 1",
            ]);
        }

        return OwnProcess.Start(ServerPrograms.Find("redis-server"), [file, "--sentinel"], new Dictionary<string, string>(StringComparer.Ordinal), folder.Of(member), folder.LogOf(member));
    }

    /// <summary>What is missing for a failover in the eyes of one Sentinel; "" when nothing is.</summary>
    public static async Task<string> LacksAsync(ClusterFolder folder, ClusterState state, Member member)
    {
        var (replicas, others) = (RedisMember.Servers(state).Count() - 1, All(state).Count() - 1);
        return await TryLookAsync(folder, member) switch
        {
            null => "does not answer",
            { PrimaryIsWell: false } => "does not hear the primary",
            var view when view.Replicas < replicas => $"knows {view.Replicas} of {replicas} replicas",
            var view when view.OtherSentinels < others => $"knows {view.OtherSentinels} of {others} other Sentinels",
            _ => "",
        };
    }

    private static string FileOf(ClusterFolder folder, Member member) => Path.Combine(folder.Of(member), "sentinel.conf");

    // sentinel monitor sluice 127.0.0.1 7001 2 … sentinel config-epoch sluice 3
    internal static (int Port, long Epoch) Named(IEnumerable<string> lines)
    {
        var (port, epoch) = (0, 0L);
        foreach (var words in lines.Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)))
        {
            switch (words)
            {
                case ["sentinel", "monitor", ServiceName, _, var text, ..]:
                    port = int.Parse(text, CultureInfo.InvariantCulture);
                    break;
                case ["sentinel", "config-epoch", ServiceName, var text]:
                    epoch = long.Parse(text, CultureInfo.InvariantCulture);
                    break;
            }
        }

        return (port, epoch);
    }
}

using System.Globalization;
using StackExchange.Redis;

namespace Sluice.Platform.Redis;

/// <summary>How a Redis server stands.</summary>
/// <param name="IsPrimary">It thinks so; whether it is, the Sentinels or the others of a Redis Cluster say.</param>
/// <param name="IsLinked">A replica that has its primary, and its data.</param>
/// <param name="Offset">Bytes of the stream of writes that it has made, or received.</param>
/// <param name="Followers">Replicas that are connected to it.</param>
public sealed record RedisView(bool IsPrimary, bool IsLinked, long Offset, IReadOnlyList<RedisFollower> Followers);

/// <summary>A replica as its primary sees it.</summary>
/// <param name="Offset">Bytes of the stream of writes that it has said it has.</param>
/// <param name="Seconds">Since it last said something.</param>
public sealed record RedisFollower(int Port, bool IsOnline, long Offset, double Seconds);

/// <summary>What one Sentinel knows.</summary>
/// <param name="PrimaryPort">Of the server that it holds for the primary.</param>
/// <param name="PrimaryIsWell">It hears from that one, and no failover is under way.</param>
public sealed record SentinelView(int PrimaryPort, bool PrimaryIsWell, int Replicas, int OtherSentinels);

/// <summary>What one node of a Redis Cluster sees.</summary>
/// <param name="IsOk">It hears a majority of the primaries.</param>
/// <param name="SlotsServed">Slots whose primary it takes for alive.</param>
public sealed record RedisClusterView(bool IsOk, int SlotsServed);

/// <summary>Looks at one server, over a connection of its own that ends with the look: one that is not well is to be seen, not to be worked around. For people and tests; the nodes have <see cref="RedisConnection"/>.</summary>
public static class RedisLook
{
    private const int AnswerMsMax = 1_000;

    // Of a node of a Redis Cluster the library would connect to all others as well.
    private static readonly CommandMap ThisServerOnly = CommandMap.Create(["CLUSTER"], available: false);

    /// <summary>Null when it does not answer, or does not take commands yet.</summary>
    public static Task<RedisView?> TryServerAsync(string host, int port, string password) => TryAsync(host, port, password, ThisServerOnly, async server =>
    {
        await server.PingAsync();
        var info = Pairs(await server.InfoRawAsync("replication"));
        var isPrimary = info["role"] == "master";
        var followers = info.Where(pair => pair.Key.StartsWith("slave", StringComparison.Ordinal) && pair.Value.StartsWith("ip=", StringComparison.Ordinal)).Select(pair => Follower(pair.Value)).ToList();
        return new RedisView(isPrimary, info.GetValueOrDefault("master_link_status") == "up", Number(info[isPrimary ? "master_repl_offset" : "slave_repl_offset"]), followers);
    });

    /// <summary>Null when it does not answer, or is no node of a Redis Cluster.</summary>
    public static Task<RedisClusterView?> TryClusterAsync(string host, int port, string password) => TryAsync(host, port, password, CommandMap.Default, async server =>
    {
        var info = Pairs((string?)await server.ExecuteAsync("CLUSTER", "INFO"));
        return new RedisClusterView(info["cluster_state"] == "ok", (int)Number(info["cluster_slots_ok"]));
    });

    /// <summary>Null when it does not answer, or watches nothing of that name.</summary>
    public static Task<SentinelView?> TrySentinelAsync(string host, int port, string password, string service) => TryAsync(host, port, password, CommandMap.Sentinel, async server =>
    {
        var fields = (await server.SentinelMasterAsync(service)).ToDictionary(StringComparer.Ordinal);
        return new SentinelView((int)Number(fields["port"]), fields["flags"] == "master", (int)Number(fields["num-slaves"]), (int)Number(fields["num-other-sentinels"]));
    });

    private static async Task<T?> TryAsync<T>(string host, int port, string password, CommandMap commands, Func<IServer, Task<T>> look)
        where T : class
    {
        var settings = new ConfigurationOptions
        {
            EndPoints = { { host, port } }, Password = password, CommandMap = commands, AllowAdmin = true, TieBreaker = "", ConfigurationChannel = "",
            Protocol = RedisProtocol.Resp2, // In the newer one a text may begin with what kind of text it is.
            ConnectTimeout = AnswerMsMax, AsyncTimeout = AnswerMsMax, ConnectRetry = 1, BacklogPolicy = BacklogPolicy.FailFast,
        };
        try
        {
            await using var client = await ConnectionMultiplexer.ConnectAsync(settings);
            return await look(client.GetServer(host, port));
        }
        catch (Exception e) when (e is RedisException or TimeoutException)
        {
            return null;
        }
    }

    private static Dictionary<string, string> Pairs(string? info) => (info ?? "").Split('\n', StringSplitOptions.TrimEntries)
        .Select(line => line.Split(':', 2)).Where(pair => pair.Length == 2).ToDictionary(pair => pair[0], pair => pair[1], StringComparer.Ordinal);

    // ip=127.0.0.1,port=7002,state=online,offset=1234,lag=0
    private static RedisFollower Follower(string text)
    {
        var fields = text.Split(',').Select(field => field.Split('=', 2)).ToDictionary(field => field[0], field => field[1], StringComparer.Ordinal);
        return new RedisFollower((int)Number(fields["port"]), fields["state"] == "online", Number(fields["offset"]), Number(fields["lag"]));
    }

    private static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);
}

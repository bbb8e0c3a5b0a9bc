using System.Globalization;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Servers;

/// <summary>
/// A real primary with two replicas, watched by three Sentinels, on free ports, each in a folder of its own and with passwords. Fsynced once a second: what it promises, it promises by being several.
/// </summary>
public sealed class RedisGroup : IAsyncDisposable
{
    /// <summary>Where connections of a server to its primary, and those of a Sentinel to anybody, come from: a drill can cut them off and leave the nodes', which come from 127.0.0.1.</summary>
    public const string ServersComeFrom = "127.0.0.2", SentinelsComeFrom = "127.0.0.3";

    private const string Service = "shop", Password = "redis-not-to-be-shown", SentinelPassword = "sentinel-not-to-be-shown";

    private readonly TempFolder folder = new();
    private readonly IReadOnlyList<int> ports = [FreePort.Next(), FreePort.Next(), FreePort.Next()], sentinelPorts = [FreePort.Next(), FreePort.Next(), FreePort.Next()];
    private readonly Dictionary<int, ChildProcess> processes = [];

    /// <summary>For <c>Redis:Connection</c>.</summary>
    public string Connection => $"{string.Join(',', sentinelPorts.Select(port => $"127.0.0.1:{port}"))},serviceName={Service},user=shop,password={Password}";

    /// <summary>The settings of a node that uses it as it should be used.</summary>
    public IReadOnlyList<string> Settings => [$"Redis:Connection={Connection}", $"Redis:SentinelPassword={SentinelPassword}", "Pools:Durability=Replicated"];

    public Platform.Redis.RedisOptions Options(TimeSpan? callTimeMax = null, TimeSpan? replicaWaitMax = null) => new()
    {
        Connection = Connection, SentinelPassword = SentinelPassword, CallTimeMax = callTimeMax ?? TimeSpan.FromSeconds(2), ReplicaWaitMax = replicaWaitMax ?? TimeSpan.FromMilliseconds(500),
    };

    public static async Task<RedisGroup> StartAsync()
    {
        var group = new RedisGroup();
        try
        {
            foreach (var port in group.ports)
            {
                group.Begin(port, replicaOf: port == group.ports[0] ? null : group.ports[0]);
            }

            // The replicas before the Sentinels: a Sentinel that comes first looks for them again only after ten seconds.
            await Eventually.TrueAsync(async () => await AskAsync(group.ports[0], "INFO", "replication") is { } info && info.Split("state=online").Length == 3, "two replicas are online");
            foreach (var port in group.sentinelPorts)
            {
                await group.BeginSentinelAsync(port);
            }

            await group.WholeAsync();
            return group;
        }
        catch
        {
            await group.DisposeAsync();
            throw;
        }
    }

    /// <summary>Returns when every Sentinel knows the two replicas and the two others: before, a failover might not happen.</summary>
    public Task WholeAsync() => Eventually.TrueAsync(
        async () =>
        {
            foreach (var port in sentinelPorts)
            {
                var fields = await MasterAsync(port);
                if (fields["num-slaves"] != "2" || fields["num-other-sentinels"] != "2" || fields["flags"] != "master")
                {
                    return false;
                }
            }

            return true;
        },
        "every Sentinel knows everybody");

    /// <summary>The port of the primary, by the Sentinel that has heard of the newest failover.</summary>
    public async Task<int> PrimaryAsync()
    {
        var answers = new List<Dictionary<string, string>>();
        foreach (var port in sentinelPorts)
        {
            answers.Add(await MasterAsync(port));
        }

        return int.Parse(answers.MaxBy(fields => long.Parse(fields["config-epoch"], CultureInfo.InvariantCulture))!["port"], CultureInfo.InvariantCulture);
    }

    public IReadOnlyList<ChildProcess> Sentinels => [.. sentinelPorts.Select(port => processes[port])];

    /// <summary>The server on a port; null: the primary of this moment.</summary>
    public async Task<ChildProcess> ServerAsync(int? port = null) => processes[port ?? await PrimaryAsync()];

    public async Task<IReadOnlyList<ChildProcess>> ReplicasAsync()
    {
        var primary = await PrimaryAsync();
        return [.. ports.Where(port => port != primary).Select(port => processes[port])];
    }

    /// <summary>Starts a server that was killed, as a replica of whoever is primary now.</summary>
    public async Task BeginAgainAsync(int port)
    {
        Begin(port, replicaOf: await PrimaryAsync());
        await WholeAsync();
    }

    /// <summary>Asks the Sentinels for a failover of a primary that is well, and returns when they agree on another.</summary>
    public async Task FailOverAsync()
    {
        var before = await PrimaryAsync();
        await Eventually.TrueAsync(
            async () =>
            {
                if (await PrimaryAsync() is var now && now != before)
                {
                    return true;
                }

                await using var client = await ConnectAsync(sentinelPorts[0]);
                try
                {
                    await client.GetServers()[0].SentinelFailoverAsync(Service);
                }
                catch (RedisServerException)
                {
                    // INPROG: they are at it.
                }

                return false;
            },
            "another primary");
        await WholeAsync();
    }

    /// <summary>FLUSHALL on the primary, which its replicas follow.</summary>
    public async Task FlushAsync() => await AskAsync(await PrimaryAsync(), "FLUSHALL");

    private static async Task<string?> AskAsync(int port, string command, params object[] arguments)
    {
        await using var client = await ConnectionMultiplexer.ConnectAsync($"127.0.0.1:{port},password={Password},abortConnect=false,connectTimeout=500,allowAdmin=true");
        return (string?)await client.GetDatabase().ExecuteAsync(command, arguments);
    }

    public async ValueTask DisposeAsync()
    {
        // The Sentinels first, or they would begin to mend what is being ended.
        foreach (var port in sentinelPorts.Concat(ports).Where(processes.ContainsKey))
        {
            await processes[port].DisposeAsync();
        }

        folder.Dispose();
    }

    private static string Folder(string path)
    {
        Directory.CreateDirectory(path);
        return path;
    }

    private void Begin(int port, int? replicaOf)
    {
        // As words of their own: redis-server quotes an argument that has a blank in it.
        IEnumerable<string> of = replicaOf is { } primary ? ["--replicaof", "127.0.0.1", $"{primary}"] : [];
        processes[port] = ChildProcess.Start("redis-server", [
            "--port", $"{port}", "--bind", "127.0.0.1", "--dir", Folder(folder.File($"{port}")), "--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction",
            "--min-replicas-to-write", "1", "--min-replicas-max-lag", "2", "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb",
            "--repl-timeout", "10", "--repl-ping-replica-period", "1", "--bind-source-addr", ServersComeFrom, "--replica-announce-ip", "127.0.0.1", "--requirepass", Password, "--masterauth", Password, "--user", "shop", "on", $">{Password}", "~*", "&*", "+@all", .. of]);
    }

    private async Task BeginSentinelAsync(int port)
    {
        var file = Path.Combine(Folder(folder.File($"{port}")), "sentinel.conf");
        await File.WriteAllTextAsync(file, string.Create(CultureInfo.InvariantCulture, $"""
            port {port}
            bind 127.0.0.1
            bind-source-addr {SentinelsComeFrom}
            sentinel announce-ip 127.0.0.1
            dir {Path.GetDirectoryName(file)}
            requirepass {SentinelPassword}
            sentinel sentinel-pass {SentinelPassword}
            sentinel monitor {Service} 127.0.0.1 {ports[0]} 2
            sentinel auth-pass {Service} {Password}
            sentinel down-after-milliseconds {Service} 1500
            sentinel failover-timeout {Service} 10000
            sentinel parallel-syncs {Service} 1
            """));
        processes[port] = ChildProcess.Start("redis-server", [file, "--sentinel"]);
    }

    private static async Task<Dictionary<string, string>> MasterAsync(int port)
    {
        await using var client = await ConnectAsync(port);
        return (await client.GetServers()[0].SentinelMasterAsync(Service)).ToDictionary();
    }

    private static Task<ConnectionMultiplexer> ConnectAsync(int sentinelPort) => ConnectionMultiplexer.ConnectAsync(new ConfigurationOptions
    {
        EndPoints = { { "127.0.0.1", sentinelPort } }, CommandMap = CommandMap.Sentinel, Password = SentinelPassword, AbortOnConnectFail = false, ConnectTimeout = 500, TieBreaker = "", AllowAdmin = true,
    });
}

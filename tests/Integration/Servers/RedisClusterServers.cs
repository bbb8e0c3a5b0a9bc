using System.Globalization;
using Sluice.Platform.Redis;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Servers;

/// <summary>A real Redis Cluster: three primaries, each with a replica, on free ports, each in a folder of its own and with a password. Fsynced once a second: what it promises, it promises by being several.</summary>
public sealed class RedisClusterServers : IAsyncDisposable
{
    private const string Password = "cluster-not-to-be-shown";
    private const int Primaries = 3, Slots = 16_384;

    private readonly TempFolder folder = new();
    private readonly List<int> ports = [.. Enumerable.Range(0, Primaries * 2).Select(_ => FreePort.Next())], busPorts = [.. Enumerable.Range(0, Primaries * 2).Select(_ => FreePort.Next())];
    private readonly Dictionary<int, ChildProcess> processes = [];

    /// <summary>For <c>Redis:Connection</c>: three of the six, the rest is to be learnt.</summary>
    public string Connection => $"{string.Join(',', ports.Take(Primaries).Select(port => $"127.0.0.1:{port}"))},user=shop,password={Password}";

    /// <summary>The settings of a node that uses it as it should be used.</summary>
    public IReadOnlyList<string> Settings => [$"Redis:Connection={Connection}", "Pools:Durability=Replicated"];

    public RedisOptions Options(TimeSpan? callTimeMax = null, TimeSpan? replicaWaitMax = null) => new()
    {
        Connection = Connection, CallTimeMax = callTimeMax ?? TimeSpan.FromSeconds(2), ReplicaWaitMax = replicaWaitMax ?? TimeSpan.FromMilliseconds(500),
    };

    /// <summary>As if it were a server of its own.</summary>
    public RedisOptions OneNode() => new() { Connection = $"127.0.0.1:{ports[0]},user=shop,password={Password}" };

    public static async Task<RedisClusterServers> StartAsync()
    {
        var cluster = new RedisClusterServers();
        try
        {
            foreach (var port in cluster.ports)
            {
                cluster.Begin(port);
            }

            await cluster.MeetAsync();
            await cluster.WholeAsync();
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Returns when every primary has its replica, and all agree about every slot.</summary>
    public Task WholeAsync() => Eventually.TrueAsync(
        async () =>
        {
            foreach (var port in ports)
            {
                if (await AskAsync(port, "INFO", "replication") is not { } replication ||
                    !(replication.Contains("state=online", StringComparison.Ordinal) || replication.Contains("master_link_status:up", StringComparison.Ordinal)) ||
                    await AskAsync(port, "CLUSTER", "INFO") is not { } info || !info.Contains("cluster_state:ok", StringComparison.Ordinal) ||
                    await AskAsync(port, "CLUSTER", "NODES") is not { } nodes || nodes.Contains("fail", StringComparison.Ordinal))
                {
                    return false;
                }
            }

            return true;
        },
        "every node knows everybody");

    /// <summary>The port of the primary that has a key.</summary>
    public async Task<int> PrimaryOfAsync(string key)
    {
        var views = new List<(long Epoch, int Port)>();
        var slot = await SlotAsync(key);
        foreach (var port in ports)
        {
            if (await ViewAsync(port, slot) is { } view)
            {
                views.Add(view);
            }
        }

        return views.MaxBy(view => view.Epoch).Port;
    }

    public ChildProcess Server(int port) => processes[port];

    /// <summary>Starts a server that was killed, on what its folder holds.</summary>
    public async Task BeginAgainAsync(int port)
    {
        Begin(port);
        await WholeAsync();
    }

    /// <summary>Moves the slot of a key to the next primary, with everything that is in it, as an operator does it.</summary>
    /// <returns>The port of the primary that has it now.</returns>
    public async Task<int> MoveSlotAsync(string key)
    {
        var from = await PrimaryOfAsync(key);
        var slot = await SlotAsync(key);
        var to = ports.Take(Primaries).First(port => port != from && !processes[port].HasExited);
        var (fromId, toId) = (await AskAsync(from, "CLUSTER", "MYID"), await AskAsync(to, "CLUSTER", "MYID"));
        await AskAsync(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromId!);
        await AskAsync(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", toId!);
        await using var client = await ConnectAsync(from);
        while (((RedisResult[])(await client.GetServer("127.0.0.1", from).ExecuteAsync("CLUSTER", "GETKEYSINSLOT", slot, 100))!).Select(name => (object)(string)name!).ToArray() is { Length: > 0 } keys)
        {
            await client.GetServer("127.0.0.1", from).ExecuteAsync("MIGRATE", ["127.0.0.1", to, "", 0, 5_000, "AUTH2", "shop", Password, "KEYS", .. keys]);
        }

        foreach (var port in new[] { to, from })
        {
            await AskAsync(port, "CLUSTER", "SETSLOT", slot, "NODE", toId!);
        }

        return to;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var process in processes.Values)
        {
            await process.DisposeAsync();
        }

        folder.Dispose();
    }

    private void Begin(int port)
    {
        var own = folder.File($"{port}");
        Directory.CreateDirectory(own);
        processes[port] = ChildProcess.Start("redis-server", [
            "--port", $"{port}", "--bind", "127.0.0.1", "--dir", own, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction",
            "--cluster-enabled", "yes", "--cluster-port", $"{busPorts[ports.IndexOf(port)]}", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no",
            "--min-replicas-to-write", "1", "--min-replicas-max-lag", "2", "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb", "--repl-timeout", "10",
            "--repl-ping-replica-period", "1", "--requirepass", Password, "--masterauth", Password, "--user", "shop", "on", $">{Password}", "~*", "&*", "+@all"]);
    }

    private async Task MeetAsync()
    {
        var ids = new List<string>();
        foreach (var (port, at) in ports.Select((port, at) => (port, at)))
        {
            await Eventually.TrueAsync(async () => await AskAsync(port, "PING") == "PONG", $"the server at {port} answers");
            ids.Add((await AskAsync(port, "CLUSTER", "MYID"))!);
            if (at < Primaries)
            {
                await AskAsync(port, "CLUSTER", "SET-CONFIG-EPOCH", at + 1);
                await AskAsync(port, "CLUSTER", "ADDSLOTSRANGE", Slots * at / Primaries, (Slots * (at + 1) / Primaries) - 1);
            }

            await AskAsync(ports[0], "CLUSTER", "MEET", "127.0.0.1", port, busPorts[at]);
        }

        foreach (var (port, at) in ports.Select((port, at) => (port, at)).Skip(Primaries))
        {
            await Eventually.TrueAsync(async () => await AskAsync(port, "CLUSTER", "NODES") is { } nodes && nodes.Contains(ids[at - Primaries], StringComparison.Ordinal), "the replica knows its primary");
            await AskAsync(port, "CLUSTER", "REPLICATE", ids[at - Primaries]);
        }
    }

    private async Task<int> SlotAsync(string key)
    {
        foreach (var port in ports)
        {
            if (await AskAsync(port, "CLUSTER", "KEYSLOT", key) is { } slot)
            {
                return int.Parse(slot, CultureInfo.InvariantCulture);
            }
        }

        throw new InvalidOperationException("No node of the cluster answers.");
    }

    // Who has the slot, as one node sees it.
    private static async Task<(long Epoch, int Port)?> ViewAsync(int port, int slot)
    {
        foreach (var fields in ((await AskAsync(port, "CLUSTER", "NODES")) ?? "").Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ')).Where(fields => fields[2].Contains("master", StringComparison.Ordinal)))
        {
            foreach (var range in fields.Skip(8).Where(range => range[0] != '[').Select(range => range.Split('-')))
            {
                if (slot >= int.Parse(range[0], CultureInfo.InvariantCulture) && slot <= int.Parse(range[^1], CultureInfo.InvariantCulture))
                {
                    return (long.Parse(fields[6], CultureInfo.InvariantCulture), int.Parse(fields[1].Split('@')[0].Split(':')[1], CultureInfo.InvariantCulture));
                }
            }
        }

        return null;
    }

    private static async Task<string?> AskAsync(int port, string command, params object[] arguments)
    {
        await using var client = await ConnectAsync(port);
        try
        {
            return (string?)await client.GetServer("127.0.0.1", port).ExecuteAsync(command, arguments);
        }
        catch (Exception e) when (e is RedisConnectionException or TimeoutException)
        {
            return null;
        }
    }

    private static Task<ConnectionMultiplexer> ConnectAsync(int port) => ConnectionMultiplexer.ConnectAsync(
        new ConfigurationOptions { EndPoints = { { "127.0.0.1", port } }, User = "shop", Password = Password, AbortOnConnectFail = false, ConnectTimeout = 500, AsyncTimeout = 1_000, TieBreaker = "", AllowAdmin = true });
}

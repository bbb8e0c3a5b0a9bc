using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;

namespace Sluice.Bench.Runner.Scenarios;

/// <summary>
/// A cluster as <c>sluice cluster up</c> starts it (nginx, two API nodes, a worker, Redis with every write flushed, one MariaDB): orders from the first request until the queue is empty, through nginx and at one node directly,
/// with what each kind of process spends on an order.
/// </summary>
internal static class ThroughNginx
{
    public static async Task<Plan> PlanAsync(Rig rig, CancellationToken cancel)
    {
        var cluster = await ClusterOfBench.StartAsync(rig, cancel);
        var crowd = await rig.CrowdAsync(cluster.Front, rig.Options.CrowdUsers, cancel);
        return new Plan("through-nginx", "Orders committed per second by a cluster on this one machine, from the first request until the queue is empty; all processes, the load generator too, share its cores.",
            [
                new Contender("order through nginx, two API nodes", token => MeasureAsync(rig, cluster, cluster.Front, crowd, token)),
                new Contender("order at one API node", token => MeasureAsync(rig, cluster, cluster.Direct, crowd, token)),
            ],
            [new Comparison("order through nginx, two API nodes", "order at one API node", Goal: 0.5)]);
    }

    private static async Task<Sample> MeasureAsync(Rig rig, ClusterOfBench cluster, SluiceServer door, Crowd crowd, CancellationToken cancel)
    {
        var sale = await door.OpenSaleAsync(Claims.HugeStockUnits, cancel);
        var before = cluster.CpuTimes();
        var watch = Stopwatch.StartNew();
        var wrk = await Claims.SendAsync(rig, door, sale, crowd, cancel);
        var drained = await door.DrainedAsync(sale.PoolId, cancel);
        watch.Stop();
        var orders = drained.CapacityUnits - drained.LeftUnits;
        var spent = cluster.CpuTimes().ToDictionary(kind => kind.Key, kind => (kind.Value - before[kind.Key]).TotalMicroseconds / orders, StringComparer.Ordinal);
        var certificate = await door.SettledCertificateAsync(sale.PoolId, cancel);
        Rig.Require(certificate.Verdict == "holds" && certificate.Orders == orders, $"{orders} units are taken, and the certificate says: {certificate.Verdict}, {certificate.Orders} orders.");
        return new Sample(
            orders / watch.Elapsed.TotalSeconds, orders, spent["API"], spent["Redis"], wrk.CpuSeconds * 1e6 / orders, wrk.P99Ms,
            spent.Where(kind => kind.Key is not ("API" or "Redis")).ToDictionary(kind => kind.Key, kind => Math.Round(kind.Value, 2), StringComparer.Ordinal));
    }
}

/// <summary>The cluster's processes, by what they are, and its two doors.</summary>
internal sealed class ClusterOfBench : IAsyncDisposable
{
    private readonly Rig rig;
    private readonly string folder;
    private readonly List<(string Kind, int Pid)> processes = [];

    private ClusterOfBench(Rig rig, string folder) => (this.rig, this.folder) = (rig, folder);

    /// <summary>nginx.</summary>
    public SluiceServer Front { get; private set; } = null!;

    /// <summary>The first API node.</summary>
    public SluiceServer Direct { get; private set; } = null!;

    public static async Task<ClusterOfBench> StartAsync(Rig rig, CancellationToken cancel)
    {
        var cluster = rig.Keep(new ClusterOfBench(rig, rig.Folder.File("cluster")));
        await cluster.DoAsync(cancel, "up", "--sql", "single", "--redis", "single", "--port", $"{Random.Shared.Next(12_000, 30_000)}", "--set", "WriteQueue:LagMax=100000000");
        var status = (JsonObject)JsonNode.Parse(await cluster.DoAsync(cancel, "status", "--json"))!;
        foreach (var member in status["members"]!.AsArray().Select(member => member!))
        {
            var name = (string)member["name"]!;
            cluster.processes.Add((name.Split('-')[0] switch { "api" => "API", "redis" => "Redis", "mariadb" => "MariaDB", var other => other }, (int)member["pid"]!));
        }

        var key = (await File.ReadAllTextAsync(Directory.EnumerateFiles(cluster.folder, "admin.key", SearchOption.AllDirectories).First(), cancel)).Trim();
        cluster.Front = SluiceServer.At((string)status["url"]!, key);
        cluster.Direct = SluiceServer.At($"http://127.0.0.1:{(int)status["members"]!.AsArray().First(member => ((string)member!["name"]!).StartsWith("api-", StringComparison.Ordinal))!["port"]!}", key);
        return cluster;
    }

    /// <summary>User and system time of each kind of process since its start; nginx' workers with their master.</summary>
    public IReadOnlyDictionary<string, TimeSpan> CpuTimes() => processes.GroupBy(process => process.Kind).ToDictionary(
        kind => kind.Key, kind => kind.Aggregate(TimeSpan.Zero, (sum, process) => sum + Family(process.Pid).Aggregate(TimeSpan.Zero, (all, pid) => all + CpuTime(pid))), StringComparer.Ordinal);

    public async ValueTask DisposeAsync() => await DoAsync(CancellationToken.None, "down");

    private static IEnumerable<int> Family(int pid)
    {
        var children = $"/proc/{pid}/task/{pid}/children";
        return File.Exists(children) ? File.ReadAllText(children).Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(child => int.Parse(child, CultureInfo.InvariantCulture)).Prepend(pid) : [pid];
    }

    private static TimeSpan CpuTime(int pid)
    {
        using var process = Process.GetProcessById(pid);
        return process.TotalProcessorTime;
    }

    private Task<string> DoAsync(CancellationToken cancel, params string[] verb) =>
        ProgramRun.ToEndAsync("sluice cluster", "dotnet", [rig.Layout.Server, "cluster", .. verb, "--data", folder], TimeSpan.FromMinutes(3), cancel);
}

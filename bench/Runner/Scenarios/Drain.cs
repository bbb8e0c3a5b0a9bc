using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Sluice.Bench.Runner.Scenarios;

/// <summary>How fast a worker writes a backlog: claims are taken by a node that has no worker, then a node with one starts on the same data.</summary>
internal static class Drain
{
    private static readonly Dictionary<string, string> WithoutWorker = new(StringComparer.Ordinal) { ["Sluice__Roles"] = "Api" };

    public static async Task<Plan> PlanAsync(Rig rig, CancellationToken cancel)
    {
        // Tokens are signed with a key of the data folder; every round gets a new folder with this one's keys.
        string keys = rig.Folder.File("keys");
        Crowd crowd;
        await using (var first = await SluiceServer.StartAsync(rig.Layout, keys, cancel))
        {
            crowd = await rig.CrowdAsync(first, rig.Options.CrowdUsers, cancel);
        }

        return new Plan("drain", "A backlog of claims written as claims and orders, to multi-row inserts of 500 rows into one table like the orders.",
            [
                new Contender("drain", token => MeasureAsync(rig, keys, crowd, token)),
                new Contender("insert limit", token => MeasureLimitAsync(rig, token)),
            ],
            [new Comparison("drain", "insert limit", Goal: 0.7)]);
    }

    private static async Task<Sample> MeasureAsync(Rig rig, string keys, Crowd crowd, CancellationToken cancel)
    {
        using var data = new TemporaryFolder();
        foreach (var key in Directory.EnumerateFiles(keys, "*.key")) File.Copy(key, data.File(Path.GetFileName(key)));

        Sale sale;
        await using (var api = await SluiceServer.StartAsync(rig.Layout, data.Path, cancel, WithoutWorker))
        {
            sale = await api.OpenSaleAsync(Claims.HugeStockUnits, cancel);
            await Claims.SendAsync(rig, api, sale, crowd, cancel);
            var waiting = await api.PoolAsync(sale.PoolId, cancel);
            Rig.Require(waiting.QueueDepth == waiting.CapacityUnits - waiting.LeftUnits, $"a node without a worker has drained: {waiting}");
        }

        await using var worker = await SluiceServer.StartAsync(rig.Layout, data.Path, cancel);

        // The drain began while the node started; the rate is taken between the first look and the last.
        long seen = -1, last = 0;
        var watch = new Stopwatch();
        var cpu = TimeSpan.Zero;
        await worker.DrainedAsync(sale.PoolId, cancel, TimeSpan.FromMilliseconds(10), pool =>
        {
            last = pool.QueueDepth;
            if (seen >= 0) return;
            seen = pool.QueueDepth;
            cpu = worker.Child.CpuTime();
            watch.Start();
        });
        watch.Stop();
        Rig.Require(last == 0 && seen > 10_000, $"only {seen} entries were left when the node was ready: too few to measure.");
        cpu = worker.Child.CpuTime() - cpu;
        var certificate = await worker.SettledCertificateAsync(sale.PoolId, cancel);
        Rig.Require(certificate.Verdict == "holds", $"the certificate says {certificate.Verdict}");
        return new Sample(seen / watch.Elapsed.TotalSeconds, seen, cpu.TotalMicroseconds / seen, null, null);
    }

    private static async Task<Sample> MeasureLimitAsync(Rig rig, CancellationToken cancel)
    {
        using var data = new TemporaryFolder();
        var rows = (rig.Options.CrowdUsers / 2).ToString(CultureInfo.InvariantCulture);
        var output = await Child.RunAsync("insert-limit", "dotnet",
            [rig.Layout.Baseline, "insert-limit", "--data", data.Path, "--rows", rows, "--users", rig.Options.Users == UserOrder.Ordered ? "ordered" : "scattered"],
            TimeSpan.FromMinutes(5), cancel);
        var limit = JsonSerializer.Deserialize(output, Wire.Default.InsertLimitResult)!;
        return new Sample(limit.RowsPerSecond, limit.Rows, limit.CpuMicrosPerRow, null, null);
    }
}

using System.Globalization;
using System.Text.Json;
using Microsoft.Data.Sqlite;

namespace Sluice.Bench.Runner.Scenarios;

/// <summary>How fast a worker writes a backlog: claims are taken by a node that has no worker, then a node with one starts on the same data.</summary>
internal static class Drain
{
    private const long RowsMin = 10_000;
    private const long MillisecondsMin = 200;

    private static readonly Dictionary<string, string> WithoutWorker = new(StringComparer.Ordinal) { ["SLUICE__ROLES"] = "Api" };

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
        using var data = new TempFolder();
        foreach (var key in Directory.EnumerateFiles(keys, "*.key")) File.Copy(key, data.File(Path.GetFileName(key)));

        Sale sale;
        TimeSpan startCpu;
        await using (var api = await SluiceServer.StartAsync(rig.Layout, data.Path, cancel, WithoutWorker))
        {
            startCpu = api.Process.CpuTime();
            sale = await api.OpenSaleAsync(Claims.HugeStockUnits, cancel);
            await Claims.SendAsync(rig, api, sale, crowd, cancel);
            var waiting = await api.PoolAsync(sale.PoolId, cancel);
            Rig.Require(waiting.QueueDepth == waiting.CapacityUnits - waiting.LeftUnits, $"a node without a worker has drained: {waiting}");
        }

        await using var worker = await SluiceServer.StartAsync(rig.Layout, data.Path, cancel);
        await worker.DrainedAsync(sale.PoolId, cancel);
        var cpu = worker.Process.CpuTime() - startCpu;
        var certificate = await worker.SettledCertificateAsync(sale.PoolId, cancel);
        Rig.Require(certificate.Verdict == "holds", $"the certificate says {certificate.Verdict}");
        var (rows, seconds) = Written(data.File("sluice.db"), sale.PoolId);
        return new Sample(rows / seconds, rows, cpu.TotalMicroseconds / rows, null, null, null);
    }

    // The drain begins while the node still starts, before it answers anything. But every batch has the time at which it was begun, so the first
    // and the last say how long all but the last batch took.
    private static (long Rows, double Seconds) Written(string file, string poolId)
    {
        using var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = file, Mode = SqliteOpenMode.ReadOnly, Pooling = false }.ToString());
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = """
            SELECT COUNT(*), MIN(written_at), MAX(written_at), (SELECT COUNT(*) FROM claims WHERE pool_id = @pool AND written_at = (SELECT MAX(written_at) FROM claims WHERE pool_id = @pool))
            FROM claims WHERE pool_id = @pool
            """;
        command.Parameters.AddWithValue("@pool", long.Parse(poolId, CultureInfo.InvariantCulture));
        using var reader = command.ExecuteReader();
        reader.Read();
        var (all, first, last, lastBatch) = (reader.GetInt64(0), reader.GetInt64(1), reader.GetInt64(2), reader.GetInt64(3));
        Rig.Require(all >= RowsMin && last - first >= MillisecondsMin, $"a backlog of {all} claims, written in {last - first} ms, is too small to measure.");
        return (all - lastBatch, (last - first) / 1_000.0);
    }

    private static async Task<Sample> MeasureLimitAsync(Rig rig, CancellationToken cancel)
    {
        using var data = new TempFolder();
        var rows = (rig.Options.CrowdUsers / 2).ToString(CultureInfo.InvariantCulture);
        var output = await ProgramRun.ToEndAsync("insert-limit", "dotnet",
            [rig.Layout.Baseline, "insert-limit", "--data", data.Path, "--rows", rows, "--users", rig.Options.Users == UserOrder.Ordered ? "ordered" : "scattered"],
            TimeSpan.FromMinutes(5), cancel);
        var limit = JsonSerializer.Deserialize(output, Wire.Default.InsertLimitResult)!;
        return new Sample(limit.RowsPerSecond, limit.Rows, limit.CpuMicrosPerRow, null, null, null);
    }
}

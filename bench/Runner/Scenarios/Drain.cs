using System.Globalization;
using System.Text.Json;
using Microsoft.Data.Sqlite;

namespace Sluice.Bench.Runner.Scenarios;

/// <summary>How fast a worker writes a backlog: it is frozen while another node takes claims, then woken. Worker, API node and Redis are processes of their own.</summary>
internal static class Drain
{
    private const long RowsMin = 10_000;
    private const long MillisecondsMin = 200;

    public static async Task<Plan> PlanAsync(Rig rig, CancellationToken cancel)
    {
        var redis = await rig.RedisAsync(cancel);
        var worker = await rig.SluiceAsync(cancel, environment: Node(redis.Address, "Worker", "1"));
        var api = await rig.SluiceAsync(cancel, environment: Node(redis.Address, "Api", "2"));
        var crowd = await rig.CrowdAsync(api, rig.Options.CrowdUsers, cancel);
        return new Plan("drain", "A backlog of claims in Redis written as claims and orders, to multi-row inserts into one table like the orders: 500 rows for each commit, and as many as a drain takes.",
            [
                new Contender("drain", token => MeasureAsync(rig, "sluice", api, worker, redis.Server, crowd, token)),
                new Contender("insert limit", token => MeasureLimitAsync(rig, "500", token)),
                new Contender("insert limit, 4,000 rows", token => MeasureLimitAsync(rig, "4000", token)),
            ],
            [new Comparison("drain", "insert limit", Goal: 0.7), new Comparison("drain", "insert limit, 4,000 rows")]);
    }

    // Both on the same data folder, and so on the same SQLite file.
    public static Dictionary<string, string> Node(string redis, string role, string id) => new(StringComparer.Ordinal)
    {
        ["SLUICE__Roles"] = role, ["SLUICE__NodeId"] = id, ["SLUICE__Redis__Connection"] = redis, ["SLUICE__WriteQueue__LagMax"] = "100000000",
    };

    /// <param name="broker">The broker's process and its name, where it has one of its own.</param>
    public static async Task<Sample> MeasureAsync(
        Rig rig, string dataFolder, SluiceServer api, SluiceServer worker, ChildProcess redis, Crowd crowd, CancellationToken cancel, (string Name, ChildProcess Process)? broker = null)
    {
        var sale = await api.OpenSaleAsync(Claims.HugeStockUnits, cancel);
        worker.Process.Stop();
        await Claims.SendAsync(rig, api, sale, crowd, cancel);
        var waiting = await api.PoolAsync(sale.PoolId, cancel);
        Rig.Require(waiting.QueueDepth == waiting.CapacityUnits - waiting.LeftUnits, $"a frozen worker has drained: {waiting}");

        var (workerBefore, redisBefore, brokerBefore) = (worker.Process.CpuTime(), redis.CpuTime(), broker?.Process.CpuTime());
        worker.Process.Continue();
        await api.DrainedAsync(sale.PoolId, cancel);
        var (workerCpu, redisCpu) = (worker.Process.CpuTime() - workerBefore, redis.CpuTime() - redisBefore);
        var others = broker is { } other ? new Dictionary<string, double>(StringComparer.Ordinal) { [other.Name] = (other.Process.CpuTime() - brokerBefore!.Value).TotalMicroseconds / waiting.QueueDepth } : null;
        var certificate = await api.SettledCertificateAsync(sale.PoolId, cancel);
        Rig.Require(certificate.Verdict == "holds", $"the certificate says {certificate.Verdict}");
        var (rows, seconds) = Written(rig.Folder.File(Path.Combine(dataFolder, "sluice.db")), sale.PoolId);
        return new Sample(rows / seconds, waiting.QueueDepth, workerCpu.TotalMicroseconds / waiting.QueueDepth, redisCpu.TotalMicroseconds / waiting.QueueDepth, null, null, others);
    }

    // Every batch has the time at which it was begun, so the first and the last say how long all but the last batch took.
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

    private static async Task<Sample> MeasureLimitAsync(Rig rig, string batch, CancellationToken cancel)
    {
        using var data = new TempFolder();
        var rows = (rig.Options.CrowdUsers / 2).ToString(CultureInfo.InvariantCulture);
        var output = await ProgramRun.ToEndAsync("insert-limit", "dotnet",
            [rig.Layout.Baseline, "insert-limit", "--data", data.Path, "--rows", rows, "--batch", batch, "--users", rig.Options.Users == UserOrder.Ordered ? "ordered" : "scattered"],
            TimeSpan.FromMinutes(5), cancel);
        var limit = JsonSerializer.Deserialize(output, Wire.Default.InsertLimitResult)!;
        return new Sample(limit.RowsPerSecond, limit.Rows, limit.CpuMicrosPerRow, null, null, null);
    }
}

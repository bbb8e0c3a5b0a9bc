using System.Globalization;
using Dapper;
using Sluice.Tests.Integration.Failure;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>A rush at a cluster, through nginx, in the middle of which something happens to it; then the audit: what anybody was told is there, once.</summary>
internal static class ClusterRush
{
    private const int KeyedBuyers = 9_000, UnkeyedBuyers = 3_000;

    // What comes new in a rush that is to last; two cores do that beside everything else that they have to do in a drill.
    private const int KeyedPerSecond = 150, UnkeyedPerSecond = 50;

    /// <summary>SLUICE_TEST_RUSH_SECONDS: how long new claims flow at least. Zero: as long as it takes.</summary>
    private static readonly TimeSpan Wished =
        TimeSpan.FromSeconds(int.TryParse(Environment.GetEnvironmentVariable("SLUICE_TEST_RUSH_SECONDS"), NumberStyles.None, CultureInfo.InvariantCulture, out var seconds) ? seconds : 0);

    /// <param name="happens">Is told the sale, and the crowd.</param>
    /// <param name="part">Of the buyers, where they are all there at once.</param>
    /// <param name="atLeast">How long new claims flow; SLUICE_TEST_RUSH_SECONDS if that is longer.</param>
    public static async Task<Crowd> DrillAsync(OneHost host, ITestOutputHelper output, Func<string, Crowd, Task> happens, double part = 1, TimeSpan atLeast = default)
    {
        atLeast = atLeast > Wished ? atLeast : Wished;
        var isLong = atLeast > TimeSpan.Zero;

        // What happens may take much longer than that on a busy machine.
        var reserve = atLeast.TotalSeconds * 6;
        var keyed = await Rush.BuyersAsync(host.Shop, isLong ? (int)(KeyedPerSecond * reserve) : (int)(KeyedBuyers * part), "keyed");
        var unkeyed = await Rush.BuyersAsync(host.Shop, isLong ? (int)(UnkeyedPerSecond * reserve) : (int)(UnkeyedBuyers * part), "unkeyed");
        var stock = keyed.Count + unkeyed.Count;
        var sale = await host.Shop.OpenSaleAsync(stock);
        var ledger = new Ledger(sale, stock);
        using var crowd = new Crowd(host.Shop, ledger, keyed, unkeyed, isLong ? KeyedPerSecond : null);
        using var stop = new CancellationTokenSource();
        var started = TimeProvider.System.GetTimestamp();
        var pressing = crowd.PressAsync(stop.Token);
        await Eventually.TrueAsync(() => Task.FromResult(ledger.Count > 500), "the rush is on");
        TimeSpan lasted;
        try
        {
            await happens(sale, crowd);

            // And once more calm, so that what comes back late is counted too.
            var (answers, acknowledged) = (crowd.Answers, ledger.Count);
            await Eventually.TrueAsync(() => Task.FromResult(crowd.Answers > answers + 500), "the rush goes on");
            if (isLong)
            {
                await Eventually.TrueAsync(
                    () => Task.FromResult(TimeProvider.System.GetElapsedTime(started) >= atLeast && (ledger.Count > acknowledged + 500 || crowd.HaveAllCome)), "new claims flow, and for long enough", atLeast + TimeSpan.FromSeconds(60));
            }

            lasted = TimeProvider.System.GetElapsedTime(started);
        }
        finally
        {
            await stop.CancelAsync();
            await pressing;
        }

        await crowd.SettleAsync();

        // A claim without a key whose answer was cut off may have been taken, and its buyer was not told.
        var audited = await ledger.AuditAsync(host.Shop, strangersMax: crowd.Failures.Where(failure => failure.Key.StartsWith("claim without key", StringComparison.Ordinal)).Sum(failure => failure.Value));
        output.WriteLine($"a rush of {lasted.TotalSeconds:0} s{(isLong && crowd.HaveAllCome ? ", after a part of it without new buyers" : "")}: {crowd.Says}; {ledger.Count} acknowledged, {audited.Sold} sold, 0 lost, 0 doubled; certificate {audited.Certificate["verdict"]}");
        return crowd;
    }

    public static Task AwaitUpstreamAsync(OneHost host, string node, bool isIn) => Eventually.TrueAsync(
        async () => (await File.ReadAllTextAsync(Path.Combine(host.Folder, "nginx", "sluice-upstream.conf"))).Contains($"# {node}", StringComparison.Ordinal) == isIn,
        $"{node} is {(isIn ? "in" : "out of")} nginx' upstream");

    /// <summary>Waits until SQL has as many claims of the sale as were acknowledged when this was asked. Not until nothing waits: a rush that goes on may never let it come to that.</summary>
    public static async Task AwaitWrittenAsync(OneHost host, string sale, Crowd crowd)
    {
        var acknowledged = crowd.Acknowledged;
        await Eventually.TrueAsync(
            async () =>
            {
                await using var database = host.Shop.OpenDatabase();
                return await database.QuerySingleAsync<long>("SELECT COUNT(*) FROM claims WHERE pool_id = @sale", new { sale = long.Parse(sale, CultureInfo.InvariantCulture) }) >= acknowledged;
            },
            "what was acknowledged is written");
    }

    public static string? WriterOf(System.Text.Json.Nodes.JsonObject status) => (string?)status["members"]!.AsArray().SingleOrDefault(member => (string)member!["role"]! == "sql writer")?["name"];
}

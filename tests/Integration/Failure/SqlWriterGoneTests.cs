using System.Diagnostics;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>
/// The node of a Galera cluster that is written dies or freezes under a rush: another one takes over, unattended, and nothing that was acknowledged is lost or doubled. Then the first one comes back and takes over again.
/// </summary>
public sealed class SqlWriterGoneTests(GaleraCluster cluster, ITestOutputHelper output) : IClassFixture<GaleraCluster>
{
    private const int Stock = 9_000, BuyerCount = 12_000;

    // Each acknowledgement waits for a commit on three nodes here: a busy machine needs minutes.
    private static readonly TimeSpan Frozen = TimeSpan.FromSeconds(8), EnoughMax = TimeSpan.FromMinutes(4);

    // Each durability and each fate once; SLUICE_TEST_ALL=1 runs all four.
    public static TheoryData<string, bool> Cases => Drills.RunsAll ? new() { { "Logged", false }, { "Committed", true }, { "Logged", true }, { "Committed", false } } : new() { { "Logged", false }, { "Committed", true } };

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task SqlWriter_GoneInMidRush_AnotherNodeTakesOverAndNothingIsLostOrDoubled(string durability, bool freezes)
    {
        var (first, second) = (cluster.Nodes[0], cluster.Nodes[1]);
        await cluster.WhenWriterIsAsync(first);

        // Small batches: the queue is still being written when the writer goes, and when it comes back.
        await using var server = await SluiceServer.StartAsync(
            [.. Drills.NoRateLimit, $"Sql:Connection={await cluster.NewDatabaseAsync()}", $"Pools:Durability={durability}", "WriteQueue:BatchRowsMax=30", "Pools:CommitWaitMax=00:00:02"]);
        var buyers = await Rush.BuyersAsync(server, BuyerCount);
        var random = new Random(Drills.Seed);
        var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
        using var rush = new Rush(server, ledger, buyers);
        using var stop = new CancellationTokenSource();
        var enough = ledger.WhenCountIs(random.Next(200, Stock / 6));
        var pressing = rush.PressAsync(stop.Token);
        var reading = LongestWithoutOrdersAsync(server, buyers[0], stop.Token);
        await enough.WaitAsync(EnoughMax);

        var before = ledger.Count;
        var since = Stopwatch.GetTimestamp();
        if (freezes)
        {
            first.Process.Stop();
        }
        else
        {
            await first.Process.KillAsync();
        }

        await cluster.WhenWriterIsAsync(second);
        if (freezes)
        {
            // Longer than the others wait for it: it is no member any more when it wakes up, and has work in hand.
            var left = Frozen - Stopwatch.GetElapsedTime(since);
            await Task.Delay(left > TimeSpan.Zero ? left : TimeSpan.Zero, TimeProvider.System);
            first.Process.Continue();
            await GaleraCluster.WhenSyncedAsync(first);
        }
        else
        {
            await Drills.MomentAsync(random, 3_000);
            await cluster.RejoinAsync(first);
        }

        await cluster.WhenWriterIsAsync(first);
        await Drills.MomentAsync(random, 1_000);
        var lasted = Stopwatch.GetElapsedTime(since);
        await stop.CancelAsync();
        await pressing;
        await rush.SettleAsync();
        var audited = await ledger.AuditAsync(server);
        Assert.Equal(Stock, audited.Sold);
        await AssertOneOrderPerClaimAsync(server, audited);
        Assert.DoesNotContain(GaleraCluster.Password, server.Process.Output, StringComparison.Ordinal);
        output.WriteLine(
            $"seed {Drills.Seed} {durability}: writer {(freezes ? "frozen for 8 s" : "killed")} after {before} acknowledgements, rush of {lasted.TotalSeconds + 1:0} s from there with fail-back; " +
            $"longest time without an acknowledgement {ledger.LongestSilence.TotalSeconds:0.0} s, without an order page {(await reading).TotalSeconds:0.0} s; " +
            $"{rush.Unavailable} answers of 503; {ledger.Count} acknowledged, 0 lost, 0 doubled");
    }

    private static async Task AssertOneOrderPerClaimAsync(SluiceServer server, Audited audited)
    {
        await using var database = server.OpenDatabase();
        var orders = (await Dapper.SqlMapper.QueryAsync<long>(database, "SELECT id FROM orders")).ToHashSet();
        Assert.Equal(audited.Rows.Values.Where(row => row.State == 1).Select(row => row.Id).Order(), orders.Order());
    }

    // What a buyer sees who looks at the own orders all the time. (Claims of a sale are answered by Redis.)
    private static async Task<TimeSpan> LongestWithoutOrdersAsync(SluiceServer server, Buyer buyer, CancellationToken stop)
    {
        var (longest, last) = (TimeSpan.Zero, Stopwatch.GetTimestamp());
        while (!stop.IsCancellationRequested)
        {
            var page = await server.UserAsync(HttpMethod.Get, "/v1/orders", buyer.Token);
            var now = Stopwatch.GetElapsedTime(last);
            longest = now > longest ? now : longest;
            last = page.Status == 200 ? Stopwatch.GetTimestamp() : last;
            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, CancellationToken.None);
        }

        return longest;
    }
}

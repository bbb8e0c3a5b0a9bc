using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>The disk of the data folder fills up in mid-sale: refusals with a time to come back, no half-done claim, and afterwards it goes on.</summary>
public sealed class DiskFullTests(ITestOutputHelper output)
{
    private const int Stock = 2_500, Early = 500, Buyers = 3_000;

    // SLUICE_TEST_ALL=1 runs both.
    public static TheoryData<string> Durabilities => Drills.RunsAll ? ["Logged", "Committed"] : ["Logged"];

    [Theory]
    [MemberData(nameof(Durabilities))]
    public async Task Disk_NearlyFullInMidRush_RefusesClaimsAndGoesOnByItselfWhenThereIsRoom(string durability)
    {
        await using var disk = await SmallDisk.MountAsync(sizeKiB: 192 << 10);
        await using var server = await StartAsync(disk, durability);
        var (ledger, buyers) = await SellEarlyAsync(server);
        using var rush = new Rush(server, ledger, buyers);
        using var stop = new CancellationTokenSource();
        disk.FillUpTo(leftMiB: 40);
        var before = ledger.Count;

        // Whoever clicks now is told when to come back: anything else, and no answer at all, is a fault in the ledger.
        var pressing = rush.PressAsync(stop.Token);
        await Eventually.TrueAsync(() => Task.FromResult(rush.Unavailable > 2_000), "buyers are told to come back later");
        disk.Free();
        await stop.CancelAsync();
        await pressing;
        var during = rush.Unavailable;
        await rush.SettleAsync();
        var audited = await ledger.AuditAsync(server);
        Assert.Equal(Stock, audited.Sold);
        output.WriteLine($"{durability}: nearly full after {before} acknowledgements, {during} answers of 503; {ledger.Count} acknowledged in the end, 0 lost");
    }

    [Fact]
    public async Task Disk_FullToTheLastByteAtOnce_RefusesClaimsAndKeepsEveryAcknowledgedOneOverTheNextStart()
    {
        await using var disk = await SmallDisk.MountAsync(sizeKiB: 192 << 10);
        await using var server = await StartAsync(disk, "Logged", "Redis:DiskFreeMiBMin=1");
        var (ledger, buyers) = await SellEarlyAsync(server);
        using var rush = new Rush(server, ledger, buyers);
        using var stop = new CancellationTokenSource();
        var enough = ledger.WhenCountIs(Early + 100);
        var pressing = rush.PressAsync(stop.Token);
        await enough.WaitAsync(TimeSpan.FromMinutes(3));
        disk.Fill();
        var before = ledger.Count;
        await Eventually.TrueAsync(() => Task.FromResult(rush.Unavailable > 2_000), "buyers are told to come back later");

        // What needs SQL is refused in the same way, and is not half done. The server itself may make a little room (what is settled leaves the disk); a payment that found some counts.
        var claims = ledger.Claims.Select(claim => claim.ClaimId).ToList();
        var paid = 0;
        Answer pay;
        do
        {
            disk.Fill();
            pay = await server.PayAsync(claims[paid], $"pay-full-{claims[paid]}", 4_900);
        }
        while (pay.Status == 200 && ++paid < 20);
        Assert.True(pay is { Status: 503, RetryAfter: not null } or { Status: 404 }, pay.Text);
        disk.Free();
        await stop.CancelAsync();
        await pressing;

        // The server ends in order also after this.
        Assert.Equal(0, await server.Process.TerminateAsync());
        await server.BeginAsync();
        await rush.SettleAsync();
        var audited = await ledger.AuditAsync(server);
        Assert.Equal(Stock, audited.Sold);
        for (var i = 0; i <= paid; i++)
        {
            Assert.Equal(i < paid ? "already-applied" : "applied", (string?)(await server.PayAsync(claims[i], $"pay-full-{claims[i]}", 4_900)).Json["outcome"]);
        }

        output.WriteLine($"full after {before} acknowledgements, {rush.Unavailable} answers of 503, {paid} payments found room; {ledger.Count} acknowledged in the end, 0 lost");
    }

    [Fact]
    public async Task Log_ThatCannotBeWritten_RefusesClaimsUntilTheNextStartAndLosesNothing()
    {
        // The log alone is on a small disk, so that no guard sees its end coming.
        await using var disk = await SmallDisk.MountAsync(sizeKiB: 384);
        using var data = new TempFolder();
        Directory.CreateDirectory(data.File("garnet"));
        Directory.CreateSymbolicLink(data.File("garnet/AOF"), disk.Path);
        await using var server = await SluiceServer.StartAsync(Drills.NoRateLimit, data.Path);
        var (ledger, buyers) = await SellEarlyAsync(server);
        using var rush = new Rush(server, ledger, buyers);
        using var stop = new CancellationTokenSource();
        var pressing = rush.PressAsync(stop.Token);
        await Eventually.TrueAsync(() => Task.FromResult(rush.Unavailable > 2_000), "buyers are told to come back later");
        await stop.CancelAsync();
        await pressing;
        var before = ledger.Count;
        using (var ready = await server.Http.GetAsync("/health/ready"))
        {
            Assert.Equal(503, (int)ready.StatusCode);
            Assert.Contains("room on the disk", await ready.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }

        // A log that failed once stays shut. The server ends in order also in this state, and the next one goes on with what the log has.
        await disk.GrowAsync(sizeKiB: 64 << 10);
        Assert.Equal(0, await server.Process.TerminateAsync());
        await server.BeginAsync();
        await rush.SettleAsync();
        var audited = await ledger.AuditAsync(server);
        Assert.Equal(Stock, audited.Sold);
        output.WriteLine($"the log failed after {before} acknowledgements, {rush.Unavailable} answers of 503; {ledger.Count} acknowledged in the end, 0 lost");
    }

    private static Task<SluiceServer> StartAsync(SmallDisk disk, string durability, params string[] more) =>
        SluiceServer.StartAsync([.. Drills.NoRateLimit, $"Pools:Durability={durability}", "Pools:CommitWaitMax=00:00:02", .. more], Path.Combine(disk.Path, "data"));

    private static async Task<(Ledger Ledger, IReadOnlyList<Buyer> Buyers)> SellEarlyAsync(SluiceServer server)
    {
        var buyers = await Rush.BuyersAsync(server, Buyers);
        var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
        using var early = new Rush(server, ledger, [.. buyers.Take(Early)]);
        await early.PressOnceAsync();
        return (ledger, buyers);
    }
}

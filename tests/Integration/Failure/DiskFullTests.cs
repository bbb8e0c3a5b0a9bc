using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>The disk of the data folder fills up in mid-sale: refusals with a time to come back, no half-done claim, and afterwards it goes on.</summary>
[Collection(Drills.Name)]
public sealed class DiskFullTests(ITestOutputHelper output)
{
    private const int Stock = 2_500, Early = 500, Buyers = 3_000;

    [Theory]
    [InlineData("Logged")]
    [InlineData("Committed")]
    public async Task DiskOfTheDataFolder_FullInMidRush_RefusesAndGoesOnWhenThereIsSpaceAgain(string durability)
    {
        await using var disk = await SmallDisk.MountAsync(sizeMiB: 128);
        await using var server = await SluiceServer.StartAsync([.. Drills.NoRateLimit, $"Pools:Durability={durability}", "Pools:CommitWaitMax=00:00:02"], Path.Combine(disk.Path, "data"));
        var buyers = await Rush.BuyersAsync(server, Buyers);
        var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
        using (var early = new Rush(server, ledger, [.. buyers.Take(Early)]))
        {
            await early.PressOnceAsync();
        }

        using var rush = new Rush(server, ledger, buyers);
        using var stop = new CancellationTokenSource();
        var enough = ledger.WhenCountIs(Early + 100);
        var pressing = rush.PressAsync(stop.Token);
        await enough.WaitAsync(TimeSpan.FromSeconds(30));
        disk.Fill();
        var before = ledger.Count;
        try
        {
            // Whoever clicks now is told when to come back: anything else, and no answer at all, is a fault in the ledger.
            await Eventually.TrueAsync(() => Task.FromResult(rush.Unavailable > 500), "buyers are told to come back later");
            var tokens = buyers.ToDictionary(buyer => buyer.User, buyer => buyer.Token);
            var some = ledger.Claims.First();
            var cancel = await server.UserAsync(HttpMethod.Post, $"/v1/orders/{some.ClaimId}/cancel", tokens[some.User]);
            output.WriteLine($"cancel: {cancel.Status} {cancel.Code} {cancel.RetryAfter}");
        }
        finally
        {
            disk.Free();
            await stop.CancelAsync();
        }

        await pressing;
        var during = rush.Unavailable;
        Assert.False(server.Process.HasExited, server.Process.Output);
        await rush.SettleAsync();
        var audited = await ledger.AuditAsync(server);
        output.WriteLine($"{durability}: full after {before} acknowledgements, {during} answers of 503; {ledger.Count} acknowledged in the end, {audited.Sold} sold, 0 lost");
    }
}

using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>The broker dies under a running shop, with and without its data: nothing that was acknowledged is lost or doubled, and claims go on.</summary>
[Collection(Drills.Name)]
public sealed class RabbitMqGoneTests(ITestOutputHelper output)
{
    private const int Stock = 2_000, BuyerCount = 4_000;

    [Fact]
    public async Task RabbitMq_KilledInMidRushAndStartedAgain_LosesAndDoublesNothing()
    {
        await using var rabbit = await RabbitMqServer.StartAsync();
        await using var redis = await RedisServer.StartAsync();
        await using var server = await SluiceServer.StartAsync([
            .. Drills.NoRateLimit, $"Redis:Connection={redis.Connection}", "WriteQueue:Engine=RabbitMq", $"WriteQueue:Connection={rabbit.Connection}", "WriteQueue:InFlightMax=500",
            "WriteQueue:BatchRowsMax=50", "WriteQueue:RepublishAfter=00:00:02"]);
        var buyers = await Rush.BuyersAsync(server, BuyerCount);
        foreach (var loses in new[] { false, true })
        {
            var random = new Random(HashCode.Combine(Drills.Seed, loses));
            var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
            using var rush = new Rush(server, ledger, buyers);
            using var stop = new CancellationTokenSource();
            var enough = ledger.WhenCountIs(random.Next(Stock / 2));
            var pressing = rush.PressAsync(stop.Token);
            await enough.WaitAsync(TimeSpan.FromSeconds(30));
            var killed = TimeProvider.System.GetTimestamp();
            await rabbit.KillAsync();
            var before = ledger.Count;
            await Drills.MomentAsync(random, 1_000);
            if (loses)
            {
                rabbit.LoseData();
            }

            await rabbit.BeginAsync();
            var away = TimeProvider.System.GetElapsedTime(killed);
            await stop.CancelAsync();
            await pressing;
            await rush.SettleAsync();
            var audited = await ledger.AuditAsync(server);
            Assert.Equal(Stock, audited.Sold);
            output.WriteLine(
                $"seed {Drills.Seed}: RabbitMQ killed after {before} acknowledgements, {(loses ? "its data lost, " : "")}away for {away.TotalSeconds:0.0} s; {ledger.Count} acknowledged, 0 lost, 0 doubled, " +
                $"{rush.Unavailable} answers of 503, longest silence {rush.LongestSilence.TotalSeconds:0.00} s; everything written {TimeProvider.System.GetElapsedTime(killed).TotalSeconds - away.TotalSeconds:0.0} s after it was back");
        }

        Assert.DoesNotContain(RabbitMqServer.Password, server.Process.Output, StringComparison.Ordinal);
    }
}

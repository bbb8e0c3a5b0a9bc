using Sluice.Platform.WriteQueue;
using Sluice.Tests.Integration.Contract;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>The broker dies under a running shop, with and without its data: claims go on, and nothing that was acknowledged is lost or doubled. Beside other tests, with a broker of its own: that is started three times, and waited for more than worked with.</summary>
public sealed class BrokerGoneTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task RabbitMq_KilledInMidRushAndStartedAgain_LosesAndDoublesNothing()
    {
        const int Stock = 1_000, BuyerCount = 1_500;
        await using var rabbit = await RabbitMqServer.StartAsync();
        await using var redis = await RedisServer.StartAsync();
        await using var server = await SluiceServer.StartAsync([
            .. Drills.NoRateLimit, .. Engines.QueueSettings(new() { Engine = QueueEngine.RabbitMq, Connection = rabbit.Connection, Name = "drill" }), $"Redis:Connection={redis.Connection}", "WriteQueue:InFlightMax=250", "WriteQueue:BatchRowsMax=50"]);
        var buyers = await Rush.BuyersAsync(server, BuyerCount);
        await Eventually.TrueAsync(() => rabbit.KeepsAsync("drill.flash-sale", "drill.stock"), "RabbitMQ has written down its queues");
        foreach (var loses in new[] { false, true })
        {
            var random = new Random(HashCode.Combine(Drills.Seed, loses));
            var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
            using var rush = new Rush(server, ledger, buyers);
            using var stop = new CancellationTokenSource();
            var enough = ledger.WhenCountIs(random.Next(Stock / 2));
            var pressing = rush.PressAsync(stop.Token);
            await enough.WaitAsync(Patience);
            await rabbit.KillAsync();
            var (before, written) = (ledger.Count, (await ledger.CompareAsync(server)).Rows.Count);

            // While it is away the sale goes on to its end, and whoever looks is told what is missing.
            await Drills.MomentAsync(random, 1_000);
            await stop.CancelAsync();
            await pressing;
            await rush.SettleAsync();
            Assert.Equal(Stock, ledger.Count);
            await Eventually.TrueAsync(async () => await server.Http.GetStringAsync("/health/ready") is var says && says.StartsWith("ready; claims wait in Redis: rabbitmq: ", StringComparison.Ordinal), "health says what is missing");
            if (loses)
            {
                rabbit.LoseData();
            }

            await rabbit.BeginAsync();
            var back = TimeProvider.System.GetTimestamp();
            Audited audited;
            try
            {
                audited = await ledger.AuditAsync(server);
            }
            catch
            {
                output.WriteLine($"{await server.Http.GetStringAsync("/metrics")}\n{server.Process.Output}\n{rabbit.Process.Output}");
                throw;
            }

            Assert.Equal(Stock, audited.Sold);
            output.WriteLine(
                $"seed {Drills.Seed}: RabbitMQ killed after {before} acknowledgements ({written} written){(loses ? ", its data lost" : "")}; {ledger.Count} acknowledged before it was back, {rush.Unavailable} answers of 503, longest silence " +
                $"{rush.LongestSilence.TotalSeconds:0.00} s; all written and audited {TimeProvider.System.GetElapsedTime(back).TotalSeconds:0.0} s after it was back, 0 lost, 0 doubled");
        }

        await Eventually.TrueAsync(async () => await server.Http.GetStringAsync("/health/ready") == "ready", "health says that all is well");
        Assert.DoesNotContain(RabbitMqServer.Password, server.Process.Output, StringComparison.Ordinal);
    }
}

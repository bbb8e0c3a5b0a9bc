using System.Globalization;
using Sluice.Platform.WriteQueue;
using Sluice.Tests.Integration.Contract;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>A shop with a broker dies at the exact places between its log, the broker and SQL, or starts without the broker. Beside other tests: its own process is all that it kills.</summary>
public sealed class BrokerFaultTests(Engines engines, ITestOutputHelper output)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData(QueueEngine.RabbitMq, "carrier.published", 2)] // the broker has it, and the carrier does not know
    [InlineData(QueueEngine.RabbitMq, "reader.committed", 2)] // SQL has it, and the broker still has it too
    [InlineData(QueueEngine.RabbitMq, "carrier.dropped", 2)] // the log has let go of it
    [InlineData(QueueEngine.Kafka, "reader.committed", 1)]
    public async Task Server_KilledBetweenLogBrokerAndSql_KeepsEveryAcknowledgedClaim(QueueEngine engine, string point, int pass)
    {
        const int Stock = 400;
        await using var server = await SluiceServer.StartAsync(
            [.. Drills.NoRateLimit, .. await engines.QueueSettingsAsync(engine), "WriteQueue:BatchRowsMax=40", "Pools:BatchClaimsMax=40", "WriteQueue:JournalEntriesMax=0"], environment: Drills.Fault(point, "kill", pass));
        var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
        using var rush = new Rush(server, ledger, await Rush.BuyersAsync(server, 1_000));
        using var stop = new CancellationTokenSource(Patience);
        await rush.PressAsync(stop.Token);
        await server.Process.WaitAsync(Patience);
        var before = ledger.Count;

        await server.BeginAsync();
        await rush.SettleAsync();
        var audited = await ledger.AuditAsync(server);
        Assert.Equal(Stock, audited.Sold);
        output.WriteLine($"{engine} {point} {pass}: {before} acknowledged before the kill, {ledger.Count} in the end, 0 lost");
    }

    [Fact]
    public async Task Start_WithoutItsBroker_SaysSoAndEnds()
    {
        using var folder = new TempFolder();
        var nobody = FreePort.Next().ToString(CultureInfo.InvariantCulture);
        var (rabbit, _, rabbitSays) = await SluiceCommand.RunAsync(
            "serve", "--data", folder.Path, "--set", "WriteQueue:Engine=RabbitMq", "--set", $"WriteQueue:Connection=amqp://shop:{RabbitMqServer.Password}@127.0.0.1:{nobody}/");
        var (wrong, _, wrongSays) = await SluiceCommand.RunAsync(
            "serve", "--data", folder.Path, "--set", "WriteQueue:Engine=RabbitMq", "--set", $"WriteQueue:Connection={(await engines.RabbitMqAsync()).Connection.Replace("shop:", "nobody:", StringComparison.Ordinal)}");
        var (kafka, _, kafkaSays) = await SluiceCommand.RunAsync("serve", "--data", folder.Path, "--set", "WriteQueue:Engine=Kafka", "--set", $"WriteQueue:Connection=127.0.0.1:{nobody}");

        Assert.Equal((3, 3, 3), (rabbit, wrong, kafka));
        Assert.Contains("sluice: rabbitmq: ", rabbitSays, StringComparison.Ordinal);
        Assert.Contains("ACCESS_REFUSED", wrongSays, StringComparison.Ordinal);
        Assert.Contains("sluice: kafka: ", kafkaSays, StringComparison.Ordinal);
        Assert.All([rabbitSays, wrongSays, kafkaSays], says =>
        {
            Assert.DoesNotContain(RabbitMqServer.Password, says, StringComparison.Ordinal);
            Assert.DoesNotContain("   at ", says, StringComparison.Ordinal);
        });
    }
}

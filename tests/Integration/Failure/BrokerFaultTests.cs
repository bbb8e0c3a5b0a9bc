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
        const int Stock = 200;
        await using var server = await SluiceServer.StartAsync(
            [.. Drills.NoRateLimit, .. Engines.QueueSettings(await engines.QueueAsync(engine)), "WriteQueue:BatchRowsMax=20", "Pools:BatchClaimsMax=20", "WriteQueue:JournalEntriesMax=0"], environment: Drills.Fault(point, "kill", pass));
        var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
        using var rush = new Rush(server, ledger, await Rush.BuyersAsync(server, 400));
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
        var nobody = $"127.0.0.1:{FreePort.Next()}";
        var stranger = (await engines.RabbitMqAsync()).Connection.Replace("shop:", "nobody:", StringComparison.Ordinal);
        (string Engine, string Connection, string Says)[] starts = [
            ("RabbitMq", $"amqp://shop:{RabbitMqServer.Password}@{nobody}/", "sluice: rabbitmq: "), ("RabbitMq", stranger, "ACCESS_REFUSED"), ("Kafka", nobody, "sluice: kafka: ")];
        await Task.WhenAll(starts.Select(async (start, i) =>
        {
            var (code, _, says) = await SluiceCommand.RunAsync("serve", "--data", folder.File($"{i}"), "--set", $"WriteQueue:Engine={start.Engine}", "--set", $"WriteQueue:Connection={start.Connection}");
            Assert.Equal(3, code);
            Assert.Contains(start.Says, says, StringComparison.Ordinal);
            Assert.DoesNotContain(RabbitMqServer.Password, says, StringComparison.Ordinal);
            Assert.DoesNotContain("   at ", says, StringComparison.Ordinal);
        }));
    }
}

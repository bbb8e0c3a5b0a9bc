using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>Orders that nobody pays give their units back, and the next in line gets them: "sold out" never sticks.</summary>
public sealed class ExpiryTests(ITestOutputHelper output)
{
    private const int Stock = 20, Turns = 4;

    [Fact]
    public async Task SoldOutSale_WhenUnpaidOrdersExpire_SellsToOthersAgainAndAgain()
    {
        await using var server = await SluiceServer.StartAsync([.. Drills.NoRateLimit, "Orders:ExpiryRound=00:00:00.1"]);
        output.WriteLine(await TakeTurnsAsync(server));
    }

    [Fact]
    public async Task SoldOutSale_WhenOrdersExpireOnAnotherNode_SellsToOthersAgainAndAgain()
    {
        await using var redis = await RedisServer.StartAsync();
        using var folder = new TempFolder();
        await using var api = await SluiceServer.StartAsync([.. Drills.NoRateLimit, "Roles=Api", "NodeId=1", $"Redis:Connection={redis.Connection}"], folder.Path);
        await using var worker = await SluiceServer.StartAsync(["Roles=Worker", "NodeId=2", $"Redis:Connection={redis.Connection}", "Orders:ExpiryRound=00:00:00.1"], folder.Path);
        output.WriteLine(await TakeTurnsAsync(api));
    }

    /// <summary>Sells out, lets everything expire, and sells the same units again, a few times. Returns what it saw.</summary>
    internal static async Task<string> TakeTurnsAsync(SluiceServer server, int turns = Turns)
    {
        var ledger = new Ledger(await server.OpenSaleAsync(Stock, paymentTimeout: "PT1S"), Stock);
        for (var turn = 0; turn < turns; turn++)
        {
            // Each turn a new crowd that takes every unit that is there, and never pays. Half of it must be told "sold out" for the flag to be up.
            var crowd = await Rush.BuyersAsync(server, Stock * 2, $"turn{turn}");
            using var rush = new Rush(server, ledger, crowd);
            var before = ledger.Count;
            await Eventually.TrueAsync(
                async () =>
                {
                    await rush.PressOnceAsync();
                    return ledger.Count - before >= Stock;
                },
                $"turn {turn}: units that came back are sold to others",
                atMost: TimeSpan.FromSeconds(30));
        }

        // Everything expires in the end, and the pool is as full as at the start.
        await Eventually.TrueAsync(async () => (long)(await server.ServerGetAsync($"/v1/pools/{ledger.SaleId}"))["leftUnits"]! == Stock, "every unit came back");
        var audited = await ledger.AuditAsync(server);
        Assert.Equal((0L, (long)Stock), (audited.Sold, audited.Left));
        return $"{Stock} units were sold {ledger.Count} times in {turns} turns, and all came back";
    }
}

using System.Text.Json.Nodes;
using Dapper;
using Microsoft.Data.Sqlite;
using Sluice.Tests.Integration.Servers;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Failure;

/// <summary>An entry that cannot be written goes aside with its error; everything behind it goes on.</summary>
public sealed class PoisonTests(ITestOutputHelper output)
{
    private const int Stock = 200, Buyers = 150;

    [Fact]
    public async Task GarbageInTheQueue_IsSetAsideAndTheRestIsWritten()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var server = await SluiceServer.StartAsync([.. Drills.NoRateLimit, $"Redis:Connection={redis.Connection}"]);
        var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
        using var rush = new Rush(server, ledger, await Rush.BuyersAsync(server, Buyers));
        await using var redisClient = await ConnectionMultiplexer.ConnectAsync(redis.Connection);
        var log = (RedisKey)$"{{pool:{ledger.SaleId}.0}}:log";

        var pressing = rush.PressOnceAsync();
        string[] garbage = [" ", "hello", "1,u-1,notanumber,1,k", "9,u-1,1,1,k", "1,u-1,5,-3,k", new string('x', 10_000), "1,a,b,c,d,e,f", "\0\u00ff;;;"];
        foreach (var entry in garbage)
        {
            await redisClient.GetDatabase().ListRightPushAsync(log, entry);
        }

        await pressing;
        await Eventually.TrueAsync(async () => await DeadAsync(server, ledger) is { Count: 8 }, "all garbage is set aside");
        var (broken, _) = await BrokenAsync(server, ledger);
        Assert.Equal(["no-dead-letters"], broken);
        var letters = await DeadAsync(server, ledger);
        Assert.Equal(garbage.Order(StringComparer.Ordinal), letters.Select(letter => (string)letter!["entry"]!).Order(StringComparer.Ordinal));
        Assert.All(letters, letter => Assert.Contains("Not a claim", (string)letter!["error"]!, StringComparison.Ordinal));
        Assert.Empty((await ledger.CompareAsync(server)).Lost);

        // The cause is not gone, so a replay ends where it began; discarding what is no claim leaves the sale whole.
        await server.ServerPostAsync($"/v1/pools/{ledger.SaleId}/dead-letters/replay");
        await Eventually.TrueAsync(async () => await DeadAsync(server, ledger) is { Count: 8 }, "replayed garbage is set aside again");
        Assert.Equal(8, (int)(await server.ServerPostAsync($"/v1/pools/{ledger.SaleId}/dead-letters/discard"))["count"]!);
        var audited = await ledger.AuditAsync(server);
        Assert.Equal(Buyers, audited.Sold);
        output.WriteLine($"{garbage.Length} poison entries set aside, {Buyers} claims beside them written, 0 lost");
    }

    [Fact]
    public async Task ClaimThatSqlRefuses_IsReplayedWhenTheCauseIsGone()
    {
        await using var server = await SluiceServer.StartAsync(Drills.NoRateLimit);
        var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
        using var rush = new Rush(server, ledger, await Rush.BuyersAsync(server, Buyers));
        await PoisonAsync(server, "u-70");
        await rush.PressOnceAsync();
        await Eventually.TrueAsync(async () => await DeadAsync(server, ledger) is { Count: 1 }, "the poison claim is set aside");
        var (broken, _) = await BrokenAsync(server, ledger);
        Assert.Equal(["no-dead-letters"], broken);
        Assert.Equal("u-70", Assert.Single((await ledger.CompareAsync(server)).Lost).User);

        await ExecuteAsync(server, "DROP TRIGGER poison");
        await server.ServerPostAsync($"/v1/pools/{ledger.SaleId}/dead-letters/replay");
        await Eventually.TrueAsync(async () => (await ledger.CompareAsync(server)).Lost.Count == 0, "the replayed claim is written");
        var audited = await ledger.AuditAsync(server);
        Assert.Equal(Buyers, audited.Sold);
        output.WriteLine($"1 claim refused by SQL, replayed: {Buyers} written, 0 lost");
    }

    [Fact]
    public async Task ClaimThatSqlRefuses_Discarded_GivesItsUnitBackAndStaysOnTheCertificate()
    {
        await using var server = await SluiceServer.StartAsync(Drills.NoRateLimit);
        var ledger = new Ledger(await server.OpenSaleAsync(3), 3);
        var buyers = await Rush.BuyersAsync(server, 4);
        using var rush = new Rush(server, ledger, buyers);
        await PoisonAsync(server, "u-1");
        foreach (var buyer in buyers.Take(3))
        {
            Assert.Equal(Said.Yours, await rush.AskAsync(buyer));
        }

        Assert.Equal(Said.SoldOut, await rush.AskAsync(buyers[3]));
        await Eventually.TrueAsync(async () => await DeadAsync(server, ledger) is { Count: 1 }, "the poison claim is set aside");
        await server.ServerPostAsync($"/v1/pools/{ledger.SaleId}/dead-letters/discard");

        // The unit can be bought again. The promise was broken, by decision of a person, and the certificate says exactly that.
        await Eventually.TrueAsync(async () => await rush.AskAsync(buyers[3]) is Said.Yours, "the discarded claim's unit is sold to another");
        await Eventually.TrueAsync(async () => (await ledger.CompareAsync(server)).Lost is [{ User: "u-1" }], "all others are written");
        var (broken, certificate) = await BrokenAsync(server, ledger);
        Assert.Equal(["nothing-accepted-was-refused"], broken);
        ledger.AssertUnits((await ledger.CompareAsync(server)).Rows.Values, certificate, "after the discard");
    }

    private static async Task<JsonArray> DeadAsync(SluiceServer server, Ledger ledger) =>
        (await server.ServerGetAsync($"/v1/pools/{ledger.SaleId}/dead-letters"))["items"]!.AsArray();

    // The checks that fail, once the queue is empty.
    private static async Task<(IReadOnlyList<string> Broken, JsonObject Certificate)> BrokenAsync(SluiceServer server, Ledger ledger)
    {
        await Eventually.TrueAsync(async () => (long)(await server.ServerGetAsync($"/v1/pools/{ledger.SaleId}"))["queueDepth"]! == 0, "the queue is empty");
        var certificate = await ledger.FreshCertificateAsync(server);
        Assert.Equal("broken", (string?)certificate["verdict"]);
        return ([.. certificate["checks"]!.AsArray().Where(check => !(bool)check!["holds"]!).Select(check => (string)check!["name"]!)], certificate);
    }

    private static Task PoisonAsync(SluiceServer server, string user) =>
        ExecuteAsync(server, $"CREATE TRIGGER poison BEFORE INSERT ON claims WHEN NEW.user_id = '{user}' AND NEW.state = 1 BEGIN SELECT RAISE(ABORT, 'poison'); END");

    private static async Task ExecuteAsync(SluiceServer server, string sql)
    {
        await using var database = new SqliteConnection($"Data Source={Path.Combine(server.Data, "sluice.db")};Pooling=False");
        await database.ExecuteAsync(sql);
    }
}

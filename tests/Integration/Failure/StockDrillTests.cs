using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Dapper;
using Sluice.Tests.Integration.Servers;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Failure;

/// <summary>Products are bought while their price changes and something dies: every order has the price that its buyer agreed to, and no unit is sold twice.</summary>
public sealed class StockDrillTests(ITestOutputHelper output)
{
    private const int Stock = 300, Buyers = 400, AtOnce = 20;

    private static readonly TimeSpan ComeBack = TimeSpan.FromMilliseconds(100), BetweenPrices = TimeSpan.FromMilliseconds(20);

    [Fact]
    public async Task Server_KilledWhileAPriceChanges_KeepsEveryPurchaseAtItsPrice()
    {
        await using var server = await SluiceServer.StartAsync([.. Drills.NoRateLimit, "WriteQueue:BatchRowsMax=40"], environment: Drills.Fault("queue.peeked", "kill", 2));
        var pool = await BeginAsync(server);
        var bought = new ConcurrentDictionary<string, (string Claim, long Cents)>(StringComparer.Ordinal);
        var tokens = await server.TokensAsync([.. Enumerable.Range(0, Buyers).Select(i => $"b-{i}")]);
        var crowd = Parallel.ForEachAsync(
            tokens.Index(), new ParallelOptions { MaxDegreeOfParallelism = AtOnce }, async (one, _) => await BuyAsync(server, $"b-{one.Index}", one.Item, bought));
        var prices = Task.Run(async () =>
        {
            for (var cents = 1_001; !crowd.IsCompleted; cents++)
            {
                await TryAsync(() => PutAsync(server, cents));
                await Task.Delay(BetweenPrices, TimeProvider.System);
            }
        });
        await server.Process.WaitAsync(TimeSpan.FromSeconds(60));
        await server.BeginAsync();
        await Task.WhenAll(crowd, prices);

        await AuditAsync(server, pool, bought);
        var different = bought.Values.Select(one => one.Cents).Distinct().Count();
        Assert.True(different > 1, "The price never changed under a purchase: the drill shows nothing.");
        output.WriteLine($"{bought.Count} bought at {different} prices over a kill, 0 lost, 0 at another price");
    }

    // What was agreed is nowhere but in the memory of the node that acknowledged.
    [Fact]
    public async Task Redis_ThatForgetsBeforeAnythingIsWritten_GetsThePricesBackFromTheNodeThatAcknowledged()
    {
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        string[] settings = [.. Drills.NoRateLimit, $"Redis:Connection={redis.Connection}"];
        await using var api = await SluiceServer.StartAsync([.. settings, "Roles=Api"], folder.Path);
        var pool = await BeginAsync(api);
        var bought = new ConcurrentDictionary<string, (string Claim, long Cents)>(StringComparer.Ordinal);
        var tokens = await api.TokensAsync([.. Enumerable.Range(0, Buyers).Select(i => $"b-{i}")]);
        for (var price = 0; price < 4; price++)
        {
            await PutAsync(api, 1_000 + price);
            await Task.WhenAll(tokens.Skip(price * 50).Take(50).Select((token, i) => BuyAsync(api, $"b-{(price * 50) + i}", token, bought)));
        }

        // A claim that SQL does not have is found where its address says.
        var (claim, cents) = bought["b-7"];
        Assert.Equal("held", (string?)(await api.UserAsync(HttpMethod.Get, $"/v1/claims/{claim}?pool={pool}", tokens[7])).Json["state"]);
        await using (var client = await ConnectionMultiplexer.ConnectAsync($"{redis.Connection},allowAdmin=true"))
        {
            await client.GetServers()[0].FlushAllDatabasesAsync();
        }

        // A retry brings it under the node's eyes again, from the pool that was rebuilt: what was agreed stands there too.
        Answer? again = null;
        await Eventually.TrueAsync(async () => (again = await AskAsync(api, "b-7", tokens[7], cents)).Status != 503, "the pool is rebuilt");
        Assert.Equal((200, claim), (again!.Status, again.ClaimId));
        await using var worker = await SluiceServer.StartAsync([.. settings, "Roles=Worker", "NodeId=1"], folder.Path);

        await AuditAsync(api, pool, bought);
        Assert.Equal(4, bought.Values.Select(one => one.Cents).Distinct().Count());
        output.WriteLine($"{bought.Count} bought at 4 prices, none written, all forgotten by Redis: 0 lost, 0 at another price");
    }

    // More than a worker looks at each time, bought at another node: each is written, and what was quiet for long too.
    [Fact]
    public async Task Stocks_MoreThanAWorkerLooksAtEachTime_AreAllWritten()
    {
        const int Stocks = 70;
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        string[] settings = [.. Drills.NoRateLimit, $"Redis:Connection={redis.Connection}"];
        await using var api = await SluiceServer.StartAsync([.. settings, "Roles=Api"], folder.Path);
        await using var worker = await SluiceServer.StartAsync([.. settings, "Roles=Worker", "NodeId=1"], folder.Path);
        var token = await api.TokenAsync("b");
        await Parallel.ForAsync(0, Stocks, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (i, _) =>
        {
            await api.ServerPutAsync($"/v1/products/p-{i}", new JsonObject { ["title"] = "P", ["prices"] = new JsonArray(new JsonObject { ["currency"] = "EUR", ["amountCents"] = 1 }) });
            await api.ServerPostAsync($"/v1/products/p-{i}/stock", new JsonObject { ["addUnits"] = 5 });
        });
        for (var round = 1; round <= 2; round++)
        {
            for (var i = 0; i < Stocks; i += round)
            {
                Assert.Equal(202, (await AskAsync(api, $"b-{round}", token, 1, $"p-{i}")).Status);
            }

            await Eventually.TrueAsync(async () => await OrdersAsync() == (round == 1 ? Stocks : Stocks + (Stocks / 2)), $"round {round} is written");
        }

        async Task<long> OrdersAsync()
        {
            await using var database = api.OpenDatabase();
            return await database.QuerySingleAsync<long>("SELECT COUNT(*) FROM orders");
        }
    }

    private static async Task<string> BeginAsync(SluiceServer server)
    {
        await PutAsync(server, 1_000);
        return (string)(await server.ServerPostAsync("/v1/products/mug/stock", new JsonObject { ["addUnits"] = Stock }))["poolId"]!;
    }

    private static Task<JsonObject> PutAsync(SluiceServer server, long cents) => server.ServerPutAsync(
        "/v1/products/mug", new JsonObject { ["title"] = "Mug", ["prices"] = new JsonArray(new JsonObject { ["currency"] = "EUR", ["amountCents"] = cents }) });

    // Until there is an answer: with the same key as long as it is not known what became of it, with the new price when it has changed.
    private static async Task BuyAsync(SluiceServer server, string user, string token, ConcurrentDictionary<string, (string Claim, long Cents)> bought)
    {
        var cents = 1_000L;
        while (true)
        {
            if (await TryAsync(() => AskAsync(server, user, token, cents)) is { Status: not 503 } answer)
            {
                switch (answer)
                {
                    case { Status: 200 or 201 or 202 }:
                        bought[user] = (answer.ClaimId, cents);
                        return;
                    case { Code: "sold-out" }:
                        return;
                    case { Code: "price-changed" }:
                        cents = (long)answer.Json["priceCents"]!;
                        continue;
                    default:
                        Assert.Fail($"{user} was told {answer.Status} {answer.Text}");
                        return;
                }
            }

            await Task.Delay(ComeBack, TimeProvider.System);
        }
    }

    private static Task<Answer> AskAsync(SluiceServer server, string user, string token, long cents, string sku = "mug") => server.AnswerAsync(new HttpRequestMessage(HttpMethod.Post, $"/v1/products/{sku}/claims")
    {
        // A key for each price: another price is another purchase.
        Headers = { { "Authorization", $"Bearer {token}" }, { "Idempotency-Key", $"stock-drill-{user}-{cents}" } },
        Content = JsonContent.Create(new JsonObject { ["priceCents"] = cents, ["currency"] = "EUR" }),
    });

    private static async Task<T?> TryAsync<T>(Func<Task<T>> call)
        where T : class
    {
        try
        {
            return await call();
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }

    private static async Task AuditAsync(SluiceServer server, string pool, ConcurrentDictionary<string, (string Claim, long Cents)> bought)
    {
        var certificate = await server.SettledCertificateAsync(pool);
        await using var database = server.OpenDatabase();
        var orders = (await database.QueryAsync<(long Id, string User, long Cents)>(
            "SELECT id, user_id, price_cents FROM orders WHERE sale_id = @pool", new { pool = long.Parse(pool, CultureInfo.InvariantCulture) })).ToDictionary(order => order.User, StringComparer.Ordinal);
        Assert.True((string?)certificate["verdict"] == "holds", certificate.ToJsonString());
        Assert.Equal(bought.Count, orders.Count);
        Assert.All(bought, one => Assert.Equal((one.Value.Claim, one.Value.Cents), (orders[one.Key].Id.ToString(CultureInfo.InvariantCulture), orders[one.Key].Cents)));
        Assert.Equal(Stock, (long)certificate["soldUnits"]! + (long)certificate["leftUnits"]!);
    }
}

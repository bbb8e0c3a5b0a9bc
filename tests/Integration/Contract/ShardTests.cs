using System.Globalization;
using Sluice.Modules.Orders;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>A shop whose orders are in two databases on two servers: what buyers and operators see is what they would see of one.</summary>
public sealed class ShardTests(ShardServers servers) : IClassFixture<ShardServers>
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Orders_OfBothShards_AreListedPaidAndCancelledAsOfOneDatabase(bool homeIsShard)
    {
        var shop = await servers.NewShopAsync(homeIsShard);
        await using var server = await SluiceServer.StartAsync([.. shop.Settings, "Orders:TestPayments=true"]);
        var sales = new[] { await server.OpenSaleAsync(10), await server.OpenSaleAsync(10), await server.OpenSaleAsync(10) };
        foreach (var user in shop.UsersOf(0, 1).Concat(shop.UsersOf(1, 1)))
        {
            var token = await server.TokenAsync(user);
            var ids = new List<string>();
            foreach (var sale in sales)
            {
                // Confirmed, and at once in the claim, alone and in the list, wherever the row is by now.
                var claim = await server.ClaimAsync(sale, token, prefer: "wait=10");
                Assert.True(claim.Status == 201, claim.Text);
                Assert.Equal(("pending", "flash-sale"), ((string?)claim.Json["order"]!["state"], (string?)claim.Json["order"]!["kind"]));
                ids.Insert(0, claim.ClaimId);
                Assert.Equal(ids, await ListAsync(server, "/v1/orders", token));
                Assert.Equal("pending", await StateAsync(server, claim.ClaimId, token));
            }

            var pay = await server.UserAsync(HttpMethod.Post, $"/v1/orders/{ids[0]}/test-payment", token);
            var cancel = await server.UserAsync(HttpMethod.Post, $"/v1/orders/{ids[1]}/cancel", token);
            Assert.Equal(("applied", "cancelled"), ((string?)pay.Json["outcome"], (string?)cancel.Json["state"]));
            Assert.Equal("already-applied", (string?)(await server.UserAsync(HttpMethod.Post, $"/v1/orders/{ids[0]}/test-payment", token)).Json["outcome"]);
            Assert.Equal("order-paid", (await server.UserAsync(HttpMethod.Post, $"/v1/orders/{ids[0]}/cancel", token)).Code);
            var states = (await server.UserAsync(HttpMethod.Get, "/v1/orders", token)).Json["items"]!.AsArray().Select(order => (string?)order!["state"]);
            Assert.Equal(["paid", "cancelled", "pending"], states);
            Assert.Equal(["claimed", "ordered", "paid"], await TimelineAsync(server, ids[0], token));
            Assert.Equal(["claimed", "ordered", "cancelled"], await TimelineAsync(server, ids[1], token));

            // Page by page.
            Assert.Equal(ids[..2], await ListAsync(server, "/v1/orders?limit=2", token));
            Assert.Equal(ids[2..], await ListAsync(server, $"/v1/orders?limit=2&cursor={ids[1]}", token));

            // Nobody else's.
            var stranger = await server.TokenAsync("stranger");
            Assert.Equal(404, (await server.UserAsync(HttpMethod.Get, $"/v1/orders/{ids[0]}", stranger)).Status);
            Assert.Equal(404, (await server.UserAsync(HttpMethod.Post, $"/v1/orders/{ids[2]}/cancel", stranger)).Status);
        }

        await shop.AssertInPlaceAsync();
        foreach (var (sale, sold) in sales.Zip([2L, 0L, 2L]))
        {
            var certificate = await server.SettledCertificateAsync(sale);
            var checks = certificate["checks"]!.AsArray();
            Assert.True((string?)certificate["verdict"] == "holds", certificate.ToJsonString());
            Assert.Contains("orders-at-their-shard", checks.Select(check => (string?)check!["name"]));
            Assert.Contains("nothing-waits-long-for-a-shard", checks.Select(check => (string?)check!["name"]));
            Assert.Equal((2, sold), ((long)certificate["orders"]!, (long)certificate["soldUnits"]!));
        }
    }

    [Fact]
    public async Task Order_ThatIsStillInTheOutbox_IsListedPaidAndCancelled_AndALateCopyChangesNothing()
    {
        var shop = await servers.NewShopAsync();
        await using var server = await SluiceServer.StartAsync([.. shop.Settings, "Orders:TestPayments=true"]);
        var sale = await server.OpenSaleAsync(10, perUserLimit: 3);
        var user = shop.UsersOf(1, 1)[0];
        var token = await server.TokenAsync(user);
        var ids = new List<string>();
        for (var i = 0; i < 3; i++)
        {
            ids.Insert(0, (await server.ClaimAsync(sale, token, prefer: "wait=10")).ClaimId);
        }

        await shop.AssertInPlaceAsync();

        // As if they had not gone yet, and nobody were there to forward them.
        await server.KillAsync();
        var rows = await ShardedShop.QueryAsync<(long Id, long Sale, string User, string Sku, string Title, int Units, long Price, string Currency, int State, long Created, long PayBy)>(
            shop.Shards[1], "SELECT id, sale_id, user_id, sku, title, units, price_cents, currency, state, created_at, pay_by FROM orders");
        Task PutBackAsync() => Task.WhenAll(rows.Select(row => ShardedShop.QueryAsync<long>(
            shop.Home, "INSERT INTO order_outbox VALUES (@Id, @Sale, @User, @Sku, @Title, @Units, @Price, @Currency, @State, @Created, @PayBy, 1)",
            new { row.Id, row.Sale, row.User, row.Sku, row.Title, row.Units, row.Price, row.Currency, row.State, row.Created, row.PayBy })));
        await PutBackAsync();
        await ShardedShop.QueryAsync<long>(shop.Shards[1], "DELETE FROM orders");
        await using (var api = await SluiceServer.StartAsync([.. shop.Settings, "Orders:TestPayments=true", "Roles=Api"], server.Data))
        {
            Assert.Equal(ids, await ListAsync(api, "/v1/orders", token));
            Assert.Equal(ids[2..], await ListAsync(api, $"/v1/orders?limit=1&cursor={ids[1]}", token));
            Assert.Equal("pending", await StateAsync(api, ids[0], token));
            Assert.Equal("applied", (string?)(await api.UserAsync(HttpMethod.Post, $"/v1/orders/{ids[0]}/test-payment", token)).Json["outcome"]);
            Assert.Equal("cancelled", (string?)(await api.UserAsync(HttpMethod.Post, $"/v1/orders/{ids[1]}/cancel", token)).Json["state"]);
            Assert.Equal([long.Parse(ids[2], CultureInfo.InvariantCulture)], await ShardedShop.QueryAsync<long>(shop.Home, "SELECT id FROM order_outbox"));

            // Copied and not yet deleted: what the shard says holds, and each is one order.
            await ShardedShop.QueryAsync<long>(shop.Home, "DELETE FROM order_outbox");
            await PutBackAsync();
            var items = (await api.UserAsync(HttpMethod.Get, "/v1/orders?limit=5", token)).Json["items"]!.AsArray();
            Assert.Equal(ids.Zip(["paid", "cancelled", "pending"]), items.Select(order => ((string)order!["id"]!, (string)order["state"]!)));
        }

        await server.BeginAsync();
        await shop.AssertInPlaceAsync();
        var states = (await server.UserAsync(HttpMethod.Get, "/v1/orders", token)).Json["items"]!.AsArray().Select(order => (string?)order!["state"]);
        Assert.Equal(["paid", "cancelled", "pending"], states);
        var certificate = await server.SettledCertificateAsync(sale);
        Assert.True(((string?)certificate["verdict"], (long)certificate["soldUnits"]!) == ("holds", 2), certificate.ToJsonString());
    }

    [Fact]
    public async Task Change_NotedAtAShardByANodeThatDied_IsToldByAnother()
    {
        var shop = await servers.NewShopAsync();
        await using var server = await SluiceServer.StartAsync([.. shop.Settings, "Cache:ProcessAge=00:01:00", "Cache:SharedAge=1.00:00:00"]);
        var sale = await server.OpenSaleAsync(10);
        var user = shop.UsersOf(1, 1)[0];
        var token = await server.TokenAsync(user);
        Assert.Equal(201, (await server.ClaimAsync(sale, token, prefer: "wait=10")).Status);
        await shop.AssertInPlaceAsync();
        async Task<string?> StateAsync() => (string?)(await server.UserAsync(HttpMethod.Get, "/v1/orders", token)).Json["items"]![0]!["state"];

        // Kept, so that nobody sees the change until it is told.
        Assert.Equal("pending", await StateAsync());
        await ShardedShop.QueryAsync<long>(shop.Shards[1], "UPDATE orders SET state = 3");
        Assert.Equal("pending", await StateAsync());
        await ShardedShop.QueryAsync<long>(shop.Shards[1], "INSERT INTO cache_changes (id, cache_key, is_private, made_at) VALUES (1, @Name, 1, 1)", new { OrderPages.KeyOf(user).Name });
        await Eventually.TrueAsync(async () => await StateAsync() == "expired", "the change is told");
        await Eventually.TrueAsync(async () => await ShardedShop.QueryAsync<long>(shop.Shards[1], "SELECT COUNT(*) FROM cache_changes") is [0], "the note is gone");
    }

    [Fact]
    public async Task Payment_ForOrdersOfTwoShards_PaysOneOfThem()
    {
        var shop = await servers.NewShopAsync();
        await using var server = await SluiceServer.StartAsync(shop.Settings);
        var sale = await server.OpenSaleAsync(10);
        var orders = new List<string>();
        foreach (var user in shop.UsersOf(0, 1).Concat(shop.UsersOf(1, 1)))
        {
            orders.Add((await server.ClaimAsync(sale, await server.TokenAsync(user), prefer: "wait=10")).ClaimId);
        }

        // What is refused for another reason takes the payment's id for nobody.
        Assert.Equal("amount-mismatch", (await server.PayAsync(orders[0], "p-1", 1)).Code);
        Assert.Equal(404, (await server.PayAsync("128", "p-1", 4_900)).Status);
        var both = await Task.WhenAll(orders.Select(order => server.PayAsync(order, "p-1", 4_900)));
        Assert.Equal([200, 422], both.Select(answer => answer.Status).Order());
        Assert.Contains("payment-of-another-order", both.Select(answer => answer.Code));
        var unpaid = orders[Array.FindIndex(both, answer => answer.Status == 422)];
        Assert.Equal("applied", (string?)(await server.PayAsync(unpaid, "p-2", 4_900)).Json["outcome"]);
        Assert.Equal("holds", (string?)(await server.SettledCertificateAsync(sale))["verdict"]);
    }

    [Fact]
    public async Task Audit_OfOrdersThatAreLostMisplacedOrLate_SaysWhichCheckFails()
    {
        const string Stray = "INSERT INTO orders (id, sale_id, user_id, sku, title, units, price_cents, currency, state, created_at, pay_by) VALUES (@id, @sale, @user, 'kettle', 'Kettle', 1, 1, 'EUR', 3, 1, 1)";
        var shop = await servers.NewShopAsync(homeIsShard: false);
        await using var server = await SluiceServer.StartAsync(shop.Settings);
        var sale = await server.OpenSaleAsync(10);
        var users = shop.UsersOf(1, 3);
        var ids = new List<string>();
        foreach (var user in users)
        {
            ids.Add((await server.ClaimAsync(sale, await server.TokenAsync(user), prefer: "wait=10")).ClaimId);
        }

        await shop.AssertInPlaceAsync();
        Assert.Empty(await FailedAsync());

        // Where no order should be, and at the shard of somebody else.
        await ShardedShop.QueryAsync<long>(shop.Home, Stray, new { id = ids[0], sale, user = users[0] });
        Assert.Equal(["orders-at-their-shard"], await FailedAsync());
        await ShardedShop.QueryAsync<long>(shop.Home, "DELETE FROM orders");
        await ShardedShop.QueryAsync<long>(shop.Shards[0], Stray, new { id = ids[0], sale, user = users[0] });
        Assert.Equal(["orders-at-their-shard"], await FailedAsync());
        await ShardedShop.QueryAsync<long>(shop.Shards[0], "DELETE FROM orders");

        // Of nobody's claim; and one that waits for a shard to which nobody forwards it.
        await ShardedShop.QueryAsync<long>(shop.Shards[1], Stray, new { id = long.Parse(ids[0], CultureInfo.InvariantCulture) + 1, sale, user = users[0] });
        Assert.Equal(["no-order-without-claim"], await FailedAsync());
        await ShardedShop.QueryAsync<long>(shop.Shards[1], "DELETE FROM orders WHERE id = @id", new { id = long.Parse(ids[0], CultureInfo.InvariantCulture) + 1 });
        await ShardedShop.QueryAsync<long>(shop.Home, "INSERT INTO order_outbox VALUES (1, @sale, 'u', 'kettle', 'Kettle', 1, 1, 'EUR', 0, 1, 1, 9)", new { sale });
        Assert.Equal(["nothing-waits-long-for-a-shard"], await FailedAsync());
        await ShardedShop.QueryAsync<long>(shop.Home, "DELETE FROM order_outbox");

        // Ended without a release; paid without a payment; gone.
        await ShardedShop.QueryAsync<long>(shop.Shards[1], "UPDATE orders SET state = 2 WHERE id = @id", new { id = ids[1] });
        Assert.Equal(["orders-and-claims-agree"], await FailedAsync());
        await ShardedShop.QueryAsync<long>(shop.Shards[1], "UPDATE orders SET state = 0 WHERE id = @id; UPDATE orders SET state = 1 WHERE id = @other", new { id = ids[1], other = ids[2] });
        Assert.Equal(["paid-orders-have-their-payment"], await FailedAsync());
        await ShardedShop.QueryAsync<long>(shop.Shards[1], "UPDATE orders SET state = 0 WHERE id = @other; DELETE FROM orders WHERE id = @id", new { id = ids[1], other = ids[2] });
        Assert.Equal(["no-claim-without-order", "one-order-per-claim"], (await FailedAsync()).Order());

        async Task<IReadOnlyList<string>> FailedAsync()
        {
            // Half a second old at most: a new one.
            var asked = TimeProvider.System.GetUtcNow();
            var failed = new List<string>();
            await Eventually.TrueAsync(
                async () =>
                {
                    var certificate = await server.SettledCertificateAsync(sale);
                    failed = [.. certificate["checks"]!.AsArray().Where(check => !(bool)check!["holds"]!).Select(check => (string)check!["name"]!)];
                    return (DateTimeOffset)certificate["issuedAt"]! > asked.AddMilliseconds(1);
                },
                "a new certificate");
            return failed;
        }
    }

    private static async Task<IEnumerable<string>> ListAsync(SluiceServer server, string path, string token) =>
        (await server.UserAsync(HttpMethod.Get, path, token)).Json["items"]!.AsArray().Select(order => (string)order!["id"]!).ToList();

    private static async Task<string?> StateAsync(SluiceServer server, string order, string token) => (string?)(await server.UserAsync(HttpMethod.Get, $"/v1/orders/{order}", token)).Json["state"];

    private static async Task<IEnumerable<string?>> TimelineAsync(SluiceServer server, string order, string token) =>
        (await server.UserAsync(HttpMethod.Get, $"/v1/orders/{order}", token)).Json["timeline"]!.AsArray().Select(each => (string?)each!["what"]).ToList();
}

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

    private static async Task<IEnumerable<string>> ListAsync(SluiceServer server, string path, string token) =>
        (await server.UserAsync(HttpMethod.Get, path, token)).Json["items"]!.AsArray().Select(order => (string)order!["id"]!).ToList();

    private static async Task<string?> StateAsync(SluiceServer server, string order, string token) => (string?)(await server.UserAsync(HttpMethod.Get, $"/v1/orders/{order}", token)).Json["state"];

    private static async Task<IEnumerable<string?>> TimelineAsync(SluiceServer server, string order, string token) =>
        (await server.UserAsync(HttpMethod.Get, $"/v1/orders/{order}", token)).Json["timeline"]!.AsArray().Select(each => (string?)each!["what"]).ToList();
}

using System.Net.Sockets;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>Processes die while orders are on their way between two databases, and a shard goes away: nothing is lost, doubled or decided twice, and it heals by itself.</summary>
public sealed class ShardDrillTests(ShardServers servers, ITestOutputHelper output) : IClassFixture<ShardServers>
{
    private const int Stock = 120, Buyers = 200;

    private static readonly IReadOnlyList<string> Settings = [.. Drills.NoRateLimit, "WriteQueue:BatchRowsMax=25", "Pools:BatchClaimsMax=25", "Orders:TestPayments=true"];

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task CancelAndPay_RacingAtTwoShards_ExactlyOneWinsEachTime()
    {
        var shop = await servers.NewShopAsync();
        await using var server = await SluiceServer.StartAsync([.. Drills.NoRateLimit, .. shop.Settings]);
        output.WriteLine(await CancelAgainstPayTests.RaceAsync(server, races: 75, headStartMsMax: 60));
        await shop.AssertInPlaceAsync();
    }

    [Fact]
    public async Task SoldOutSale_WhenUnpaidOrdersExpireAtTwoShards_SellsToOthersAgainAndAgain()
    {
        var shop = await servers.NewShopAsync(homeIsShard: false);
        await using var server = await SluiceServer.StartAsync([.. Drills.NoRateLimit, .. shop.Settings, "Orders:ExpiryRound=00:00:00.1"]);
        output.WriteLine(await ExpiryTests.TakeTurnsAsync(server, turns: 2));
        await shop.AssertInPlaceAsync();
    }

    [Fact]
    public async Task Server_KilledBetweenTheCopyAtTheShardAndTheEndInTheOutbox_LosesAndDoublesNoOrder()
    {
        var shop = await servers.NewShopAsync(homeIsShard: false);
        await using var server = await SluiceServer.StartAsync([.. Settings, .. shop.Settings], environment: Drills.Fault("shard.copied", "kill", 2));
        var buyers = await Rush.BuyersAsync(server, Buyers);
        var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
        using var rush = new Rush(server, ledger, buyers);
        using var stop = new CancellationTokenSource(Patience);
        await rush.PressAsync(stop.Token);
        await server.Process.WaitAsync(Patience);
        Assert.NotEqual([0L], await ShardedShop.QueryAsync<long>(shop.Home, "SELECT COUNT(*) FROM order_outbox"));

        await server.BeginAsync();
        await rush.SettleAsync();
        var audited = await ledger.AuditAsync(server);
        await shop.AssertInPlaceAsync();
        var orders = (await Task.WhenAll(shop.Shards.Select(shard => ShardedShop.QueryAsync<long>(shard, "SELECT id FROM orders")))).SelectMany(ids => ids);
        Assert.Equal(Stock, audited.Sold);
        Assert.Equal(audited.Rows.Keys.Order(), orders.Order());
    }

    [Fact]
    public async Task Server_KilledBetweenACancelAtItsShardAndAtHome_ReturnsEachUnitOnce()
    {
        var shop = await servers.NewShopAsync();
        await using var server = await SluiceServer.StartAsync([.. Settings, .. shop.Settings], environment: Drills.Fault("shard.closed", "kill", 3));
        var buyers = await Rush.BuyersAsync(server, 60);
        var ledger = new Ledger(await server.OpenSaleAsync(60), 60);
        using var rush = new Rush(server, ledger, buyers);
        await rush.PressOnceAsync();
        await ledger.AuditAsync(server);
        var tokens = buyers.ToDictionary(buyer => buyer.User, buyer => buyer.Token);
        var left = 60;

        // First the order is ended at its shard and home does not know; then home has given the unit back and the shard does not know.
        foreach (var (point, some) in new[] { "shard.closed", "shard.release-taken" }.Zip(ledger.Claims.Chunk(30)))
        {
            if (point != "shard.closed")
            {
                await server.KillAsync();
                await server.BeginAsync(Drills.Fault(point, "kill", 3));
            }

            await Task.WhenAll(some.Select(async claim =>
            {
                try
                {
                    await CancelAsync(claim);
                }
                catch (Exception e) when (e is HttpRequestException or SocketException)
                {
                    // The server died under it: whether it was cancelled is asked again below.
                }
            }));
            await server.Process.WaitAsync(Patience);

            await server.BeginAsync();
            foreach (var claim in some)
            {
                var answer = await CancelAsync(claim);
                Assert.Equal((200, "cancelled"), (answer.Status, (string?)answer.Json["state"]));
            }

            left -= some.Length;
            var audited = await ledger.AuditAsync(server);
            Assert.Equal((left, 60 - left), (audited.Sold, audited.Left));
        }

        Task<Answer> CancelAsync(Acknowledged claim) => server.UserAsync(HttpMethod.Post, $"/v1/orders/{claim.ClaimId}/cancel", tokens[claim.User]);
    }

    [Fact]
    public async Task Shard_ThatIsAway_HoldsUpTheOrdersOfItsUsersAndNothingElse_AndCatchesUpByItself()
    {
        var shop = await servers.NewShopAsync();
        await using var server = await SluiceServer.StartAsync([.. Settings, .. shop.Settings, "Sql:ConnectTimeMax=00:00:01"]);
        var (sale, next) = (await server.OpenSaleAsync(100), await server.OpenSaleAsync(100));
        var (here, away) = (await BuyAsync(0, sale), await BuyAsync(1, sale));
        await shop.AssertInPlaceAsync();
        await servers.Other.KillAsync();
        try
        {
            // Who asked for it in vain is followed by others who are told at once, not by a crowd that waits.
            using (var database = new Database(new SqlOptions { Connection = shop.Shards[1] }, "", "sql shard 1", rests: true))
            {
                var told = new List<string>();
                for (var i = 0; i < 20; i++)
                {
                    told.Add((await Assert.ThrowsAsync<DependencyUnavailableException>(() => database.ReadAsync(connection => Task.FromResult(0)))).Message);
                }

                Assert.Contains("sql shard 1: it did not answer a moment ago.", told);
            }

            // Claims of both go on; the claim is confirmed, though its order cannot be shown.
            foreach (var again in new[] { false, true })
            {
                var (mine, theirs) = (await BuyAsync(0, again ? sale : next, "v"), await BuyAsync(1, again ? sale : next, "v"));
                Assert.NotNull(mine.Claim.Json["order"]);
                Assert.Equal(("confirmed", null), ((string?)theirs.Claim.Json["state"], theirs.Claim.Json["order"]));

                // Orders: of one shard as ever, of the other one not now.
                Assert.Equal((200, 200), ((await mine.GetAsync(server)).Status, (await here.GetAsync(server)).Status));
                Assert.Equal(200, (await server.UserAsync(HttpMethod.Get, "/v1/orders", mine.Token)).Status);
                foreach (var answer in new[]
                {
                    await away.GetAsync(server), await theirs.GetAsync(server), await server.UserAsync(HttpMethod.Get, "/v1/orders", theirs.Token), await server.UserAsync(HttpMethod.Post, $"/v1/orders/{away.Id}/cancel", away.Token),
                    await server.PayAsync(theirs.Id, $"p-{theirs.Id}", 4_900), await server.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, $"/v1/pools/{sale}/certificate")),
                })
                {
                    Assert.Equal((503, "unavailable"), (answer.Status, answer.Code));
                    Assert.NotNull(answer.RetryAfter);
                    Assert.DoesNotContain(MariaDbServer.Password, answer.Text, StringComparison.Ordinal);
                }

                Assert.Equal(200, (await server.UserAsync(HttpMethod.Post, $"/v1/orders/{mine.Id}/test-payment", mine.Token)).Status);
                if (!again)
                {
                    // A node that starts meanwhile does the same.
                    await server.KillAsync();
                    await server.BeginAsync();
                }
            }

            await Eventually.TrueAsync(async () => (await server.Http.GetStringAsync("/metrics")).Contains("sluice_outbox_orders{otel_scope_name=\"Sluice\",shard=\"1\"} 2", StringComparison.Ordinal), "the metrics count the orders that wait");
        }
        finally
        {
            await servers.Other.BeginAsync();
        }

        await shop.AssertInPlaceAsync();
        await Eventually.TrueAsync(async () => (await server.UserAsync(HttpMethod.Post, $"/v1/orders/{away.Id}/cancel", away.Token)).Status == 200, "the node finds the shard again");
        foreach (var (id, sold) in new[] { (sale, 3L), (next, 2L) })
        {
            var certificate = await server.SettledCertificateAsync(id);
            Assert.True(((string?)certificate["verdict"], (long)certificate["soldUnits"]!) == ("holds", sold), certificate.ToJsonString());
        }

        Assert.DoesNotContain(MariaDbServer.Password, server.Process.Output, StringComparison.Ordinal);

        async Task<Bought> BuyAsync(int shard, string of, string name = "u")
        {
            var token = await server.TokenAsync(shop.UsersOf(shard, 1, name)[0]);
            var claim = await server.ClaimAsync(of, token, prefer: "wait=10");
            Assert.True(claim.Status == 201, claim.Text);
            return new Bought(claim, token);
        }
    }

    [Fact]
    public async Task Shard_ThatHangs_IsGivenUp_KeepsNobodyElseWaiting_AndIsUsedAgainWhenItWakes()
    {
        var shop = await servers.NewShopAsync();
        await using var server = await SluiceServer.StartAsync([.. Settings, .. shop.Settings, "Sql:ConnectTimeMax=00:00:01", "Sql:StatementTimeMax=00:00:01"]);
        var sale = await server.OpenSaleAsync(10);
        var (here, there) = (await server.TokenAsync(shop.UsersOf(0, 1)[0]), await server.TokensAsync(shop.UsersOf(1, 400)));
        Assert.Equal(201, (await server.ClaimAsync(sale, there[0], prefer: "wait=10")).Status);
        await shop.AssertInPlaceAsync();
        servers.Other.Process.Stop();
        try
        {
            // More than the questions to SQL that a node has at once, and those that wait for their turn.
            var lists = there.Select(token => server.UserAsync(HttpMethod.Get, "/v1/orders", token)).ToList();
            Assert.Equal(201, (await server.ClaimAsync(sale, here, prefer: "wait=10")).Status);
            await Eventually.TrueAsync(async () => (await server.UserAsync(HttpMethod.Get, "/v1/orders", here)).Status == 200, "the other shard's users see their orders");
            Assert.All(await Task.WhenAll(lists), list => Assert.Equal((503, true), (list.Status, list.RetryAfter is not null)));
        }
        finally
        {
            servers.Other.Process.Continue();
        }

        await Eventually.TrueAsync(async () => (await server.UserAsync(HttpMethod.Get, "/v1/orders", there[0])).Status == 200, "the shard is asked again");
        Assert.Equal("holds", (string?)(await server.SettledCertificateAsync(sale))["verdict"]);
    }

    private sealed record Bought(Answer Claim, string Token)
    {
        public string Id => Claim.ClaimId;

        public Task<Answer> GetAsync(SluiceServer server) => server.UserAsync(HttpMethod.Get, $"/v1/orders/{Id}", Token);
    }
}

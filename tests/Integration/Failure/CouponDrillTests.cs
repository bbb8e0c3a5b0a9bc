using System.Collections.Concurrent;
using System.Net.Sockets;
using Dapper;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>Many want the same coupon, redeem it everywhere at once, pay, cancel and die over it: one coupon, one order, and it is usable again exactly when no order is paid with it.</summary>
public sealed class CouponDrillTests(ShardServers servers, ITestOutputHelper output) : IClassFixture<ShardServers>
{
    private const int Rounds = 500, AtOnce = 10;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Coupons_WantedByTwentyTimesTooMany_AreIssuedExactlyAsManyAsThereAre()
    {
        const int Units = 100, Users = 2_000;
        await using var server = await SluiceServer.StartAsync(Drills.NoRateLimit);
        var template = await server.OpenTemplateAsync(Units);
        var tokens = await server.TokensAsync([.. Enumerable.Range(0, Users).Select(i => $"u-{i}")]);
        var got = 0;
        await Parallel.ForEachAsync(tokens, new ParallelOptions { MaxDegreeOfParallelism = 100 }, async (token, _) =>
        {
            // Everybody clicks twice.
            var answers = await Task.WhenAll(server.ClaimCouponAsync(template, token), server.ClaimCouponAsync(template, token));
            Assert.All(answers, answer => Assert.True(answer.Status is 200 or 202 || answer.Code == "sold-out", answer.Text));
            Interlocked.Add(ref got, answers.Any(answer => answer.Status is 200 or 202) ? 1 : 0);
        });

        var certificate = await server.SettledCertificateAsync(template);
        Assert.Equal((Units, "holds", (long)Units, 0L), (got, (string?)certificate["verdict"], (long)certificate["acceptedClaims"]!, (long)certificate["leftUnits"]!));
        Assert.Equal([(long)Units, Units], await QueryAsync(server, "SELECT COUNT(*) FROM coupons UNION ALL SELECT COUNT(DISTINCT user_id) FROM coupons"));
        output.WriteLine($"{Users} asked twice for {Units} coupons: {got} have one");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Coupon_RedeemedAtFiftyOrdersAtOnce_IsAtOneOfThem(bool isApart)
    {
        const int Orders = 50;
        await using var server = await StartAsync(isApart);
        var token = await server.TokenAsync(UserOf(0));
        var sale = await server.OpenSaleAsync(Orders, perUserLimit: Orders);
        var orders = await Task.WhenAll(Enumerable.Range(0, Orders).Select(_ => server.OrderAsync(sale, token)));
        var template = await server.OpenTemplateAsync();
        var coupon = await server.GetCouponAsync(template, token);

        var answers = await Task.WhenAll(orders.Select(order => server.RedeemAsync(order, coupon, token)));

        var won = Assert.Single(orders.Zip(answers), pair => pair.Second.Status == 200).First;
        Assert.All(answers.Where(answer => answer.Status != 200), answer => Assert.Equal("coupon-used", answer.Code));
        Assert.Equal(("used", won), await server.StandingAsync(coupon, token));
        var list = (await server.UserAsync(HttpMethod.Get, "/v1/orders?limit=100", token)).Json["items"]!.AsArray();
        Assert.Equal(500L, list.Sum(order => (long)order!["discountCents"]!));
        await AuditAsync(server, template);
    }

    // In each round a coupon is redeemed while its order is paid with or without it, or cancelled, and, where both are apart, while it is taken off and put back by others.
    [Theory]
    [InlineData(false, Rounds)]
    [InlineData(true, 60)]
    public async Task Redemption_RacingAgainstPayAndCancel_LeavesTheCouponUsableExactlyWhenNoOrderIsPaidWithIt(bool isApart, int rounds)
    {
        await using var server = await StartAsync(isApart);
        var template = await server.OpenTemplateAsync(rounds);
        var sale = await server.OpenSaleAsync(rounds);
        var tokens = await server.TokensAsync([.. Enumerable.Range(0, rounds).Select(UserOf)]);
        var ends = new ConcurrentDictionary<string, int>(StringComparer.Ordinal);
        await Parallel.ForEachAsync(tokens.Index(), new ParallelOptions { MaxDegreeOfParallelism = AtOnce }, async (one, _) =>
        {
            var (i, token) = one;
            var (coupon, order) = (await server.GetCouponAsync(template, token), await server.OrderAsync(sale, token));
            List<Func<Task<Answer>>> racers = [Redeem, Redeem];
            if (i % 2 == 0)
            {
                racers.AddRange([() => server.PayAsync(order, $"full-{order}", 4_900), () => server.PayAsync(order, $"less-{order}", 4_400)]);
            }
            else
            {
                racers.Add(() => server.UserAsync(HttpMethod.Post, $"/v1/orders/{order}/cancel", token));
            }

            if (i % 3 == 0)
            {
                racers.AddRange([() => server.TakeOffAsync(order, token), Redeem]);
            }

            var answers = await Task.WhenAll(racers.OrderBy(_ => Random.Shared.Next()).Select(racer => racer()));
            Assert.All(answers, answer => Assert.True(answer.Status == 200 || answer.Code is "order-not-pending" or "amount-mismatch" or "order-has-coupon", answer.Text));

            // What is left open is paid, as it costs now.
            var seen = (await server.UserAsync(HttpMethod.Get, $"/v1/orders/{order}", token)).Json;
            if ((string?)seen["state"] == "pending")
            {
                Assert.Equal("applied", (string?)(await server.PayAsync(order, $"last-{order}", (long)seen["amountCents"]!)).Json["outcome"]);
                seen = (await server.UserAsync(HttpMethod.Get, $"/v1/orders/{order}", token)).Json;
            }

            var isPaidWith = (string?)seen["state"] == "paid" && (string?)seen["couponId"] == coupon;
            ends.AddOrUpdate(isPaidWith ? "paid with it" : (string)seen["state"]!, 1, (_, count) => count + 1);
            if (isPaidWith)
            {
                Assert.Equal(("used", order), await server.StandingAsync(coupon, token));
            }
            else
            {
                await Eventually.TrueAsync(async () => await server.StandingAsync(coupon, token) == ("usable", null), "the coupon of an order that is not paid with it comes back");
            }

            Task<Answer> Redeem() => server.RedeemAsync(order, coupon, token);
        });

        await AuditAsync(server, template);
        Assert.Equal("holds", (string?)(await server.SettledCertificateAsync(sale))["verdict"]);
        output.WriteLine($"{rounds} races: {string.Join(", ", ends.Select(end => $"{end.Value} {end.Key}"))}");
        Assert.True(ends.Count > 1, "The races had one end only: the drill shows nothing.");
    }

    // Dead between the two steps. At home they are one transaction: nothing was done. Apart the coupon is held and the order has not got it: the same request goes on, or the coupon comes back.
    [Theory]
    [InlineData(false, "retry")]
    [InlineData(true, "retry")]
    [InlineData(true, "take-off")]
    [InlineData(true, "cancel")]
    [InlineData(true, "pay")]
    public async Task Server_KilledBetweenTheTwoStepsOfARedemption_LosesAndDoublesNoCoupon(bool isApart, string then)
    {
        await using var server = await StartAsync(isApart, Drills.Fault("coupon.taken", "kill", 1));
        var token = await server.TokenAsync(UserOf(0));
        var template = await server.OpenTemplateAsync();
        var (coupon, order) = (await server.GetCouponAsync(template, token), await server.OrderAsync(await server.OpenSaleAsync(stock: 1), token));
        await DieAsync(server, () => server.RedeemAsync(order, coupon, token));
        await server.BeginAsync();

        Assert.Equal(4_900L, (long)(await server.UserAsync(HttpMethod.Get, $"/v1/orders/{order}", token)).Json["amountCents"]!);
        Assert.Equal(isApart ? ("used", order) : ("usable", null), await server.StandingAsync(coupon, token));
        switch (then)
        {
            case "retry":
                Assert.Equal(4_400L, (long)(await server.RedeemAsync(order, coupon, token)).Json["amountCents"]!);
                Assert.Equal("applied", (string?)(await server.PayAsync(order, $"p-{order}", 4_400)).Json["outcome"]);
                break;
            case "take-off":
                Assert.Equal(200, (await server.TakeOffAsync(order, token)).Status);
                break;
            case "cancel":
                Assert.Equal(200, (await server.UserAsync(HttpMethod.Post, $"/v1/orders/{order}/cancel", token)).Status);
                break;
            case "pay":
                Assert.Equal("applied", (string?)(await server.PayAsync(order, $"p-{order}", 4_900)).Json["outcome"]);
                break;
        }

        var expected = then == "retry" ? ("used", order) : ("usable", (string?)null);
        await Eventually.TrueAsync(async () => await server.StandingAsync(coupon, token) == expected, $"after '{then}' the coupon is {expected.Item1}");
        await AuditAsync(server, template);
    }

    // The order ended or lost its coupon at its shard, and home does not know.
    [Theory]
    [InlineData("coupon.taken-off")]
    [InlineData("shard.closed")]
    public async Task Server_KilledBeforeACouponIsGivenBack_GivesItBack(string point)
    {
        await using var server = await StartAsync(isApart: true, Drills.Fault(point, "kill", 1));
        var token = await server.TokenAsync(UserOf(0));
        var template = await server.OpenTemplateAsync();
        var (coupon, order) = (await server.GetCouponAsync(template, token), await server.OrderAsync(await server.OpenSaleAsync(stock: 1), token));
        Assert.Equal(200, (await server.RedeemAsync(order, coupon, token)).Status);
        await DieAsync(server, () => point == "shard.closed" ? server.UserAsync(HttpMethod.Post, $"/v1/orders/{order}/cancel", token) : server.TakeOffAsync(order, token));
        await server.BeginAsync();

        if (point == "coupon.taken-off")
        {
            Assert.Equal(("used", order), await server.StandingAsync(coupon, token));
            Assert.Equal(200, (await server.TakeOffAsync(order, token)).Status);
        }

        await Eventually.TrueAsync(async () => await server.StandingAsync(coupon, token) == ("usable", null), "the coupon comes back");
        await AuditAsync(server, template);
    }

    [Fact]
    public async Task CouponThatExpires_LeavesWhatIsKeptOfItsUser()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var server = await SluiceServer.StartAsync([.. Drills.NoRateLimit, $"Redis:Connection={redis.Connection}", "Cache:SharedAge=01:00:00"]);
        var token = await server.TokenAsync("u");
        var (lasting, template) = (await server.OpenTemplateAsync(), await server.OpenTemplateAsync(validUntil: TimeProvider.System.GetUtcNow().AddSeconds(8)));
        var (stays, goes) = (await server.GetCouponAsync(lasting, token), await server.GetCouponAsync(template, token));
        var first = await server.UserAsync(HttpMethod.Get, "/v1/me", token);
        Assert.Equal([goes, stays], first.Json["coupons"]!.AsArray().Select(coupon => (string?)coupon!["id"]));

        // Nothing changes but the time, and what nodes share is kept for an hour.
        Answer? last = null;
        await Eventually.TrueAsync(async () => (last = await server.UserAsync(HttpMethod.Get, "/v1/me", token)).Json["coupons"]!.AsArray().Count == 1, "the coupon that has expired is not shown any more");
        Assert.Equal(stays, (string?)last!.Json["coupons"]![0]!["id"]);
        Assert.NotEqual(first.ETag, last.ETag);
    }

    // In the shard that is not the main database: users of its half of the buckets.
    private static string UserOf(int number) => new ShardedShop("", ["", "1"]).UsersOf(1, number + 1, "c")[number];

    private async Task<SluiceServer> StartAsync(bool isApart, IReadOnlyDictionary<string, string>? environment = null)
    {
        List<string> settings = [.. Drills.NoRateLimit, "Coupons:GiveBackRound=00:00:00.2"];
        if (isApart)
        {
            settings.AddRange((await servers.NewShopAsync()).Settings);
        }

        return await SluiceServer.StartAsync(settings, environment: environment);
    }

    private static async Task DieAsync(SluiceServer server, Func<Task<Answer>> act)
    {
        try
        {
            await act();
        }
        catch (Exception e) when (e is HttpRequestException or SocketException)
        {
            // The server died under it.
        }

        await server.Process.WaitAsync(Patience);
    }

    private static async Task AuditAsync(SluiceServer server, string template)
    {
        var certificate = await server.SettledCertificateAsync(template);
        Assert.True((string?)certificate["verdict"] == "holds", certificate.ToJsonString());
    }

    private static async Task<IEnumerable<long>> QueryAsync(SluiceServer server, string sql)
    {
        await using var database = server.OpenDatabase();
        return await database.QueryAsync<long>(sql);
    }
}

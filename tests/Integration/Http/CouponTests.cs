using System.Text.Json;
using System.Text.Json.Nodes;
using Dapper;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>Coupons over HTTP: issued, shown, redeemed at an order, given back.</summary>
[Collection(nameof(HttpShop))]
public sealed class CouponTests(HttpShop shop)
{
    private static readonly JsonSerializerOptions Plain = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly string user = $"c-{Guid.NewGuid():N}";

    private SluiceServer Server => shop.Server;

    [Fact]
    public async Task Coupon_ThatIsClaimed_IsShownAndTakesItsAmountOffAnOrderThatIsThenPaid()
    {
        var token = await Server.TokenAsync(user);
        var template = await Server.OpenTemplateAsync();
        var claim = await Server.ClaimCouponAsync(template, token, prefer: "wait=20");
        Assert.Equal((201, "confirmed", template, true), (claim.Status, (string?)claim.Json["state"], (string?)claim.Json["saleId"], claim.Json["order"] is null));
        var coupon = claim.ClaimId;

        var mine = (await Server.UserAsync(HttpMethod.Get, "/v1/coupons?state=usable", token)).Json["items"]!.AsArray().Single()!;
        Assert.Equal((coupon, template, "fixed", 500L, "usable"), ((string?)mine["id"], (string?)mine["templateId"], (string?)mine["kind"], (long)mine["amountOffCents"]!, (string?)mine["state"]));
        var me = await Server.UserAsync(HttpMethod.Get, "/v1/me", token);
        Assert.Equal(mine.ToJsonString(Plain), me.Json["coupons"]!.AsArray().Single()!.ToJsonString(Plain));

        var order = await Server.OrderAsync(await Server.OpenSaleAsync(stock: 1), token);
        var redeemed = await Server.RedeemAsync(order, coupon, token);
        Assert.Equal((200, 4_400L, 500L, coupon), (redeemed.Status, (long)redeemed.Json["amountCents"]!, (long)redeemed.Json["discountCents"]!, (string?)redeemed.Json["couponId"]));
        Assert.Equal(("used", order), await Server.StandingAsync(coupon, token));
        var after = await Server.UserAsync(HttpMethod.Get, "/v1/me", token);
        Assert.Empty(after.Json["coupons"]!.AsArray());
        Assert.Equal(4_400L, (long)after.Json["orders"]!["items"]![0]!["amountCents"]!);
        Assert.NotEqual(me.ETag, after.ETag);

        // The same again changes nothing; money of the former amount is not this order's; that of the new one is.
        Assert.Equal(redeemed.Text, (await Server.RedeemAsync(order, coupon, token)).Text);
        Assert.Equal("amount-mismatch", (await Server.PayAsync(order, $"p-{order}", 4_900)).Code);
        Assert.Equal("applied", (string?)(await Server.PayAsync(order, $"p-{order}", 4_400)).Json["outcome"]);
        Assert.Equal(200, (await Server.RedeemAsync(order, coupon, token)).Status);
        Assert.Equal("order-not-pending", (await Server.TakeOffAsync(order, token)).Code);
        Assert.Equal(("used", order), await Server.StandingAsync(coupon, token));
        Assert.Equal("holds", (string?)(await Server.SettledCertificateAsync(template))["verdict"]);
    }

    [Theory]
    [InlineData("""{"kind":"percent","percentOff":10}""", 2, 9_800, 980)]
    [InlineData("""{"kind":"percent","percentOff":33,"maximumOffCents":1000}""", 1, 4_900, 1_000)]
    [InlineData("""{"kind":"percent","percentOff":100}""", 1, 4_900, 4_900)]
    [InlineData("""{"kind":"fixed","amountOffCents":1000000}""", 1, 4_900, 4_900)]
    [InlineData("""{"kind":"fixed","amountOffCents":1,"minimumCents":4900}""", 1, 4_900, 1)]
    public async Task Coupon_OfEachKind_TakesOffWhatItsTermsSayAndLeavesNothingBelowZero(string terms, int units, long full, long discount)
    {
        var token = await Server.TokenAsync(user);
        var coupon = await Server.GetCouponAsync(await Server.OpenTemplateAsync(terms: (JsonObject)JsonNode.Parse(terms)!), token);
        var order = await Server.OrderAsync(await Server.OpenSaleAsync(stock: 5, perUserLimit: 5), token, units);

        var redeemed = await Server.RedeemAsync(order, coupon, token);

        Assert.Equal((discount, full - discount), ((long)redeemed.Json["discountCents"]!, (long)redeemed.Json["amountCents"]!));
        Assert.Equal("applied", (string?)(await Server.PayAsync(order, $"p-{order}", full - discount)).Json["outcome"]);
    }

    [Fact]
    public async Task Coupon_TakenOffAgain_IsUsableAndTheOrderCostsWhatItDid()
    {
        var (token, coupon, order) = await BeginAsync();
        var before = await Server.UserAsync(HttpMethod.Get, "/v1/orders", token);
        await Server.RedeemAsync(order, coupon, token);
        var off = await Server.TakeOffAsync(order, token);

        Assert.Equal((200, 4_900L, 0L, null), (off.Status, (long)off.Json["amountCents"]!, (long)off.Json["discountCents"]!, (string?)off.Json["couponId"]));
        Assert.Equal(200, (await Server.TakeOffAsync(order, token)).Status);
        Assert.Equal(("usable", null), await Server.StandingAsync(coupon, token));
        var now = await Server.UserAsync(HttpMethod.Get, "/v1/orders", token);
        Assert.Equal(before.Text, now.Text);
        Assert.NotEqual(before.ETag, now.ETag);
        Assert.Equal(200, (await Server.RedeemAsync(order, coupon, token)).Status);
    }

    [Fact]
    public async Task Coupon_OfAnOrderThatIsCancelled_IsUsableAtAnotherOne()
    {
        var (token, coupon, order) = await BeginAsync();
        await Server.RedeemAsync(order, coupon, token);
        var cancelled = await Server.UserAsync(HttpMethod.Post, $"/v1/orders/{order}/cancel", token);
        Assert.Equal(("cancelled", coupon, 4_400L), ((string?)cancelled.Json["state"], (string?)cancelled.Json["couponId"], (long)cancelled.Json["amountCents"]!));
        Assert.Equal(("usable", null), await Server.StandingAsync(coupon, token));
        Assert.Single((await Server.UserAsync(HttpMethod.Get, "/v1/me", token)).Json["coupons"]!.AsArray());

        var other = await Server.OrderAsync(await Server.OpenSaleAsync(stock: 1), token);
        Assert.Equal(200, (await Server.RedeemAsync(other, coupon, token)).Status);
        Assert.Equal("order-not-pending", (await Server.RedeemAsync(order, coupon, token)).Code);
        Assert.Equal(("used", other), await Server.StandingAsync(coupon, token));
    }

    [Fact]
    public async Task Coupon_OfAnOrderThatExpires_IsUsableAgainAndKeepsItsOwnTime()
    {
        var token = await Server.TokenAsync(user);
        var coupon = await Server.GetCouponAsync(await Server.OpenTemplateAsync(), token);
        var valid = await ValidUntilAsync();
        var order = await Server.OrderAsync(await Server.OpenSaleAsync(stock: 1, paymentTimeout: "PT3S"), token);
        await Server.RedeemAsync(order, coupon, token);

        await Eventually.TrueAsync(async () => await Server.StandingAsync(coupon, token) == ("usable", null), "the order expires and its coupon comes back");

        Assert.Equal("expired", (string?)(await Server.UserAsync(HttpMethod.Get, $"/v1/orders/{order}", token)).Json["state"]);
        Assert.Equal(valid, await ValidUntilAsync());

        async Task<string> ValidUntilAsync() => (string)(await Server.UserAsync(HttpMethod.Get, "/v1/coupons", token)).Json["items"]![0]!["validUntil"]!;
    }

    [Fact]
    public async Task Redemption_ThatMayNotBe_SaysWhyAndChangesNothing()
    {
        var (token, coupon, order) = await BeginAsync();
        var second = await Server.GetCouponAsync(await Server.OpenTemplateAsync(), token);
        var dear = await Server.GetCouponAsync(await Server.OpenTemplateAsync(terms: new JsonObject { ["kind"] = "fixed", ["amountOffCents"] = 5, ["minimumCents"] = 4_901 }), token);
        var foreign = await Server.GetCouponAsync(await Server.OpenTemplateAsync(terms: new JsonObject { ["kind"] = "fixed", ["amountOffCents"] = 5, ["currency"] = "USD" }), token);
        var old = await Server.GetCouponAsync(await Server.OpenTemplateAsync(), token);
        await using (var database = Server.OpenDatabase())
        {
            await database.ExecuteAsync("UPDATE coupons SET valid_until = 1 WHERE id = @old", new { old = long.Parse(old, System.Globalization.CultureInfo.InvariantCulture) });
        }

        var stranger = await Server.TokenAsync($"{user}-2");
        Assert.Equal("coupon-not-for-this-order", (await Server.RedeemAsync(order, dear, token)).Code);
        Assert.Equal("coupon-not-for-this-order", (await Server.RedeemAsync(order, foreign, token)).Code);
        Assert.Equal("coupon-expired", (await Server.RedeemAsync(order, old, token)).Code);
        Assert.Equal("not-found", (await Server.RedeemAsync(order, coupon, stranger)).Code);
        Assert.Equal("not-found", (await Server.RedeemAsync(order, "1", token)).Code);
        Assert.Equal("not-found", (await Server.RedeemAsync(await Server.OrderAsync(await Server.OpenSaleAsync(1), stranger), coupon, token)).Code);
        Assert.Equal("not-found", (await Server.TakeOffAsync(order, stranger)).Code);

        Assert.Equal(200, (await Server.RedeemAsync(order, coupon, token)).Status);
        var other = await Server.OrderAsync(await Server.OpenSaleAsync(stock: 1), token);
        Assert.Equal("coupon-used", (await Server.RedeemAsync(other, coupon, token)).Code);
        Assert.Equal("order-has-coupon", (await Server.RedeemAsync(order, second, token)).Code);
        await Server.UserAsync(HttpMethod.Post, $"/v1/orders/{other}/cancel", token);
        Assert.Equal("order-not-pending", (await Server.RedeemAsync(other, second, token)).Code);

        foreach (var (id, state) in new[] { (coupon, "used"), (second, "usable"), (dear, "usable"), (foreign, "usable"), (old, "expired") })
        {
            Assert.Equal(state, (await Server.StandingAsync(id, token)).State);
        }
    }

    [Fact]
    public async Task List_OfCoupons_ComesInPagesAndByState()
    {
        var token = await Server.TokenAsync(user);
        var template = await Server.OpenTemplateAsync(perUserLimit: 5);
        var ids = new List<string>();
        for (var i = 0; i < 5; i++)
        {
            ids.Add(await Server.GetCouponAsync(template, token));
        }

        await Server.RedeemAsync(await Server.OrderAsync(await Server.OpenSaleAsync(stock: 1), token), ids[1], token);
        ids.Reverse();
        var first = await ListAsync("?limit=2");
        var second = await ListAsync($"?limit=2&cursor={first.Next}");
        var third = await ListAsync($"?limit=2&cursor={second.Next}");

        Assert.Equal(ids, [.. first.Ids, .. second.Ids, .. third.Ids]);
        Assert.Null(third.Next);
        Assert.Equal([ids[3]], (await ListAsync("?state=used")).Ids);
        Assert.Equal(ids.Where((_, i) => i != 3), (await ListAsync("?state=usable")).Ids);
        Assert.Empty((await ListAsync("?state=expired")).Ids);
        foreach (var wrong in new[] { "?state=", "?state=lost", "?state=used&state=used", "?limit=0", "?limit=101", "?cursor=x" })
        {
            Assert.Equal("invalid-request", (await Server.UserAsync(HttpMethod.Get, "/v1/coupons" + wrong, token)).Code);
        }

        async Task<(List<string> Ids, string? Next)> ListAsync(string query)
        {
            var page = (await Server.UserAsync(HttpMethod.Get, "/v1/coupons" + query, token)).Json;
            return ([.. page["items"]!.AsArray().Select(item => (string)item!["id"]!)], (string?)page["nextCursor"]);
        }
    }

    [Theory]
    [InlineData("kind", "\"gift\"", "kind")]
    [InlineData("amountOffCents", "0", "amountOffCents")]
    [InlineData("amountOffCents", "null", "amountOffCents")]
    [InlineData("percentOff", "5", "amountOffCents")]
    [InlineData("maximumOffCents", "5", "amountOffCents")]
    [InlineData("minimumCents", "-1", "minimumCents")]
    [InlineData("units", "1000000001", "units")]
    [InlineData("perUserLimit", "0", "perUserLimit")]
    [InlineData("validUntil", "\"2020-01-01T00:00:00Z\"", "validUntil")]
    [InlineData("closesAt", "\"2059-01-02T00:00:00Z\"", "closesAt")]
    [InlineData("opensAt", "\"2059-01-02T00:00:00Z\"", "opensAt")]
    public async Task Template_ThatMakesNoSense_IsRefused(string field, string value, string names)
    {
        var body = Body();
        body[field] = JsonNode.Parse(value);
        var answer = await shop.SendAsync(HttpMethod.Post, "/v1/coupon-templates", "server", body.ToJsonString());
        Assert.Equal("invalid-request", answer.Code);
        Assert.Contains($"'{names}'", (string?)answer.Json["detail"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Template_MadeTwiceWithOneKey_IsOneAndIsOperatedLikeASale()
    {
        var key = new Dictionary<string, string>(StringComparer.Ordinal) { ["Idempotency-Key"] = Guid.NewGuid().ToString("N") };
        var made = await shop.SendAsync(HttpMethod.Post, "/v1/coupon-templates", "server", Body().ToJsonString(), key);
        var again = await shop.SendAsync(HttpMethod.Post, "/v1/coupon-templates", "server", Body().ToJsonString(), key);
        var id = (string)made.Json["id"]!;
        Assert.Equal((201, 200, id, "draft"), (made.Status, again.Status, (string?)again.Json["id"], (string?)made.Json["state"]));
        var token = await Server.TokenAsync(user);
        Assert.Equal("not-open", (await Server.ClaimCouponAsync(id, token)).Code);
        Assert.Equal("open", await TurnAsync("open"));
        var shown = await shop.SendAsync(HttpMethod.Get, $"/v1/coupon-templates/{id}", "public");
        Assert.Equal(304, (await shop.SendAsync(HttpMethod.Get, $"/v1/coupon-templates/{id}", "public", body: null, new Dictionary<string, string>(StringComparer.Ordinal) { ["If-None-Match"] = shown.Headers.ETag!.ToString() })).Status);
        Assert.Equal("paused", await TurnAsync("pause"));
        Assert.Equal("paused", (await Server.ClaimCouponAsync(id, token)).Code);
        Assert.Equal("open", await TurnAsync("open"));
        var coupon = await Server.GetCouponAsync(id, token);
        Assert.Equal(coupon, (await Server.ClaimCouponAsync(id, token)).ClaimId);
        Assert.Equal("closed", await TurnAsync("close"));
        Assert.Equal("closed", (await Server.ClaimCouponAsync(id, await Server.TokenAsync($"{user}-2"))).Code);
        Assert.Equal("closed", (await shop.SendAsync(HttpMethod.Post, $"/v1/coupon-templates/{id}/open", "server")).Code);

        // Whoever has one keeps it. To the shop's servers the claim is one without an order; a sale's routes do not know the template.
        Assert.Equal(("usable", null), await Server.StandingAsync(coupon, token));
        Assert.Equal(("confirmed", null), (await Server.LookupAsync([coupon]))[coupon] is var row ? ((string?)row["state"], (string?)row["orderId"]) : default);
        Assert.Equal("not-found", (await Server.ClaimAsync(id, token)).Code);
        var certificate = await Server.SettledCertificateAsync(id);
        Assert.Equal(("holds", 1L, 0L), ((string?)certificate["verdict"], (long)certificate["acceptedClaims"]!, (long)certificate["orders"]!));

        async Task<string?> TurnAsync(string verb) => (string?)(await shop.SendAsync(HttpMethod.Post, $"/v1/coupon-templates/{id}/{verb}", "server")).Json["state"];
    }

    private static JsonObject Body() => new()
    {
        ["title"] = "Five off", ["kind"] = "fixed", ["amountOffCents"] = 500, ["currency"] = "EUR", ["units"] = 5, ["validUntil"] = "2059-01-01T00:00:00Z",
    };

    private async Task<(string Token, string Coupon, string Order)> BeginAsync()
    {
        var token = await Server.TokenAsync(user);
        return (token, await Server.GetCouponAsync(await Server.OpenTemplateAsync(), token), await Server.OrderAsync(await Server.OpenSaleAsync(stock: 1), token));
    }
}

using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>The operator's hands: what a sale takes at its making, and open, pause, close and stock.</summary>
[Collection(nameof(HttpShop))]
public sealed class SaleOperationTests(HttpShop shop)
{
    [Theory]
    [InlineData("2027-01-01T10:00:00")]
    [InlineData("2027-01-01 10:00:00Z")]
    [InlineData("2027-01-01")]
    [InlineData("2027-02-29T10:00:00Z")]
    [InlineData("2027-13-01T10:00:00Z")]
    [InlineData("2027-01-01T25:00:00Z")]
    [InlineData("2027-01-01T10:00:00+99:00")]
    [InlineData("2027-01-01T10:00:00 Europe/Berlin")]
    [InlineData("0000-00-00T00:00:00Z")]
    [InlineData("9999-12-31T23:59:59Z")]
    [InlineData("1970-01-01T00:00:00Z")]
    [InlineData("01/02/2027 10:00:00 Z")]
    [InlineData("tomorrow, at about noon, Z")]
    [InlineData("1795366504")]
    public async Task Time_WithoutAnOffsetOrSense_IsRefused(string time)
    {
        foreach (var field in new[] { "opensAt", "closesAt" })
        {
            Assert.Null((await CreateAsync(field, time)).WrongAsRefusal("invalid-request"));
        }
    }

    [Theory]
    [InlineData("2028-02-29T10:00:00Z", "2028-02-29T10:00:00Z")]
    [InlineData("2027-03-28T02:30:00+01:00", "2027-03-28T01:30:00Z")]
    [InlineData("2027-01-01T00:00:00.5-05:30", "2027-01-01T05:30:00.5Z")]
    public async Task Time_WithAnOffset_IsKeptInUtc(string time, string utc) => Assert.Equal(utc, (string?)(await CreateAsync("opensAt", time)).Json["opensAt"]);

    [Theory]
    [InlineData("15M")]
    [InlineData("PT")]
    [InlineData("PT0S")]
    [InlineData("-PT15M")]
    [InlineData("PT0.5S")]
    [InlineData("P8D")]
    [InlineData("P1Y")]
    [InlineData("00:15:00")]
    [InlineData("900")]
    [InlineData("PT99999999999999999S")]
    public async Task PaymentTimeout_OutOfBoundsOrForm_IsRefused(string timeout) => Assert.Null((await CreateAsync("paymentTimeout", timeout)).WrongAsRefusal("invalid-request"));

    [Theory]
    [InlineData("PT1S")]
    [InlineData("PT15M")]
    [InlineData("P7D")]
    public async Task PaymentTimeout_WithinBounds_IsKept(string timeout) => Assert.Equal(timeout, (string?)(await CreateAsync("paymentTimeout", timeout)).Json["paymentTimeout"]);

    [Fact]
    public async Task Window_ThatClosesBeforeItOpens_IsRefused() => Assert.Null((await shop.SendAsync(
        HttpMethod.Post, "/v1/flash-sales", "server",
        """{"sku":"k","title":"K","priceCents":1,"currency":"EUR","stockUnits":1,"opensAt":"2030-01-01T00:00:00Z","closesAt":"2029-01-01T00:00:00Z"}""")).WrongAsRefusal("invalid-request"));

    [Fact]
    public async Task Sale_FromDraftToClosed_AnswersClaimsAsItStands()
    {
        var sale = (string)(await CreateAsync("title", "K")).Json["id"]!;
        var token = await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}");
        Assert.Equal("not-open", (await shop.Server.ClaimAsync(sale, token)).Code);
        Assert.Equal("draft", await StateAsync(sale));

        await OperateAsync(sale, "open", "open");
        await OperateAsync(sale, "open", "open");
        await OperateAsync(sale, "pause", "paused");
        var paused = await shop.Server.ClaimAsync(sale, token);
        Assert.Equal((409, "paused"), (paused.Status, paused.Code));
        Assert.NotNull(paused.RetryAfter);
        await OperateAsync(sale, "open", "open");
        Assert.Equal(202, (await shop.Server.ClaimAsync(sale, token)).Status);
        await OperateAsync(sale, "close", "closed");
        Assert.Equal("closed", (await shop.Server.ClaimAsync(sale, await shop.Server.TokenAsync("late"))).Code);
    }

    [Fact]
    public async Task SetAside_InMidSale_IsMovedAndAllOfItIsStillShownAsLeft()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 20);
        foreach (var (units, inRedis) in new[] { (8, 12), (8, 12), (3, 17), (0, 20) })
        {
            var answer = await shop.SendAsync(HttpMethod.Put, $"/v1/flash-sales/{sale}/set-aside", "server", $"{{\"units\":{units}}}");
            Assert.Equal((200, units, 20), (answer.Status, (long)answer.Json["setAsideUnits"]!, (long)answer.Json["leftUnits"]!));
            var pool = await shop.Server.ServerGetAsync($"/v1/pools/{sale}");
            Assert.Equal((units, inRedis), ((long)pool["setAsideUnits"]!, (long)pool["leftUnits"]!));
        }

        var tooMany = await shop.SendAsync(HttpMethod.Put, $"/v1/flash-sales/{sale}/set-aside", "server", """{"units":11}""");
        Assert.Null(tooMany.WrongAsRefusal("not-enough-left"));
        Assert.Equal((0, 20), ((long)tooMany.Json["setAsideUnits"]!, (long)tooMany.Json["leftUnits"]!));
        await OperateAsync(sale, "close", "closed");
        Assert.Null((await shop.SendAsync(HttpMethod.Put, $"/v1/flash-sales/{sale}/set-aside", "server", """{"units":1}""")).WrongAsRefusal("closed"));
    }

    [Fact]
    public async Task Lanes_OfASale_AreSeenFromTheInsideOnly()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 7, lanes: 3);
        var claim = await shop.Server.ClaimAsync(sale, await shop.Server.TokenAsync("lane-user"), prefer: "wait=20");
        Assert.Equal((201, sale), (claim.Status, (string?)claim.Json["saleId"]));
        await shop.SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/stock", "server", """{"addUnits":2}""");
        Assert.Equal(8, (long)(await shop.SendAsync(HttpMethod.Get, $"/v1/flash-sales/{sale}", "public")).Json["leftUnits"]!);

        var pool = await shop.Server.ServerGetAsync($"/v1/pools/{sale}");
        Assert.Equal((9, 8), ((long)pool["capacityUnits"]!, (long)pool["leftUnits"]!));
        Assert.Equal([4, 3, 2], pool["lanes"]!.AsArray().Select(lane => (int)lane!["capacityUnits"]!));
        Assert.DoesNotContain("lanes", (await shop.Server.ServerGetAsync($"/v1/pools/{await shop.Server.OpenSaleAsync(stock: 1)}")).Select(field => field.Key));

        var found = (await shop.SendAsync(HttpMethod.Post, "/v1/claims/lookup", "server", new JsonObject { ["claimIds"] = new JsonArray((string?)claim.Json["claimId"]) }.ToJsonString())).Json["items"]![0]!;
        Assert.Equal((sale, "confirmed"), ((string?)found["poolId"], (string?)found["state"]));
        Assert.Equal("holds", (string?)(await shop.Server.SettledCertificateAsync(sale))["verdict"]);
        Assert.Null((await shop.SendAsync(HttpMethod.Put, $"/v1/flash-sales/{sale}/set-aside", "server", """{"units":1}""")).WrongAsRefusal("invalid-request"));
        Assert.Equal(200, (await shop.SendAsync(HttpMethod.Post, $"/v1/pools/{sale}/dead-letters/discard", "server")).Status);
    }

    [Theory]
    [InlineData("""{"lanes":0}""")]
    [InlineData("""{"lanes":65}""")]
    [InlineData("""{"lanes":"2"}""")]
    [InlineData("""{"lanes":2,"setAsideUnits":1}""")]
    public async Task Lanes_ThatCannotBe_AreRefused(string fields)
    {
        var body = new JsonObject { ["sku"] = "k", ["title"] = "K", ["priceCents"] = 100, ["currency"] = "EUR", ["stockUnits"] = 5 };
        foreach (var (name, value) in JsonNode.Parse(fields)!.AsObject())
        {
            body[name] = value!.DeepClone();
        }

        Assert.Null((await shop.SendAsync(HttpMethod.Post, "/v1/flash-sales", "server", body.ToJsonString())).WrongAsRefusal("invalid-request"));
    }

    [Fact]
    public async Task Close_IsFinal()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 1);
        await OperateAsync(sale, "close", "closed");

        foreach (var (verb, body) in new[] { ("open", null), ("pause", null), ("stock", """{"addUnits":1}""") })
        {
            Assert.Null((await shop.SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/{verb}", "server", body)).WrongAsRefusal("closed"));
        }

        await OperateAsync(sale, "close", "closed");
        Assert.Equal(1, (long)(await shop.Server.SettledCertificateAsync(sale))["capacityUnits"]!);
    }

    [Fact]
    public async Task Open_AfterItsClosingTime_IsRefused()
    {
        // A sale that has ended by its time: closing times lie in the future when they are given, so let this one pass.
        var closesAt = TimeProvider.System.GetUtcNow().AddSeconds(5);
        var sale = (string)(await CreateAsync("closesAt", closesAt.UtcDateTime.ToString("O"))).Json["id"]!;
        await OperateAsync(sale, "open", "open");
        Assert.Equal(202, (await shop.Server.ClaimAsync(sale, await shop.Server.TokenAsync("in-time"))).Status);

        await Eventually.TrueAsync(async () => await StateAsync(sale) == "closed", "the sale closes");

        Assert.Equal("closed", (await shop.Server.ClaimAsync(sale, await shop.Server.TokenAsync("late"))).Code);
        Assert.Null((await shop.SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/open", "server")).WrongAsRefusal("closed"));
    }

    [Fact]
    public async Task Claim_BeforeAtAndAfterTheOpening_IsTakenOnlyFromThere()
    {
        var opensAt = TimeProvider.System.GetUtcNow().AddSeconds(3);
        var sale = (string)(await CreateAsync("opensAt", opensAt.UtcDateTime.ToString("O"))).Json["id"]!;
        var token = await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}");
        Assert.Equal("scheduled", await StateAsync(sale));

        Answer answer;
        do
        {
            var asked = TimeProvider.System.GetUtcNow();
            answer = await shop.Server.ClaimAsync(sale, token);
            var answered = TimeProvider.System.GetUtcNow();

            // Times are kept to the millisecond.
            Assert.True(answer.Status == 202 ? answered.AddMilliseconds(1) >= opensAt : answer.Code == "not-open" && asked.AddMilliseconds(-1) < opensAt, $"{answer.Status} {answer.Code} at {asked:O} to {answered:O}");
        }
        while (answer.Status != 202);
    }

    [Fact]
    public async Task Stock_AddedToASoldOutSale_CanBeBought()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 1);
        Assert.Equal(202, (await shop.Server.ClaimAsync(sale, await shop.Server.TokenAsync("first"))).Status);
        Assert.Equal("sold-out", (await shop.Server.ClaimAsync(sale, await shop.Server.TokenAsync("second"))).Code);

        await shop.SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/stock", "server", """{"addUnits":1}""");

        Assert.Equal(202, (await shop.Server.ClaimAsync(sale, await shop.Server.TokenAsync("second"))).Status);
        Assert.Equal("holds", (string?)(await shop.Server.SettledCertificateAsync(sale))["verdict"]);
    }

    [Fact]
    public async Task Sale_OperatedThroughThisNode_IsOnItsCalendarAndPagesAtOnce()
    {
        await ShowsAsync("/v1/calendar", "items");
        var sale = await shop.Server.OpenSaleAsync(stock: 1);
        await ShowsAsync("/v1/calendar", sale);
        await ShowsAsync("/", $"/sales/{sale}");
        await ShowsAsync($"/sales/{sale}", "From ");

        await OperateAsync(sale, "pause", "paused");
        await ShowsAsync($"/sales/{sale}", "This sale is paused");

        async Task ShowsAsync(string path, string text) => Assert.Contains(text, (await shop.SendAsync(HttpMethod.Get, path, "public")).Text, StringComparison.Ordinal);
    }

    private Task<HttpAnswer> CreateAsync(string field, string value)
    {
        var body = new JsonObject { ["sku"] = "k", ["title"] = "K", ["priceCents"] = 100, ["currency"] = "EUR", ["stockUnits"] = 5 };
        body[field] = value;
        return shop.SendAsync(HttpMethod.Post, "/v1/flash-sales", "server", body.ToJsonString());
    }

    private async Task OperateAsync(string sale, string verb, string state)
    {
        var answer = await shop.SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/{verb}", "server");
        Assert.Equal((200, state), (answer.Status, answer.Status == 200 ? (string?)answer.Json["state"] : answer.Text));
    }

    private async Task<string?> StateAsync(string sale) => (string?)(await shop.SendAsync(HttpMethod.Get, $"/v1/flash-sales/{sale}", "public")).Json["state"];
}

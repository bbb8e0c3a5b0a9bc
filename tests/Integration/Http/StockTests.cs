using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>Products that are bought outside of sales: the price that the buyer saw, or none.</summary>
[Collection(nameof(HttpShop))]
public sealed class StockTests(HttpShop shop)
{
    private readonly string sku = $"s{Guid.NewGuid():N}"[..12];

    [Fact]
    public async Task Purchase_AtThePriceOfNow_BecomesAnOrderAtThatPriceAndItsUnitsComeBackWhenItIsCancelled()
    {
        await PutAsync(1_250);
        var made = await AddAsync(5);

        var bought = await BuyAsync("user", 1_250, units: 2, wait: true);

        Assert.Equal(201, bought.Status);
        var order = bought.Json["order"]!;
        Assert.Equal((1_250L, 2_500L, "stock", "pending", sku), ((long)order["priceCents"]!, (long)order["amountCents"]!, (string?)order["kind"], (string?)order["state"], (string?)order["sku"]));
        Assert.Equal((string?)made["poolId"], (string?)order["saleId"]);
        await LeftIsAsync(3);
        Assert.Equal("cancelled", (string?)(await shop.SendAsync(HttpMethod.Post, $"/v1/orders/{order["id"]}/cancel", "user")).Json["state"]);
        await LeftIsAsync(5);
        var certificate = await shop.Server.SettledCertificateAsync((string)made["poolId"]!);
        Assert.Equal(("holds", 0L, 5L), ((string?)certificate["verdict"], (long)certificate["soldUnits"]!, (long)certificate["leftUnits"]!));
    }

    [Fact]
    public async Task Purchase_AtAnotherPriceThanNow_IsRefusedWithThePriceOfNow()
    {
        await PutAsync(1_000);
        await AddAsync(5);
        await PutAsync(1_100);

        var late = await BuyAsync("user", 1_000);
        var elsewhere = await BuyAsync("user", 1_100, currency: "USD");

        Assert.Equal(("price-changed", 1_100L, "EUR"), (late.Code, (long)late.Json["priceCents"]!, (string?)late.Json["currency"]));
        Assert.Equal("price-changed", elsewhere.Code);
        Assert.Equal(201, (await BuyAsync("user", 1_100, wait: true)).Status);
        await LeftIsAsync(4);
    }

    [Fact]
    public async Task Retry_WhatEverBecameOfTheProductSince_FindsItsPurchaseAtThePriceOfThen()
    {
        await PutAsync(1_000);
        await AddAsync(1);
        var key = Guid.NewGuid().ToString("N");
        var claim = (string)(await BuyAsync("user", 1_000, key: key)).Json["claimId"]!;
        await PutAsync(1_500);
        var dearer = await BuyAsync("user", 1_000, key: key);
        await shop.SendAsync(HttpMethod.Delete, $"/v1/products/{sku}", "server");
        var gone = await BuyAsync("user", 1_000, key: key);

        Assert.Equal((200, claim), (dearer.Status, (string?)dearer.Json["claimId"]));
        Assert.Equal((200, claim), (gone.Status, (string?)gone.Json["claimId"]));
        await Eventually.TrueAsync(
            async () => (await shop.SendAsync(HttpMethod.Get, $"/v1/orders/{claim}", "user")) is { Status: 200 } order && (long)order.Json["priceCents"]! == 1_000, "the order has the price of then");
        Assert.Equal("not-found", (await BuyAsync("user", 1_000)).Code);
        Assert.Equal("not-found", (await BuyAsync("other", 1_000, key: key)).Code);
    }

    [Fact]
    public async Task Retry_InAnotherCurrency_IsTheSamePurchase()
    {
        await shop.SendAsync(HttpMethod.Put, $"/v1/products/{sku}", "server", """{"title":"Thing","prices":[{"currency":"EUR","amountCents":900},{"currency":"USD","amountCents":1000}]}""");
        await AddAsync(5);
        var key = Guid.NewGuid().ToString("N");
        var first = await BuyAsync("user", 900, key: key);
        var second = await BuyAsync("user", 1_000, currency: "USD", key: key);
        var more = await BuyAsync("user", 1_000, units: 2, currency: "USD", key: key);

        Assert.Equal((202, 200, "idempotency-key-reused"), (first.Status, second.Status, more.Code));
        Assert.Equal((string?)first.Json["claimId"], (string?)second.Json["claimId"]);
        await LeftIsAsync(4);
    }

    [Fact]
    public async Task Product_WithoutPriceOrStock_IsNotForSaleAndOneThatIsNotThereIsNotFound()
    {
        await PutAsync(null);
        var noStock = await BuyAsync("user", 1_000);
        await AddAsync(5);
        var noPrice = await BuyAsync("user", 1_000);

        Assert.Equal(("not-for-sale", "not-for-sale"), (noStock.Code, noPrice.Code));
        Assert.Equal(404, (await shop.SendAsync(HttpMethod.Post, $"/v1/products/{sku}-none/stock", "server", """{"addUnits":1}""")).Status);
        Assert.Equal(404, (await shop.SendAsync(HttpMethod.Get, $"/v1/products/{sku}-none/stock", "public")).Status);
        Assert.Equal(404, (await shop.SendAsync(HttpMethod.Post, $"/v1/products/{sku}-none/stock/pause", "server")).Status);
    }

    [Fact]
    public async Task Stock_ThatIsPausedOrSoldOut_SaysSoAndGoesOnWhenThereIsMore()
    {
        await PutAsync(500);
        await AddAsync(2);
        Assert.Equal("paused", (string?)(await shop.SendAsync(HttpMethod.Post, $"/v1/products/{sku}/stock/pause", "server")).Json["state"]);
        Assert.Equal("paused", (await BuyAsync("user", 500)).Code);
        Assert.Equal("open", (string?)(await shop.SendAsync(HttpMethod.Post, $"/v1/products/{sku}/stock/open", "server")).Json["state"]);
        Assert.Equal("sold-out", (await BuyAsync("user", 500, units: 3)).Code);
        Assert.Equal("invalid-request", (await BuyAsync("user", 500, units: 11)).Code);
        Assert.Equal(202, (await BuyAsync("user", 500, units: 2)).Status);
        Assert.Equal("sold-out", (await BuyAsync("other", 500)).Code);

        Assert.Equal(3L, (long)(await AddAsync(1))["stockUnits"]!);

        Assert.Equal(202, (await BuyAsync("other", 500)).Status);
    }

    [Fact]
    public async Task Stock_SameRequestTwice_AddsOnceAndTwoFirstOnesMakeOnePool()
    {
        await PutAsync(500);
        var key = new Dictionary<string, string>(StringComparer.Ordinal) { ["Idempotency-Key"] = Guid.NewGuid().ToString("N") };
        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => shop.SendAsync(HttpMethod.Post, $"/v1/products/{sku}/stock", "server", """{"addUnits":3}""", i < 4 ? key : null)));

        Assert.All(answers, answer => Assert.Equal(200, answer.Status));
        Assert.Single(answers.Select(answer => (string?)answer.Json["poolId"]).Distinct());
        var now = await shop.SendAsync(HttpMethod.Get, $"/v1/products/{sku}/stock", "public");
        Assert.Equal((15L, 15L), ((long)now.Json["stockUnits"]!, (long)now.Json["leftUnits"]!));
        Assert.Equal(304, (await shop.SendAsync(HttpMethod.Get, $"/v1/products/{sku}/stock", "public", body: null, new Dictionary<string, string>(StringComparer.Ordinal) { ["If-None-Match"] = now.Headers.ETag!.ToString() })).Status);
    }

    private Task<HttpAnswer> PutAsync(long? cents) => shop.SendAsync(
        HttpMethod.Put, $"/v1/products/{sku}", "server", cents is null ? """{"title":"Thing"}""" : $$"""{"title":"Thing","prices":[{"currency":"EUR","amountCents":{{cents}}},{"currency":"EUR","amountCents":1,"kind":"member"}]}""");

    private async Task<JsonObject> AddAsync(int units)
    {
        var answer = await shop.SendAsync(HttpMethod.Post, $"/v1/products/{sku}/stock", "server", $$"""{"addUnits":{{units}}}""");
        Assert.True(answer.Status == 200, answer.Text);
        return (JsonObject)answer.Json;
    }

    private async Task<HttpAnswer> BuyAsync(string caller, long cents, int units = 1, string currency = "EUR", string? key = null, bool wait = false)
    {
        var headers = new Dictionary<string, string>(StringComparer.Ordinal);
        if (key is not null)
        {
            headers["Idempotency-Key"] = key;
        }

        if (wait)
        {
            headers["Prefer"] = "wait=20";
        }

        var who = caller == "other" ? $"Bearer {await shop.Server.TokenAsync($"{sku}-other")}" : caller;
        return await shop.SendAsync(HttpMethod.Post, $"/v1/products/{sku}/claims", who, $$"""{"units":{{units}},"priceCents":{{cents}},"currency":"{{currency}}"}""", headers);
    }

    private Task LeftIsAsync(long units) => Eventually.TrueAsync(
        async () => (long)(await shop.SendAsync(HttpMethod.Get, $"/v1/products/{sku}/stock", "public")).Json["leftUnits"]! == units, $"{units} units are left");
}

namespace Sluice.Tests.Integration.Http;

/// <summary>One key, one effect, for what the shop's servers do.</summary>
[Collection(nameof(HttpShop))]
public sealed class IdempotencyTests(HttpShop shop)
{
    private const string Kettle = """{"sku":"kettle","title":"Kettle","priceCents":1,"currency":"EUR","stockUnits":5}""";

    [Fact]
    public async Task Create_WithTheSameKey_MakesOneSale()
    {
        var key = Key();

        var first = await CreateAsync(Kettle, key);
        var second = await CreateAsync(Kettle, key);

        Assert.Equal((201, 200), (first.Status, second.Status));
        Assert.Equal((string?)first.Json["id"], (string?)second.Json["id"]);
        Assert.Equal($"/v1/flash-sales/{first.Json["id"]}", second.Headers.Location?.ToString());
    }

    [Fact]
    public async Task Create_WithTheSameKeyInParallel_MakesOneSale()
    {
        var key = Key();

        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => CreateAsync(Kettle, key)));

        Assert.Single(answers.Select(answer => (string?)answer.Json["id"]).Distinct());
        Assert.Single(answers, answer => answer.Status == 201);
    }

    [Fact]
    public async Task Create_WithAKeyOfAnotherRequest_IsRefused()
    {
        var key = Key();
        await CreateAsync(Kettle, key);

        var reused = await CreateAsync(Kettle.Replace("\"priceCents\":1", "\"priceCents\":2", StringComparison.Ordinal), key);

        Assert.Equal((422, "idempotency-key-reused"), (reused.Status, reused.Code));
    }

    [Fact]
    public async Task Create_ThatWasRefused_DoesNotUseUpItsKey()
    {
        var key = Key();
        Assert.Equal(400, (await CreateAsync(Kettle.Replace("EUR", "euro", StringComparison.Ordinal), key)).Status);

        Assert.Equal(201, (await CreateAsync(Kettle, key)).Status);
    }

    [Fact]
    public async Task Create_WithoutAKey_MakesASaleEachTime() =>
        Assert.NotEqual((string?)(await CreateAsync(Kettle, null)).Json["id"], (string?)(await CreateAsync(Kettle, null)).Json["id"]);

    [Fact]
    public async Task Stock_WithTheSameKey_IsAddedOnce()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 1);
        var key = Key();

        var answers = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => AddAsync(sale, 5, key)));

        Assert.All(answers, answer => Assert.Equal(200, answer.Status));
        Assert.Equal(6, (long)(await AddAsync(sale, 5, key)).Json["stockUnits"]!);
        Assert.Equal((422, "idempotency-key-reused"), ((await AddAsync(sale, 6, key)).Status, (await AddAsync(sale, 6, key)).Code));
        Assert.Equal(6, (long)(await shop.Server.SettledCertificateAsync(sale))["capacityUnits"]!);
    }

    [Fact]
    public async Task Stock_WithTheSameKeyInTwoSales_IsAddedToEach()
    {
        var (one, other) = (await shop.Server.OpenSaleAsync(stock: 1), await shop.Server.OpenSaleAsync(stock: 1));
        var key = Key();

        Assert.Equal(2, (long)(await AddAsync(one, 1, key)).Json["stockUnits"]!);
        Assert.Equal(2, (long)(await AddAsync(other, 1, key)).Json["stockUnits"]!);
    }

    private static string Key() => Guid.NewGuid().ToString("N");

    private Task<HttpAnswer> CreateAsync(string body, string? key) =>
        shop.SendAsync(HttpMethod.Post, "/v1/flash-sales", "server", body, key is null ? null : new Dictionary<string, string> { ["Idempotency-Key"] = key });

    private Task<HttpAnswer> AddAsync(string sale, int units, string key) =>
        shop.SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/stock", "server", $$"""{"addUnits":{{units}}}""", new Dictionary<string, string> { ["Idempotency-Key"] = key });
}

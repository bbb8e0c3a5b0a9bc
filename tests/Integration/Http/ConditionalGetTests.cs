using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>Who has this version already is told so, and nothing else.</summary>
[Collection(nameof(HttpShop))]
public sealed class ConditionalGetTests(HttpShop shop)
{
    [Fact]
    public async Task Sale_ThatDidNotChange_IsNotSentAgain()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 5);
        var etag = await EtagAsync($"/v1/flash-sales/{sale}");

        foreach (var given in new[] { etag, $"W/{etag}", "*", $"\"x\", {etag}", $"\"x\",W/{etag}, \"y\"" })
        {
            var again = await GetAsync($"/v1/flash-sales/{sale}", given);
            Assert.Equal((304, "", etag), (again.Status, again.Text, again.Headers.ETag?.ToString()));
        }

        foreach (var given in new[] { "\"x\"", etag.Trim('"'), "" })
        {
            Assert.Equal(200, (await GetAsync($"/v1/flash-sales/{sale}", given)).Status);
        }
    }

    [Fact]
    public async Task Sale_ThatChanged_IsSentAgain()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 5);
        var etag = await EtagAsync($"/v1/flash-sales/{sale}");

        await shop.SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/pause", "server");

        var changed = await GetAsync($"/v1/flash-sales/{sale}", etag);
        Assert.Equal((200, "paused"), (changed.Status, (string?)changed.Json["state"]));
        Assert.NotEqual(etag, changed.Headers.ETag?.ToString());
    }

    [Fact]
    public async Task Sale_WhoseStockShrank_IsSentAgain()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 5);
        var etag = await EtagAsync($"/v1/flash-sales/{sale}");
        await shop.Server.ClaimAsync(sale, await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}"));

        await Eventually.TrueAsync(async () => (await GetAsync($"/v1/flash-sales/{sale}", etag)).Status == 200, "the page's figures follow the claim");
        Assert.Equal(4, (long)(await GetAsync($"/v1/flash-sales/{sale}", "\"x\"")).Json["leftUnits"]!);
    }

    [Fact]
    public async Task List_WithoutChange_IsNotSentAgainAndAfterOneIs()
    {
        // What other tests have sold a moment ago is still on its way into the figures.
        var etag = "";
        await Eventually.TrueAsync(async () => (await GetAsync("/v1/flash-sales", etag = await EtagAsync("/v1/flash-sales"))).Status == 304, "a list that does not change is not sent again");

        var sale = await shop.Server.OpenSaleAsync(stock: 1);

        var changed = await GetAsync("/v1/flash-sales", etag);
        Assert.Equal(200, changed.Status);
        Assert.Equal(sale, (string?)changed.Json["items"]![0]!["id"]);
    }

    [Fact]
    public async Task Product_WithoutChange_IsNotSentAgainAndAfterOneIs()
    {
        var path = $"/v1/products/p-{Guid.NewGuid():N}";
        await shop.SendAsync(HttpMethod.Put, path, "server", """{"title":"One"}""");
        var etag = await EtagAsync(path);
        Assert.Equal(304, (await GetAsync(path, etag)).Status);

        await shop.SendAsync(HttpMethod.Put, path, "server", """{"title":"Two"}""");

        var changed = await GetAsync(path, etag);
        Assert.Equal((200, "Two", 2L), (changed.Status, (string?)changed.Json["title"], (long)changed.Json["version"]!));
    }

    [Fact]
    public async Task Version_InTheQuery_IsAnsweredWithoutThePayloadWhileItIsTheNewest()
    {
        var product = $"/v1/products/p-{Guid.NewGuid():N}";
        await shop.SendAsync(HttpMethod.Put, product, "server", """{"title":"One"}""");
        var sale = $"/v1/flash-sales/{await shop.Server.OpenSaleAsync(stock: 5)}";

        foreach (var (path, caller) in new[] { (product, "public"), (sale, "public"), ("/v1/orders", "user") })
        {
            var whole = await shop.SendAsync(HttpMethod.Get, path, caller);
            var version = whole.Headers.ETag!.ToString().Trim('"');
            var again = await shop.SendAsync(HttpMethod.Get, $"{path}?version={version}", caller);
            Assert.Equal((200, $$"""{"version":"{{version}}","unchanged":true}""", whole.Headers.ETag.ToString()), (again.Status, again.Text, again.Headers.ETag?.ToString()));

            foreach (var other in new[] { "x", "%22", $"{version}0", "%00", $"%22{version}%22" })
            {
                Assert.Equal((200, whole.Text), await TextAsync($"{path}?version={other}", caller));
            }

            foreach (var wrong in new[] { "", $"{version}&version={version}", new string('7', 65) })
            {
                Assert.Equal((400, "invalid-request"), await shop.SendAsync(HttpMethod.Get, $"{path}?version={wrong}", caller) is var refused ? (refused.Status, refused.Code) : default);
            }
        }

        await shop.SendAsync(HttpMethod.Put, product, "server", """{"title":"Two"}""");
        Assert.Equal("Two", (string?)(await shop.SendAsync(HttpMethod.Get, $"{product}?version=1", "public")).Json["title"]);

        async Task<(int, string)> TextAsync(string path, string caller) => await shop.SendAsync(HttpMethod.Get, path, caller) is var answer ? (answer.Status, answer.Text) : default;
    }

    private Task<HttpAnswer> GetAsync(string path, string etag) =>
        shop.SendAsync(HttpMethod.Get, path, "public", (string?)null, new Dictionary<string, string> { ["If-None-Match"] = etag });

    private async Task<string> EtagAsync(string path) => (await shop.SendAsync(HttpMethod.Get, path, "public")).Headers.ETag!.ToString();
}

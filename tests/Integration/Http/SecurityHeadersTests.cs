namespace Sluice.Tests.Integration.Http;

/// <summary>What every answer says to browsers, and what none says to anybody.</summary>
[Collection(nameof(HttpShop))]
public sealed class SecurityHeadersTests(HttpShop shop)
{
    [Theory]
    [InlineData("/", 200)]
    [InlineData("/sales/1", 200)]
    [InlineData("/sales/1/certificate", 200)]
    [InlineData("/orders", 200)]
    [InlineData("/orders/1", 200)]
    [InlineData("/assets/shop.css", 200)]
    [InlineData("/img/kettle.svg", 200)]
    [InlineData("/nowhere", 404)]
    [InlineData("/assets/nowhere.js", 404)]
    [InlineData("/docs/", 200)]
    [InlineData("/openapi/v1.json", 200)]
    [InlineData("/health/ready", 200)]
    [InlineData("/metrics", 200)]
    [InlineData("/v1/time", 200)]
    [InlineData("/v1/flash-sales", 200)]
    [InlineData("/v1/nowhere", 404)]
    [InlineData("/v1/orders", 401)]
    [InlineData("/v1/tokens", 405)]
    public async Task Answer_OfAnyKind_CarriesTheSecurityHeaders(string path, int status)
    {
        var answer = await shop.SendAsync(HttpMethod.Get, path, "public");

        Assert.Equal(status, answer.Status);
        AssertSafe(answer);
        if (!path.StartsWith("/v1", StringComparison.Ordinal))
        {
            var policy = Assert.Single(answer.Headers.GetValues("Content-Security-Policy"));
            Assert.StartsWith("default-src 'self';", policy, StringComparison.Ordinal);
            Assert.Contains("frame-ancestors 'none'", policy, StringComparison.Ordinal);
            Assert.DoesNotContain("unsafe-eval", policy, StringComparison.Ordinal);
            Assert.Equal(path.StartsWith("/docs", StringComparison.Ordinal), policy.Contains("unsafe-inline", StringComparison.Ordinal));
            Assert.Equal("same-origin", Assert.Single(answer.Headers.GetValues("Referrer-Policy")));
        }
    }

    [Fact]
    public async Task Answer_ToARequestThatCannotBeRead_CarriesThemToo()
    {
        AssertSafe(await shop.SendAsync(HttpMethod.Post, "/v1/tokens", "server", "{"));
        AssertSafe(await shop.SendAsync(HttpMethod.Post, "/v1/tokens", "server", "{}"u8.ToArray(), "text/plain"));
        AssertSafe(await shop.SendAsync(HttpMethod.Post, "/v1/tokens", "server", new byte[200_000], "application/json"));
    }

    [Theory]
    [InlineData("/nowhere", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html")]
    [InlineData("/nowhere/at/all.html", "text/html", "text/html")]
    [InlineData("/nowhere", "application/json", "application/problem+json")]
    [InlineData("/nowhere", "*/*", "application/problem+json")]
    [InlineData("/v1/nowhere", "text/html", "application/problem+json")]
    public async Task Address_OfNothing_IsAPageForPeopleAndAProblemForPrograms(string path, string accept, string type)
    {
        var answer = await shop.SendAsync(HttpMethod.Get, path, "public", (string?)null, new Dictionary<string, string> { ["Accept"] = accept });

        Assert.Equal((404, type), (answer.Status, answer.ContentType));
    }

    private static void AssertSafe(HttpAnswer answer)
    {
        Assert.Equal("nosniff", Assert.Single(answer.Headers.GetValues("X-Content-Type-Options")));
        foreach (var banner in new[] { "Server", "X-Powered-By", "X-AspNet-Version", "Access-Control-Allow-Origin", "Set-Cookie" })
        {
            Assert.False(answer.Headers.Contains(banner), $"It says {banner}.");
        }
    }
}

using System.Text;

namespace Sluice.Tests.Integration.Http;

/// <summary>HEAD is GET without the body, a 401 says how to say who is asking, and who asks is looked at before what was sent.</summary>
[Collection(nameof(HttpShop))]
public sealed class MethodAndCallerTests(HttpShop shop)
{
    [Fact]
    public async Task Head_OfEveryGetRoute_IsGetWithoutTheBody()
    {
        var wrong = new List<string>();
        foreach (var row in Corpus.Routes.Where(row => row.Method == HttpMethod.Get))
        {
            var get = await shop.SendAsync(HttpMethod.Get, shop.PathOf(row), row.Caller);
            var head = await shop.SendAsync(HttpMethod.Head, shop.PathOf(row), row.Caller);
            // The tag itself may be another one by now.
            if ((head.Status, head.ContentType, head.Headers.ETag is null) != (get.Status, get.ContentType, get.Headers.ETag is null))
            {
                wrong.Add($"{row.Route}: {head.Status} {head.ContentType} {head.Headers.ETag}");
            }

            // An HTTP client does not look for a body after a HEAD.
            using var connection = await RawConnection.OpenAsync(shop.Server.Port);
            await connection.TrySendAsync($"HEAD {shop.PathOf(row)} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{(row.Caller == "server" ? $"X-Api-Key: {shop.Server.AdminKey}" : $"Authorization: Bearer {shop.Buyer}")}\r\n\r\n");
            var raw = await connection.ReadAsync();
            if (!raw.StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal) || raw.IndexOf("\r\n\r\n", StringComparison.Ordinal) != raw.Length - 4)
            {
                wrong.Add($"{row.Route} has a body: {raw}");
            }
        }

        HttpShop.AssertNothingWrong(wrong);
        await shop.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("/v1/flash-sales/999999999999999", "public", 404)]
    [InlineData("/v1/orders", "public", 401)]
    [InlineData("/v1/orders?limit=0", "user", 400)]
    [InlineData("/v1/pools", "user", 403)]
    [InlineData("/v1/tokens", "server", 405)]
    [InlineData("/metrics", "public", 200)]
    [InlineData("/openapi/v1.json", "public", 200)]
    public async Task Head_OfWhatGetRefusesOrTheHostServes_HasItsStatusAndNoBody(string path, string caller, int status)
    {
        var head = await shop.SendAsync(HttpMethod.Head, path, caller);

        Assert.Equal((status, ""), (head.Status, head.Text));
    }

    [Fact]
    public async Task Head_OfAVersionThatTheCallerHas_Is304()
    {
        var etag = (await shop.SendAsync(HttpMethod.Head, $"/v1/flash-sales/{shop.Sale}", "public")).Headers.ETag!.ToString();

        Assert.Equal(304, (await shop.SendAsync(HttpMethod.Head, $"/v1/flash-sales/{shop.Sale}", "public", (string?)null, new Dictionary<string, string> { ["If-None-Match"] = etag })).Status);
    }

    [Fact]
    public async Task Head_OfAStream_EndsAtOnce()
    {
        var head = shop.SendAsync(HttpMethod.Head, $"/v1/claims/{shop.Order}", "user", (string?)null, new Dictionary<string, string> { ["Accept"] = "text/event-stream" });

        Assert.Equal((200, "application/json"), ((await head).Status, (await head).ContentType));
    }

    [Theory]
    [InlineData("DELETE", "/v1/orders", "GET, HEAD")]
    [InlineData("DELETE", "/v1/flash-sales", "GET, POST, HEAD")]
    [InlineData("GET", "/v1/tokens", "POST")]
    [InlineData("HEAD", "/v1/tokens", "POST")]
    public async Task Allow_NamesHead_WhereGetIs(string method, string path, string allow)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        using var response = await shop.Server.Http.SendAsync(request);

        Assert.Equal((405, allow), ((int)response.StatusCode, string.Join(", ", response.Content.Headers.Allow)));
    }

    [Fact]
    public async Task Stranger_IsToldHowToSayWhoTheyAre()
    {
        foreach (var operation in (await ApiDocumentTests.OperationsAsync(shop)).Where(operation => operation.Callers != "public"))
        {
            var row = Corpus.Routes.Single(row => row.Route == operation.Route);
            var answer = await shop.SendAsync(row.Method, shop.PathOf(row), "public");

            var expected = operation.Callers switch { "user" => "Bearer", "server" => "ApiKey", _ => "Bearer, ApiKey" };
            Assert.Equal((401, expected), (answer.Status, answer.Headers.WwwAuthenticate.ToString()));
        }

        var unsigned = await shop.SendAsync(HttpMethod.Post, $"/v1/orders/{shop.Order}/pay", "public", "{}");
        Assert.Equal((401, "Sluice-Signature"), (unsigned.Status, unsigned.Headers.WwwAuthenticate.ToString()));
    }

    [Theory]
    [InlineData("text/plain")]
    [InlineData("")]
    [InlineData("application/json; charset=utf-16")]
    [InlineData("application/xml")]
    public async Task Caller_IsLookedAtBeforeTheContentType(string contentType)
    {
        var body = Encoding.UTF8.GetBytes("<x/>");
        foreach (var row in Corpus.Routes.Where(row => row is { Body: not null, Caller: "user" or "server" }))
        {
            var (stranger, other, own) = (await SendAsync(row, "public"), await SendAsync(row, row.Caller == "user" ? "server" : "user"), await SendAsync(row, row.Caller));
            Assert.Null(stranger.WrongAsRefusal("unauthorized"));
            Assert.Null(other.WrongAsRefusal("forbidden"));
            Assert.Null(own.WrongAsRefusal("unsupported-media-type"));
        }

        Task<HttpAnswer> SendAsync(RouteRow row, string caller) => shop.SendAsync(row.Method, shop.PathOf(row), caller, body, contentType);
    }

    [Fact]
    public async Task Payment_IsCheckedForItsSignatureBeforeTheContentType()
    {
        var body = Encoding.UTF8.GetBytes("<x/>");

        Assert.Null((await shop.SendAsync(HttpMethod.Post, $"/v1/orders/{shop.Order}/pay", "public", body, "text/plain")).WrongAsRefusal("bad-signature"));
        Assert.Null((await shop.SendAsync(HttpMethod.Post, $"/v1/orders/{shop.Order}/pay", "payment", body, "text/plain")).WrongAsRefusal("unsupported-media-type"));
    }
}

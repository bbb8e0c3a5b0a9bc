using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>Requests that no HTTP library would send.</summary>
public sealed class RawRequestTests(HttpShop shop) : IClassFixture<HttpShop>
{
    // By name: a request with a NUL in it cannot be the name of a test.
    private static readonly Dictionary<string, (string Request, string Statuses)> Malformed = new(StringComparer.Ordinal)
    {
        ["no Host"] = ("GET /v1/time HTTP/1.1\r\n\r\n", "400"),
        ["two Hosts"] = ("GET /v1/time HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ["a Host that is none"] = ("GET /v1/time HTTP/1.1\r\nHost: a b/c\r\n\r\n", "400"),
        ["a header of 64 KiB"] = ($"GET /v1/time HTTP/1.1\r\nHost: a\r\nX: {new string('x', 65_536)}\r\n\r\n", "431"),
        ["a thousand headers"] = ($"GET /v1/time HTTP/1.1\r\nHost: a\r\n{string.Concat(Enumerable.Range(0, 1_000).Select(i => $"X{i}: 1\r\n"))}\r\n", "431"),
        ["a line of 8 KiB"] = ($"GET /{new string('x', 8_192)} HTTP/1.1\r\nHost: a\r\n\r\n", "414"),
        ["Content-Length with Transfer-Encoding"] = ("POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/pools HTTP/1.1\r\n\r\n", "400|401|415"),
        ["two Content-Lengths"] = ("POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "400"),
        ["a negative Content-Length"] = ("POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "400"),
        ["a Content-Length beyond 64 bits"] = ("POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", "400"),
        ["an unknown Transfer-Encoding"] = ("POST /v1/tokens HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "400|501"),
        ["a folded header"] = ("GET /v1/time HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", "400"),
        ["a blank in a header's name"] = ("GET /v1/time HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n", "400"),
        ["a NUL in a header"] = ("GET /v1/time HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "400"),
        ["HTTP/9.9"] = ("GET /v1/time HTTP/9.9\r\nHost: a\r\n\r\n", "505|400"),
        ["no method"] = (" /v1/time HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ["a TLS hello"] = ("\u0016\u0003\u0001\u0002\0\u0001\0\u0001\u00fc\u0003\u0003", "400"),
        ["garbage"] = ("\u0001\u0002\u0003\u00ff\r\n\r\n", "400"),
    };

    public static TheoryData<string> MalformedNames => new(Malformed.Keys);

    [Theory]
    [MemberData(nameof(MalformedNames))]
    public async Task Request_ThatIsMalformed_IsEndedWithAStatus(string name)
    {
        var (request, statuses) = Malformed[name];
        using var connection = await RawConnection.OpenAsync(shop.Server.Port);
        await connection.TrySendAsync(request);
        var answer = await connection.ReadAsync(name.StartsWith("Content-Length with", StringComparison.Ordinal) ? "\r\n\r\n" : null);

        Assert.Contains(answer.Split(' ').ElementAtOrDefault(1) ?? "nothing", statuses.Split('|'));
        Assert.DoesNotContain("Server:", answer, StringComparison.OrdinalIgnoreCase);
        await shop.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Garbage_AfterAGoodRequest_DoesNotSpoilItsAnswer()
    {
        using var connection = await RawConnection.OpenAsync(shop.Server.Port);
        await connection.TrySendAsync("GET /v1/time HTTP/1.1\r\nHost: a\r\n\r\nGARBAGE\r\n\r\n");

        var answers = await connection.ReadAsync();

        Assert.StartsWith("HTTP/1.1 200", answers, StringComparison.Ordinal);
        Assert.Contains("HTTP/1.1 400", answers, StringComparison.Ordinal);
        await shop.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("Idempotency-Key: 0123456789abcdef")]
    [InlineData("X-Api-Key: x")]
    public async Task Header_SentTwice_IsRefused(string header)
    {
        using var connection = await RawConnection.OpenAsync(shop.Server.Port);
        var who = header.StartsWith("X-Api-Key", StringComparison.Ordinal) ? $"X-Api-Key: {shop.Server.AdminKey}\r\n" : $"Authorization: Bearer {shop.Stranger}\r\n{header}\r\n";
        await connection.TrySendAsync($"POST /v1/flash-sales/{shop.Sale}/claims HTTP/1.1\r\nHost: a\r\n{who}{header}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");

        var answer = await connection.ReadAsync();

        Assert.Contains(answer.Split(' ')[1], new[] { "400", "401" });
        Assert.Empty((await shop.SendAsync(HttpMethod.Get, "/v1/orders", "stranger")).Json["items"]!.AsArray());
    }

    [Fact]
    public async Task Body_ThatNeverEnds_IsCutAtTheLimit()
    {
        using var connection = await RawConnection.OpenAsync(shop.Server.Port);
        await connection.TrySendAsync($"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nX-Api-Key: {shop.Server.AdminKey}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
        var chunk = $"1000\r\n{new string(' ', 4_096)}\r\n";
        var sent = 0;
        while (sent < 1_000 && await connection.TrySendAsync(chunk))
        {
            sent++;
        }

        // Either its refusal is still readable, or the connection was reset under the flood.
        var answer = await connection.ReadAsync();
        Assert.True(answer.Length == 0 || answer.StartsWith("HTTP/1.1 413", StringComparison.Ordinal), answer);
        await shop.AssertUnharmedAsync();
    }

    [Theory]
    [InlineData("headers", "POST /v1/tokens HTTP/1.1\r\nHost: a\r\nX-Slow: ")]
    [InlineData("body", "POST /v1/tokens HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{")]
    [InlineData("claim", "POST /v1/flash-sales/{sale}/claims HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")]
    public async Task Request_ThatDripsAndStops_IsEndedByTheServer(string part, string start)
    {
        using var connection = await RawConnection.OpenAsync(shop.Server.Port);
        await connection.TrySendAsync(Filled(start));

        // ReadAsync fails when the server still waits after 30 s; its own limits are 10 s for headers, 5 s of too slow a body.
        var answer = await connection.ReadAsync();

        Assert.True(answer.StartsWith("HTTP/1.1 408", StringComparison.Ordinal), $"{part}: {answer}");
        await shop.AssertUnharmedAsync();
    }

    private string Filled(string request) => shop.Fill(request)
        .Replace("{key}", shop.Server.AdminKey, StringComparison.Ordinal).Replace("{token}", shop.Stranger, StringComparison.Ordinal);
}

using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Sluice.Operations.Clusters;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>deploy/nginx on a real nginx: what is sent to a second node and what never is, what is refused and how, what is passed on.</summary>
public sealed class NginxTests
{
    private const string Key = "a-key-of-24-characters-x";

    private static readonly RequestDelegate Fine = context => context.Response.WriteAsync("fine");

    // As a node that is killed with the request in its hands.
    private static readonly RequestDelegate Dies = context =>
    {
        context.Abort();
        return Task.CompletedTask;
    };

    [Fact]
    public async Task Configuration_AsItIsShipped_IsTakenByNginx()
    {
        using var folder = new TempFolder();
        foreach (var name in new[] { "sluice.conf", "sluice-upstream.conf" })
        {
            await File.WriteAllTextAsync(folder.File(name), ShippedFile.With(name).Replace("/etc/nginx/", $"{folder.Path}/", StringComparison.Ordinal).Replace("/var/log/nginx/", $"{folder.Path}/", StringComparison.Ordinal));
        }

        await File.WriteAllTextAsync(folder.File("nginx.conf"), ShippedFile.With(
            "nginx.conf", ("/run/nginx.pid", folder.File("pid")), ("/var/log/nginx/", $"{folder.Path}/"), ("/var/lib/nginx/", $"{folder.Path}/"), ("/etc/nginx/", $"{folder.Path}/")));
        await using var check = ChildProcess.Start(NginxInFront.Program, ["-t", "-p", folder.Path, "-c", folder.File("nginx.conf")]);
        Assert.True(await check.WaitAsync(TimeSpan.FromSeconds(30)) == 0, check.Output);
        Assert.DoesNotContain("[warn]", check.Output, StringComparison.Ordinal);
        Assert.DoesNotContain(ShippedFile.With("sluice.conf").Split('\n'), line => line.TrimStart().StartsWith("listen", StringComparison.Ordinal) && line.Contains("reuseport", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("GET", null, true)]
    [InlineData("HEAD", null, true)]
    [InlineData("POST", null, false)]
    [InlineData("POST", "short", false)]
    [InlineData("POST", Key, true)]
    [InlineData("POST", Key, true, "wait=5")]
    [InlineData("POST", null, false, "wait=5")]
    public async Task Request_WhoseNodeDies_IsSentToAnotherOnlyIfItCannotBeDoneTwice(string method, string? key, bool isSentAgain, string? prefer = null)
    {
        await using var front = await NginxInFront.StartAsync(Dies, Fine);
        using var request = new HttpRequestMessage(new HttpMethod(method), "/v1/things?a=1");
        Add(request, "Idempotency-Key", key);
        Add(request, "Prefer", prefer);
        using var response = await front.Http.SendAsync(request);
        Assert.Single(front.First.Seen);
        Assert.Equal(isSentAgain ? 1 : 0, front.Second.Seen.Count);
        if (isSentAgain)
        {
            Assert.Equal(200, (int)response.StatusCode);
        }
        else
        {
            await AssertProblemAsync(response, 503, "unavailable", retryAfter: 1);
        }
    }

    [Fact]
    public async Task Request_OnWhichANodeHangs_IsSentToAnotherInTime()
    {
        await using var front = await NginxInFront.StartAsync(context => Task.Delay(TimeSpan.FromSeconds(20), TimeProvider.System, context.RequestAborted), Fine, ("proxy_read_timeout 5s", "proxy_read_timeout 1s"));
        Assert.Equal("fine", await front.Http.GetStringAsync("/"));
        Assert.Equal((1, 1), (front.First.Seen.Count, front.Second.Seen.Count));
    }

    [Theory]
    [InlineData("/v1/claims/1?wait=20", null, null)]
    [InlineData("/v1/claims/1", "wait=5", null)]
    [InlineData("/v1/claims/1", null, "text/event-stream")]
    public async Task Request_ThatWaits_IsGivenItsTime(string target, string? prefer, string? accept)
    {
        // Longer than other requests may take here, and its first word comes through at once.
        await using var front = await NginxInFront.StartAsync(
            async context =>
            {
                await context.Response.WriteAsync("first");
                await context.Response.Body.FlushAsync();
                await Task.Delay(TimeSpan.FromSeconds(2), TimeProvider.System, context.RequestAborted);
                await context.Response.WriteAsync(" and last");
            },
            Dies, ("proxy_read_timeout 5s", "proxy_read_timeout 1s"));
        using var request = new HttpRequestMessage(HttpMethod.Get, target);
        Add(request, "Prefer", prefer);
        Add(request, "Accept", accept);
        using var response = await front.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal("first and last", await response.Content.ReadAsStringAsync());
    }

    [Theory]
    [InlineData(null)]
    [InlineData(Key)]
    public async Task Address_WithEscapes_ReachesTheNodeAsItWasSent(string? key)
    {
        await using var front = await NginxInFront.StartAsync(Fine, Fine);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/things/a%2Fb%20c?d=%C3%BC+e") { Content = JsonContent.Create(new JsonObject { ["units"] = 2 }) };
        Add(request, "Idempotency-Key", key);
        using var response = await front.Http.SendAsync(request);
        Assert.Equal("/v1/things/a%2Fb%20c?d=%C3%BC+e", Assert.Single(front.First.Seen).Target);
    }

    [Theory]
    [InlineData("my-request-1234", true)]
    [InlineData("short", false)]
    [InlineData("with spaces and more", false)]
    [InlineData(null, false)]
    public async Task RequestId_OfTheCaller_IsKeptIfItIsOne(string? given, bool isKept)
    {
        await using var front = await NginxInFront.StartAsync(Fine, Fine);
        using var request = new HttpRequestMessage(HttpMethod.Get, "/");
        Add(request, "X-Request-Id", given);
        using var response = await front.Http.SendAsync(request);
        var id = Assert.Single(response.Headers.GetValues("X-Request-Id"));
        Assert.Equal(id, Assert.Single(front.First.Seen).Headers["X-Request-Id"]);
        Assert.Equal(isKept, id == given);
        await Eventually.TrueAsync(async () => (await File.ReadAllTextAsync(Path.Combine(front.Folder, "sluice-access.log"))).Contains($"\"requestId\":\"{id}\"", StringComparison.Ordinal), "the log has the request id");
    }

    [Fact]
    public async Task Headers_ThatClaimToBeAProxy_AreReplaced()
    {
        await using var front = await NginxInFront.StartAsync(Fine, Fine);
        using var request = new HttpRequestMessage(HttpMethod.Get, "/") { Headers = { { "X-Forwarded-For", "6.6.6.6" }, { "X-Forwarded-Proto", "https" }, { "X-Forwarded-Host", "evil.example" } } };
        using var response = await front.Http.SendAsync(request);
        var headers = Assert.Single(front.First.Seen).Headers;
        Assert.Equal(("127.0.0.1", "http", false), (headers["X-Forwarded-For"], headers["X-Forwarded-Proto"], headers.ContainsKey("X-Forwarded-Host")));
    }

    [Fact]
    public async Task Refusals_OfNginxItself_AreProblems()
    {
        await using var front = await NginxInFront.StartAsync(Dies, Dies);
        using var large = await front.Http.PostAsync("/v1/things", new ByteArrayContent(new byte[70_000]));
        await AssertProblemAsync(large, 413, "body-too-large");
        using var header = new HttpRequestMessage(HttpMethod.Get, "/") { Headers = { { "X-Long", new string('x', 20_000) } } };
        await AssertProblemAsync(await front.Http.SendAsync(header), 400, "invalid-request");
        await AssertProblemAsync(await front.Http.GetAsync("/"), 503, "unavailable", retryAfter: 1);
        Assert.Equal(404, (int)(await front.Http.GetAsync("/metrics")).StatusCode);
    }

    [Fact]
    public async Task Flood_FromOneAddress_IsAProblemWithRetryAfter()
    {
        await using var front = await NginxInFront.StartAsync(Fine, Fine, ("127.0.0.0/8 0;", ""), ("burst=200", "burst=5"));
        var answers = await Task.WhenAll(Enumerable.Range(0, 60).Select(_ => front.Http.GetAsync("/")));
        Assert.Contains(answers, answer => (int)answer.StatusCode == 200);
        await AssertProblemAsync(answers.First(answer => (int)answer.StatusCode == 429), 429, "rate-limited", retryAfter: 1);
    }

    [Fact]
    public async Task Connection_ShortlyBeforeAReload_EndsWithItsAnswer()
    {
        await using var front = await NginxInFront.StartAsync(Fine, Fine);
        foreach (var key in new[] { null, Key })
        {
            foreach (var prefer in new[] { null, "wait=5" })
            {
                Assert.False(await ClosesAsync(key, prefer));
                await File.WriteAllTextAsync(Path.Combine(front.Folder, "sluice-reload-soon"), "");
                Assert.True(await ClosesAsync(key, prefer));
                File.Delete(Path.Combine(front.Folder, "sluice-reload-soon"));
            }
        }

        async Task<bool> ClosesAsync(string? key, string? prefer)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/");
            Add(request, "Idempotency-Key", key);
            Add(request, "Prefer", prefer);
            using var response = await front.Http.SendAsync(request);
            Assert.Equal("fine", await response.Content.ReadAsStringAsync());
            return response.Headers.ConnectionClose == true;
        }
    }

    private static void Add(HttpRequestMessage request, string name, string? value)
    {
        if (value is not null)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }
    }

    private static async Task AssertProblemAsync(HttpResponseMessage response, int status, string code, int? retryAfter = null)
    {
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        Assert.Equal(retryAfter?.ToString(CultureInfo.InvariantCulture), response.Headers.TryGetValues("Retry-After", out var values) ? Assert.Single(values) : null);
        Assert.True(response.Headers.Contains("X-Request-Id"));
        var problem = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
        Assert.Equal((code, status), ((string?)problem["code"], (int)problem["status"]!));
        Assert.Equal($"https://sluice.dev/problems/{code}", (string?)problem["type"]);
    }
}

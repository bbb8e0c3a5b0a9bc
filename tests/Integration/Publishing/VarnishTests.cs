using System.Net;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Publishing;

/// <summary>A real Varnish with the shipped configuration in front of a node: what it keeps, what it never keeps, what it shows when the node is away.</summary>
public sealed class VarnishTests
{
    [Fact]
    public async Task Catalogue_BehindVarnish_IsKept_FollowsEachChange_AndStandsWithoutItsOrigin()
    {
        using var site = new TempFolder();
        var port = FreePort.Next();
        await using var server = await SluiceServer.StartAsync([$"Publish:Folder={site.Path}", $"Publish:Purge:0=PURGE http://127.0.0.1:{port}"]);
        await PutAsync(server, "Mug 1");
        var sale = await server.OpenSaleAsync(stock: 5);
        await using var edge = await VarnishEdge.StartAsync(server.Port, port);
        string[] addresses = ["/", "/products/mug", "/products", "/v1/products/mug", "/v1/products?limit=5", "/v1/search?q=mug", "/v1/calendar", $"/sales/{sale}"];
        foreach (var path in addresses)
        {
            await Eventually.TrueAsync(async () => await GetAsync(edge, path) is { Status: 200, Edge: "HIT" }, $"{path} is kept");
        }

        // What is kept is not sent again to who has it, and is the node's own answer.
        var kept = await GetAsync(edge, "/v1/products/mug");
        Assert.Equal(await server.Http.GetStringAsync("/v1/products/mug"), kept.Text);
        using var known = new HttpRequestMessage(HttpMethod.Get, "/v1/products/mug");
        known.Headers.TryAddWithoutValidation("If-None-Match", kept.ETag);
        Assert.Equal(HttpStatusCode.NotModified, (await edge.Http.SendAsync(known)).StatusCode);

        // Each change is seen, in lists with a query too, and never an older one after a newer.
        var newest = 1;
        for (var change = 2; change <= 6; change++)
        {
            await PutAsync(server, $"Mug {change}");
            await Eventually.TrueAsync(
                async () =>
                {
                    var shown = new List<int>();
                    foreach (var path in new[] { "/products/mug", "/v1/products/mug", "/v1/products?limit=5" })
                    {
                        shown.Add(int.Parse((await GetAsync(edge, path)).Text.Split("Mug ")[1][..1], System.Globalization.CultureInfo.InvariantCulture));
                    }

                    Assert.True(shown.TrueForAll(version => version >= newest), $"an older one than {newest}: {string.Join(", ", shown)}");
                    return shown.TrueForAll(version => version == change);
                },
                $"change {change} is seen");
            newest = change;
        }

        // BAN says the same as PURGE, of this one address.
        await Eventually.TrueAsync(async () => await GetAsync(edge, "/products/mug") is { Edge: "HIT" } && await GetAsync(edge, "/products") is { Edge: "HIT" }, "both are kept");
        Assert.Equal(HttpStatusCode.OK, (await edge.Http.SendAsync(new HttpRequestMessage(new HttpMethod("BAN"), "/products/mug"))).StatusCode);
        Assert.Equal(("MISS", "HIT"), ((await GetAsync(edge, "/products/mug")).Edge, (await GetAsync(edge, "/products")).Edge));

        // A search is no file, and forgotten with the files.
        var told = Told();
        await PutAsync(server, "Mug 7");
        await Eventually.TrueAsync(() => Task.FromResult(Told() > told), "the cache is told");
        Assert.Equal("MISS", (await GetAsync(edge, "/v1/search?q=mug")).Edge);

        // The node is off: what is kept stands, at first by asking in vain, then because the node is known to be away; what is not kept is away.
        foreach (var path in addresses)
        {
            await Eventually.TrueAsync(async () => await GetAsync(edge, path) is { Status: 200 }, $"{path} is kept again");
        }

        // A node that hangs is given up long before a caller would: what is kept is shown although it is not known yet to be away.
        server.Process.Stop();
        await Eventually.TrueAsync(
            async () =>
            {
                // One caller who waits in vain is one too many; looking again would hide it.
                var asking = GetAsync(edge, "/v1/products/mug");
                await Task.WhenAny(asking);
                Assert.True(asking.IsCompletedSuccessfully, $"nothing came: {asking.Exception?.InnerException?.Message ?? "a caller's patience ended"}");
                var shown = await asking;
                Assert.Equal(200, shown.Status);
                return shown is { Edge: "STALE", AgeSeconds: >= 3 };
            },
            "what is kept stands in front of a node that hangs");
        await server.KillAsync();
        foreach (var path in addresses)
        {
            await Eventually.TrueAsync(
                async () =>
                {
                    // Far older than it may be in good days.
                    var shown = await GetAsync(edge, path);
                    Assert.True(shown.Status == 200, $"{path}: {shown.Status}");
                    return shown is { Edge: "STALE", AgeSeconds: >= 4 };
                },
                $"{path} stands");
        }

        var away = await GetAsync(edge, "/v1/products/other");
        Assert.Equal((503, "unavailable"), (away.Status, (string?)JsonNode.Parse(away.Text)!["code"]));

        int Told() => server.Process.Output.Split('\n').Count(line => line.Contains("The caches in front forget", StringComparison.Ordinal));
    }

    [Fact]
    public async Task AnswersOfOneUser_AreNeverKept_AndWhatIsPurgedIsAnAddress()
    {
        await using var server = await SluiceServer.StartAsync();
        await PutAsync(server, "Mug 1");
        await using var edge = await VarnishEdge.StartAsync(server.Port);
        var (one, two) = (await server.TokenAsync("one"), await server.TokenAsync("two"));
        var sale = await server.OpenSaleAsync(stock: 5);
        Assert.Equal(201, (await server.ClaimAsync(sale, one, prefer: "wait=20")).Status);

        for (var i = 0; i < 3; i++)
        {
            var (mine, other, nobody) = (await GetAsync(edge, "/v1/orders", one), await GetAsync(edge, "/v1/orders", two), await GetAsync(edge, "/v1/orders"));
            Assert.Equal((200, "BYPASS", 200, 401), (mine.Status, mine.Edge, other.Status, nobody.Status));
            Assert.Contains(sale, mine.Text, StringComparison.Ordinal);
            Assert.DoesNotContain(sale, other.Text, StringComparison.Ordinal);
        }

        // A claim goes through as it is.
        using var claim = new HttpRequestMessage(HttpMethod.Post, $"/v1/flash-sales/{sale}/claims") { Headers = { { "Authorization", $"Bearer {two}" } } };
        Assert.Equal(202, (int)(await edge.Http.SendAsync(claim)).StatusCode);

        // Cookies of somebody else on this host keep nothing from being kept.
        await Eventually.TrueAsync(async () => await GetAsync(edge, "/v1/products/mug", cookie: "tracker=1") is { Edge: "HIT" }, "it is kept");
        Assert.Equal((200, 400, 400, 405), (await PurgeAsync(edge, "/v1/products/mug"), await PurgeAsync(edge, "/a?b"), await PurgeAsync(edge, "/x&&obj.http.X-Sluice-Path~."), await AskAsync(edge, "TRACE")));
        Assert.NotEqual("HIT", (await GetAsync(edge, "/v1/products/mug")).Edge);

    }

    [Fact]
    public async Task Strangers_BehindVarnish_NeitherPurgeNorSayWhoTheyAre_AndAnOriginThatIsBusyIsAskedOnce()
    {
        var asked = 0;
        string[] told = [];
        await using var origin = WebApplication.CreateSlimBuilder().Build();
        origin.MapGet("/health/live", () => "ok");
        origin.MapGet("/busy", (HttpResponse response) =>
        {
            Interlocked.Increment(ref asked);
            response.Headers.RetryAfter = "7";
            return Results.Text("busy", statusCode: 503);
        });
        origin.MapGet("/told", (HttpRequest request) => told = [.. request.Headers.Where(header => header.Key is "Forwarded" or "Proxy" || header.Key.StartsWith("X-", StringComparison.Ordinal)).Select(header => $"{header.Key}: {header.Value}").Order(StringComparer.Ordinal)]);
        var port = FreePort.Next();
        origin.Urls.Add($"http://127.0.0.1:{port}");
        await origin.StartAsync();
        await using var edge = await VarnishEdge.StartAsync(port, purgers: "192.0.2.1");

        Assert.Equal(405, await AskAsync(edge, "PURGE", "/told", ("X-Forwarded-For", "192.0.2.1")));
        Assert.Equal(200, await AskAsync(edge, "GET", "/told", ("Forwarded", "for=192.0.2.1"), ("Proxy", "http://192.0.2.1"), ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example")));
        Assert.Equal(["X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http"], told.Where(header => !header.StartsWith("X-Varnish", StringComparison.Ordinal) && !header.StartsWith("X-Sluice", StringComparison.Ordinal)));

        // Nothing is kept of it: its caller is told to wait as long as it says, and it has nothing to do twice.
        using var busy = await edge.Http.GetAsync("/busy");
        Assert.Equal((503, TimeSpan.FromSeconds(7), "application/problem+json", 1), ((int)busy.StatusCode, busy.Headers.RetryAfter?.Delta, busy.Content.Headers.ContentType?.MediaType, asked));
        Assert.Equal("unavailable", (string?)JsonNode.Parse(await busy.Content.ReadAsStringAsync())!["code"]);
    }

    private static Task<JsonObject> PutAsync(SluiceServer server, string title) => server.ServerPutAsync("/v1/products/mug", new JsonObject { ["title"] = title });

    private static Task<int> PurgeAsync(EdgeServer edge, string path) => AskAsync(edge, "PURGE", path);

    private static async Task<int> AskAsync(EdgeServer edge, string method, string path = "/", params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        foreach (var (name, value) in headers)
        {
            Assert.True(request.Headers.TryAddWithoutValidation(name, value));
        }

        using var answer = await edge.Http.SendAsync(request);
        return (int)answer.StatusCode;
    }

    private static async Task<Seen> GetAsync(EdgeServer edge, string path, string? token = null, string? cookie = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        if (token is not null)
        {
            request.Headers.Authorization = new("Bearer", token);
        }

        if (cookie is not null)
        {
            request.Headers.Add("Cookie", cookie);
        }

        using var answer = await edge.Http.SendAsync(request);
        return new Seen((int)answer.StatusCode, answer.Headers.TryGetValues("X-Edge", out var from) ? from.Single() : "", await answer.Content.ReadAsStringAsync(), answer.Headers.ETag?.ToString() ?? "", answer.Headers.Age?.TotalSeconds ?? 0);
    }

    private sealed record Seen(int Status, string Edge, string Text, string ETag, double AgeSeconds);
}

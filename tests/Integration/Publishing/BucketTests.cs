using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Sluice.Operations.Publishing;
using Sluice.Tests.Integration.Cluster;
using Sluice.Tests.Integration.Failure;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Publishing;

/// <summary>A site in a bucket of a real server that speaks S3.</summary>
public sealed class BucketTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Site_InABucket_IsWhatTheNodeAnswersAndFollowsEachChange()
    {
        await using var s3 = await S3Server.StartAsync();
        await s3.PutAsync("somebody-else.txt", "mine");
        await using var server = await SluiceServer.StartAsync([.. s3.Settings, "Publish:CheckEvery=00:00:01"]);
        await PutAsync(server, "mug", "Mug 1");
        await PutAsync(server, "cup", "Cup 1");
        await Eventually.TrueAsync(async () => (await s3.KeysAsync()).Contains("products/cup") && (await s3.GetAsync("manifest.json")).Text.Contains("/products/cup", StringComparison.Ordinal), "it is there");
        foreach (var (key, url, type) in new[] { ("products/mug", "/products/mug", "text/html; charset=utf-8"), ("v1/products/mug", "/v1/products/mug", "application/json; charset=utf-8"), ("index.html", "/", "text/html; charset=utf-8") })
        {
            var put = await s3.GetAsync(key);
            Assert.Equal((await server.Http.GetStringAsync(url), type), (put.Text, put.ContentType));
            Assert.DoesNotContain("immutable", put.CacheControl, StringComparison.Ordinal);
        }

        var script = (await s3.KeysAsync()).First(key => key.StartsWith("assets/", StringComparison.Ordinal));
        Assert.Contains("immutable", (await s3.GetAsync(script)).CacheControl, StringComparison.Ordinal);

        // A change, and a product that goes; what is not the site's stays.
        var cup = (await s3.GetAsync("products/cup")).Written;
        await PutAsync(server, "mug", "Mug 2");
        Assert.Equal(204, (await server.AnswerAsync(new HttpRequestMessage(HttpMethod.Delete, "/v1/products/cup") { Headers = { { "X-Api-Key", server.AdminKey } } })).Status);
        await Eventually.TrueAsync(async () => !(await s3.KeysAsync()).Contains("products/cup") && (await s3.GetAsync("products/mug")).Text.Contains("Mug 2", StringComparison.Ordinal), "the change is there");
        Assert.NotNull(cup);
        Assert.Contains("somebody-else.txt", await s3.KeysAsync());
        Assert.Contains(script, await s3.KeysAsync());

        // What somebody spoiled is healed by the next look.
        await s3.PutAsync("products/mug", "spoiled");
        await Eventually.TrueAsync(async () => (await s3.GetAsync("products/mug")).Text.Contains("Mug 2", StringComparison.Ordinal), "it is healed");
    }

    [Fact]
    public async Task Exporter_KilledBeforeItsManifest_IsFinishedByTheNextOne_AndAWrongKeyIsToldWithoutItsSecret()
    {
        using var data = new TempFolder();
        await using var s3 = await S3Server.StartAsync();
        await using var server = await SluiceServer.StartAsync(dataFolder: data.Path);
        await PutAsync(server, "mug", "Mug 1");

        Assert.Equal(137, (await PublishAsync(data, s3.Settings, Drills.Fault("site.written", "kill", 1))).ExitCode);
        Assert.DoesNotContain("manifest.json", await s3.KeysAsync());
        Assert.Equal(0, (await PublishAsync(data, s3.Settings)).ExitCode);
        Assert.Contains("Mug 1", (await s3.GetAsync("products/mug")).Text, StringComparison.Ordinal);
        Assert.Contains("/products/mug", (await s3.GetAsync("manifest.json")).Text, StringComparison.Ordinal);

        var refused = await PublishAsync(data, [.. s3.Settings, "Publish:AccessKey=nobody", "Publish:SecretKey=not-the-secret"]);
        Assert.Equal(3, refused.ExitCode);
        Assert.Contains($"bucket {S3Server.Bucket}", refused.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("not-the-secret", refused.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cloudflare_IsToldWhatChanged_AndAgainWhatItDidNotTake()
    {
        var isWell = false;
        var bodies = new List<string>();
        await using var cloudflare = await FakeNode.StartAsync(async context =>
        {
            using var reader = new StreamReader(context.Request.Body);
            var body = await reader.ReadToEndAsync();
            context.Response.StatusCode = isWell ? 200 : 429;
            if (isWell)
            {
                bodies.Add(body);
            }

            context.Response.ContentType = "application/json";
            await context.Response.WriteAsync("""{"success":true,"errors":[],"messages":[],"result":{"id":"z"}}""");
        });
        using var purge = new EdgePurge(new PublishOptions { CloudflareZone = "z1", CloudflareTokenSecret = "t1", SiteUrl = "https://shop.example", CloudflareUrl = $"http://127.0.0.1:{cloudflare.Port}/client/v4" });

        var failed = await Assert.ThrowsAsync<IOException>(() => purge.TellAsync([.. Enumerable.Range(0, 31).Select(i => $"/products/p{i}")], CancellationToken.None));
        Assert.DoesNotContain("t1", failed.Message, StringComparison.Ordinal);
        Assert.True(purge.IsWaiting);
        isWell = true;
        await purge.TellAsync(["/products/late"], CancellationToken.None);

        Assert.False(purge.IsWaiting);
        Assert.Equal(32, bodies.Sum(body => JsonNode.Parse(body)!["files"]!.AsArray().Count));
        Assert.All(bodies, body => Assert.InRange(JsonNode.Parse(body)!["files"]!.AsArray().Count, 1, 30));
        Assert.Contains("https://shop.example/products/late", string.Concat(bodies), StringComparison.Ordinal);
        var (method, target, headers) = cloudflare.Seen.First();
        Assert.Equal(("POST", "/client/v4/zones/z1/purge_cache", "Bearer t1"), (method, target, headers["Authorization"]));
    }

    private static async Task<(int ExitCode, string Output)> PublishAsync(TempFolder data, IEnumerable<string> settings, IReadOnlyDictionary<string, string>? environment = null)
    {
        await using var publish = ChildProcess.Start("dotnet", [Programs.Server, "publish", "--data", data.Path, .. settings.SelectMany(setting => new[] { "--set", setting })], environment);
        return (await publish.WaitAsync(Patience), publish.Output);
    }

    private static Task<JsonObject> PutAsync(SluiceServer server, string sku, string title) => server.ServerPutAsync($"/v1/products/{sku}", new JsonObject { ["title"] = title });
}

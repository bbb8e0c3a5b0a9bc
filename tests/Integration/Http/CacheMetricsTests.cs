using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>What <c>/metrics</c> says of the tiers of the cache, while products are asked for through two nodes.</summary>
public sealed class CacheMetricsTests
{
    private const string Reads = "sluice_cache_reads_total", Bytes = "sluice_cache_bytes_total", Ages = "sluice_cache_age_seconds_count", Failures = "sluice_cache_shared_failures_total";

    // Nothing is read anew by itself while the test looks.
    private static readonly string[] KeptForLong = ["Cache:SharedAge=01:00:00", "Cache:ProcessAge=00:01:00"];

    private static readonly string[] Tiers = ["process", "shared", "sql", "version"];

    [Fact]
    public async Task Metrics_OfTheCache_SayWhichTierAnsweredHowOftenWithHowMuch()
    {
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        string[] settings = [.. KeptForLong, $"Redis:Connection={redis.Connection}"];
        await using var one = await SluiceServer.StartAsync([.. settings, "NodeId=1"], folder.Path);
        await using var other = await SluiceServer.StartAsync([.. settings, "NodeId=2", "Roles=Api"], folder.Path);
        foreach (var sku in new[] { "mug", "lamp", "chair" })
        {
            await one.ServerPutAsync($"/v1/products/{sku}", new JsonObject { ["title"] = sku, ["description"] = new string('d', 900) });
        }

        // Each change is told once more half a second later, and would have an answer read anew in the middle of the counting.
        await Eventually.TrueAsync(async () => await one.ChangesToTellAsync() == 0, "every change is told for the last time");

        Dictionary<string, double> first = await MetricsAsync(one), second = await MetricsAsync(other);
        foreach (var metrics in new[] { first, second })
        {
            Assert.All(new[] { Failures, "sluice_cache_shared_too_large_total", "sluice_cache_process_bytes" }, name => Assert.Contains(name, metrics));
            Assert.All(Tiers, tier => Assert.Contains($"{Reads}/{tier}", metrics));
            Assert.All(Tiers, tier => Assert.Contains($"{Bytes}/{tier}", metrics));
        }

        // Nobody has it; then this node, 32 times; then what nodes share; then the other node finds a version unchanged without the answer.
        var (mug, _) = await GetAsync(one, "mug");
        var (lamp, version) = await GetAsync(one, "lamp");
        for (var i = 0; i < 32; i++)
        {
            await GetAsync(one, "mug");
        }

        Assert.Equal(mug, (await GetAsync(other, "mug")).Bytes);
        Assert.Equal(0, (await GetAsync(other, "lamp", version)).Bytes);
        await MovedAsync(
            one, first, ($"{Reads}/process", 32), ($"{Reads}/sql", 2), ($"{Reads}/shared", 0), ($"{Reads}/version", 0), ($"{Bytes}/process", 32 * mug), ($"{Bytes}/sql", mug + lamp), ($"{Bytes}/shared", 0), (Ages, 2), (Failures, 0));
        await MovedAsync(
            other, second, ($"{Reads}/version", 1), ($"{Reads}/shared", 1), ($"{Reads}/process", 0), ($"{Reads}/sql", 0), ($"{Bytes}/version", 0), ($"{Bytes}/shared", mug), ($"{Bytes}/process", 0), (Ages, 0), (Failures, 0));
        var now = await MetricsAsync(one);
        Assert.InRange(now["sluice_cache_process_bytes"] - first["sluice_cache_process_bytes"], mug + lamp, 10 * (mug + lamp));

        // Now what nodes share cannot be asked.
        await redis.KillAsync();
        await GetAsync(one, "chair");
        await Eventually.TrueAsync(async () => (await MetricsAsync(one))[Failures] > now[Failures], "it is counted that what nodes share did not answer");
    }

    // What is said at a moment may be what was counted a moment before: the first one is what was counted last.
    private static async Task MovedAsync(SluiceServer node, Dictionary<string, double> before, params (string Name, double By)[] expected)
    {
        Dictionary<string, double> now = before;
        await Eventually.TrueAsync(async () => By((now = await MetricsAsync(node)), expected[0].Name) >= expected[0].By, $"{expected[0].Name} has moved");
        Assert.Equal(expected, expected.Select(one => one with { By = By(now, one.Name) }));

        double By(Dictionary<string, double> metrics, string name) => metrics.GetValueOrDefault(name) - before.GetValueOrDefault(name);
    }

    private static async Task<(long Bytes, string? Version)> GetAsync(SluiceServer node, string sku, string? version = null)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, $"/v1/products/{sku}");
        if (version is not null)
        {
            request.Headers.TryAddWithoutValidation("If-None-Match", version);
        }

        using var answer = await node.Http.SendAsync(request);
        Assert.Equal(version is null ? HttpStatusCode.OK : HttpStatusCode.NotModified, answer.StatusCode);
        return ((await answer.Content.ReadAsByteArrayAsync()).Length, answer.Headers.ETag?.ToString());
    }

    // Each by its name, and behind a slash its tier where it has one.
    private static async Task<Dictionary<string, double>> MetricsAsync(SluiceServer node) => (await node.Http.GetStringAsync("/metrics")).Split('\n')
        .Where(line => line.StartsWith("sluice_cache_", StringComparison.Ordinal) && !line.Contains("_bucket", StringComparison.Ordinal))
        .ToDictionary(
            line => line.Split('{')[0] + (line.Split("tier=\"") is [_, var tier, ..] ? $"/{tier.Split('"')[0]}" : ""),
            line => double.Parse(line.Split("} ")[1].Split(' ')[0], CultureInfo.InvariantCulture),
            StringComparer.Ordinal);
}

using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;

namespace Sluice.Operations.Publishing;

/// <summary>Tells caches in front of the shop which addresses have changed: Varnish and nginx one by one, Cloudflare thirty at a time. What was not told is told again with the next call.</summary>
public sealed class EdgePurge : IDisposable
{
    private const int AtOnce = 8, CloudflareUrlsMax = 30;

    // More than that in one go, and Cloudflare is told to forget everything.
    private const int CloudflareEverythingFrom = 3_000;

    private readonly PublishOptions options;
    private readonly HttpClient http = new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }) { Timeout = TimeSpan.FromSeconds(5) };
    private readonly List<(HttpMethod Method, string Prefix)> caches;

    // For each cache what it was not told yet. Bounded by the addresses of the site.
    private readonly Dictionary<string, HashSet<string>> waiting = new(StringComparer.Ordinal);

    public EdgePurge(PublishOptions options)
    {
        this.options = options;
        caches = [.. options.Purge.Select(target => PurgeTargetsAttribute.TryParse(target, out var method, out var prefix) ? (new HttpMethod(method), prefix) : throw new ArgumentException(target, nameof(options)))];
    }

    /// <summary>Whether somebody has not been told all.</summary>
    public bool IsWaiting => waiting.Values.Any(urls => urls.Count > 0);

    /// <summary>Tells every cache of these addresses, and of those that it was not told before.</summary>
    /// <exception cref="IOException">At least one did not take it; the others did. It waits for the next call.</exception>
    public async Task TellAsync(IReadOnlyList<string> urls, CancellationToken cancel)
    {
        var failures = new List<string>();
        foreach (var (method, prefix) in caches)
        {
            var untold = Untold(prefix, urls);
            await Parallel.ForEachAsync(untold.ToList(), new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancel }, async (url, stop) =>
            {
                var says = await AskAsync(new HttpRequestMessage(method, prefix + url), stop);
                lock (untold)
                {
                    if (says is null)
                    {
                        untold.Remove(url);
                    }
                    else
                    {
                        failures.Add($"{prefix}: {says}");
                    }
                }
            });
        }

        if (options.CloudflareZone.Length > 0)
        {
            var untold = Untold("cloudflare", urls);
            foreach (var some in untold.Count >= CloudflareEverythingFrom ? [[.. untold]] : untold.Chunk(CloudflareUrlsMax).ToList())
            {
                using var body = untold.Count >= CloudflareEverythingFrom
                    ? JsonContent.Create(new Dictionary<string, bool> { ["purge_everything"] = true })
                    : JsonContent.Create(new Dictionary<string, IEnumerable<string>> { ["files"] = some.Select(url => options.SiteUrl + url) });
                var request = new HttpRequestMessage(HttpMethod.Post, $"{options.CloudflareUrl.TrimEnd('/')}/zones/{options.CloudflareZone}/purge_cache") { Content = body };
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", options.CloudflareTokenSecret);
                if (await AskAsync(request, cancel) is { } says)
                {
                    failures.Add($"Cloudflare: {says}");
                    break;
                }

                untold.ExceptWith(some);
            }
        }

        if (failures.Count > 0)
        {
            throw new IOException($"not purged, told again: {string.Join("; ", failures.Distinct(StringComparer.Ordinal).Take(3))}");
        }
    }

    public void Dispose() => http.Dispose();

    private HashSet<string> Untold(string cache, IReadOnlyList<string> urls)
    {
        if (!waiting.TryGetValue(cache, out var untold))
        {
            waiting[cache] = untold = new HashSet<string>(StringComparer.Ordinal);
        }

        untold.UnionWith(urls);
        return untold;
    }

    // Null: done. A cache that never had the address says 404, which is as good.
    private async Task<string?> AskAsync(HttpRequestMessage request, CancellationToken cancel)
    {
        try
        {
            using (request)
            {
                using var response = await http.SendAsync(request, cancel);
                if (!response.IsSuccessStatusCode && response.StatusCode != System.Net.HttpStatusCode.NotFound)
                {
                    return $"answered {(int)response.StatusCode}";
                }

                return request.Method != HttpMethod.Post || (await response.Content.ReadFromJsonAsync<JsonElement>(cancel)).TryGetProperty("success", out var success) && success.ValueKind == JsonValueKind.True
                    ? null
                    : "did not say success";
            }
        }
        catch (Exception e) when (e is HttpRequestException or JsonException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            return e.Message;
        }
    }
}

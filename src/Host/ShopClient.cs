using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;

namespace Sluice.Host;

/// <summary>The few calls that the commands make to a running Sluice, as any server of the shop would.</summary>
internal sealed class ShopClient : IDisposable
{
    private readonly HttpClient http;

    private ShopClient(HttpClient http) => this.http = http;

    /// <exception cref="DependencyUnavailableException">The key cannot be read.</exception>
    /// <exception cref="SettingsException">The address is none.</exception>
    public static ShopClient Open(string url, string apiKeyFile)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out var address) || (address.Scheme != Uri.UriSchemeHttp && address.Scheme != Uri.UriSchemeHttps))
        {
            throw new SettingsException([$"--url: '{url}' is no address such as http://localhost:8080"]);
        }

        if (!File.Exists(apiKeyFile))
        {
            throw new DependencyUnavailableException("API key", $"{Path.GetFullPath(apiKeyFile)} does not exist. Name the server's with --api-key-file.");
        }

        var http = new HttpClient { BaseAddress = address, Timeout = TimeSpan.FromSeconds(100) };
        http.DefaultRequestHeaders.Add("X-Api-Key", File.ReadAllText(apiKeyFile).Trim());
        return new ShopClient(http);
    }

    /// <param name="key">The Idempotency-Key: sent again with it, a request has no second effect.</param>
    public async Task<JsonNode> SendAsync(HttpMethod method, string path, JsonObject? body, CancellationToken cancel, string? key = null)
    {
        try
        {
            using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : JsonContent.Create(body) };
            if (key is not null)
            {
                request.Headers.Add("Idempotency-Key", key);
            }

            using var response = await http.SendAsync(request, cancel);
            var text = await response.Content.ReadAsStringAsync(cancel);
            return response.IsSuccessStatusCode
                ? JsonNode.Parse(text)!
                : throw new DependencyUnavailableException(http.BaseAddress!.ToString(), $"{method} {path} answered {(int)response.StatusCode}: {text}");
        }
        catch (HttpRequestException e)
        {
            throw new DependencyUnavailableException(http.BaseAddress!.ToString(), e.Message, e);
        }
    }

    /// <summary>One request and its answer, whatever it is; an empty object where the body is no JSON object.</summary>
    /// <exception cref="HttpRequestException">Nobody answered.</exception>
    /// <exception cref="OperationCanceledException">Nobody answered within 100 s.</exception>
    public async Task<(int Status, TimeSpan? RetryAfter, JsonNode Body)> AskAsync(HttpMethod method, string path, JsonObject body, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(method, path) { Content = JsonContent.Create(body) };
        using var response = await http.SendAsync(request, cancel);
        var text = await response.Content.ReadAsStringAsync(cancel);
        return ((int)response.StatusCode, response.Headers.RetryAfter?.Delta, Parse(text));

        static JsonObject Parse(string text)
        {
            try
            {
                return JsonNode.Parse(text) as JsonObject ?? new JsonObject();
            }
            catch (JsonException)
            {
                return new JsonObject();
            }
        }
    }

    /// <summary>Every pool, newest first.</summary>
    public async Task<IReadOnlyList<string>> PoolIdsAsync(CancellationToken cancel)
    {
        var ids = new List<string>();
        for (string? cursor = ""; cursor is not null;)
        {
            var page = await SendAsync(HttpMethod.Get, cursor.Length == 0 ? "/v1/pools" : $"/v1/pools?cursor={cursor}", null, cancel);
            ids.AddRange(page["items"]!.AsArray().Select(item => (string)item!["id"]!));
            cursor = (string?)page["nextCursor"];
        }

        return ids;
    }

    public async Task<SignedCertificate> CertificateAsync(string poolId, CancellationToken cancel) =>
        JsonSerializer.Deserialize(await SendAsync(HttpMethod.Get, $"/v1/pools/{poolId}/certificate", null, cancel), CertificateJson.Default.SignedCertificate)!;

    public void Dispose() => http.Dispose();
}

using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Sluice.LoadTester;

/// <summary>The server cannot be reached, or does not let the load tester do its work. Nothing can be said about the promise.</summary>
internal sealed class CannotRunException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>What the shop's own server asks of Sluice: tokens, the sale, the pool, lookups. Two connections, apart from the crowd's.</summary>
internal sealed class ShopClient : IDisposable
{
    /// <summary>Tokens and lookups go in batches of this many (the contract's limit).</summary>
    public const int BatchMax = 1_000;

    private readonly HttpClient _http;

    public ShopClient(Uri url, string apiKey)
    {
        _http = new HttpClient(new SocketsHttpHandler
        {
            MaxConnectionsPerServer = 2,
            UseCookies = false,
            UseProxy = false,
            AllowAutoRedirect = false,
            ActivityHeadersPropagator = null,
            ConnectTimeout = TimeSpan.FromSeconds(5),
        })
        {
            BaseAddress = url,
            Timeout = TimeSpan.FromSeconds(15),
            MaxResponseContentBufferSize = 4 * 1024 * 1024,
        };
        _http.DefaultRequestHeaders.TryAddWithoutValidation("X-Api-Key", apiKey);
    }

    public void Dispose() => _http.Dispose();

    /// <exception cref="CannotRunException">No server, no such sale, or no right to see it.</exception>
    public Task<Sale> GetSaleAsync(string saleId, CancellationToken cancellation) =>
        NeedAsync($"GET the sale {saleId}", () => _http.GetAsync($"/v1/flash-sales/{Uri.EscapeDataString(saleId)}", cancellation),
            ShopJson.Default.Sale, cancellation);

    /// <exception cref="CannotRunException">The sale could not be opened.</exception>
    public Task<JsonElement> OpenAsync(string saleId, CancellationToken cancellation) =>
        NeedAsync($"open the sale {saleId}", () => _http.PostAsync($"/v1/flash-sales/{Uri.EscapeDataString(saleId)}/open", null, cancellation),
            ShopJson.Default.JsonElement, cancellation);

    /// <returns>One token per user, in order.</returns>
    /// <exception cref="CannotRunException">Most often: the API key is not the server's.</exception>
    public async Task<IReadOnlyList<string>> MakeTokensAsync(IReadOnlyList<string> userIds, CancellationToken cancellation)
    {
        var answer = await NeedAsync("make tokens", () => _http.PostAsJsonAsync("/v1/tokens", new TokensRequest(userIds),
            ShopJson.Default.TokensRequest, cancellation), ShopJson.Default.TokensAnswer, cancellation);
        return answer.Tokens.Count == userIds.Count
            ? answer.Tokens
            : throw new CannotRunException($"POST /v1/tokens gave {answer.Tokens.Count} tokens for {userIds.Count} users.");
    }

    /// <summary>The server's clock minus the local one, and how far that may be off (half the round trip).</summary>
    public async Task<(TimeSpan Offset, TimeSpan Uncertainty)> GetClockOffsetAsync(TimeProvider time, CancellationToken cancellation)
    {
        var sent = time.GetUtcNow();
        var answer = await NeedAsync("ask for the time", () => _http.GetAsync("/v1/time", cancellation), ShopJson.Default.ServerTime, cancellation);
        var half = (time.GetUtcNow() - sent) / 2;
        return (answer.Now - (sent + half), half);
    }

    /// <returns>Null when the server is away or refuses: the caller asks again or goes without.</returns>
    public Task<Pool?> TryGetPoolAsync(string poolId, CancellationToken cancellation) =>
        TryAsync(() => _http.GetAsync($"/v1/pools/{Uri.EscapeDataString(poolId)}", cancellation), ShopJson.Default.Pool, cancellation);

    /// <returns>The whole answer, certificate and signature; null when the server is away.</returns>
    public async Task<JsonElement?> TryGetCertificateAsync(string poolId, CancellationToken cancellation)
    {
        var answer = await TryAsync(() => _http.GetAsync($"/v1/pools/{Uri.EscapeDataString(poolId)}/certificate", cancellation),
            ShopJson.Default.JsonElement, cancellation);
        return answer.ValueKind == JsonValueKind.Object ? answer : null;
    }

    /// <returns>The claims that exist; null when the server is away.</returns>
    public Task<LookupAnswer?> TryLookupAsync(IReadOnlyList<string> claimIds, CancellationToken cancellation) =>
        TryAsync(() => _http.PostAsJsonAsync("/v1/claims/lookup", new LookupRequest(claimIds), ShopJson.Default.LookupRequest, cancellation),
            ShopJson.Default.LookupAnswer, cancellation);

    public Task<ClaimDetail?> TryGetClaimAsync(string claimId, CancellationToken cancellation) =>
        TryAsync(() => _http.GetAsync($"/v1/claims/{Uri.EscapeDataString(claimId)}", cancellation), ShopJson.Default.ClaimDetail, cancellation);

    private static async Task<T> NeedAsync<T>(string what, Func<Task<HttpResponseMessage>> send, JsonTypeInfo<T> type,
        CancellationToken cancellation)
    {
        try
        {
            using var response = await send();
            if (!response.IsSuccessStatusCode)
            {
                var body = await response.Content.ReadAsStringAsync(cancellation);
                throw new CannotRunException($"Could not {what}: the server answered {(int)response.StatusCode} {Shortened(body)}");
            }

            return await response.Content.ReadFromJsonAsync(type, cancellation)
                ?? throw new CannotRunException($"Could not {what}: the answer was empty.");
        }
        catch (HttpRequestException exception)
        {
            throw new CannotRunException($"Could not {what}: {exception.Message}", exception);
        }
        catch (JsonException exception)
        {
            throw new CannotRunException($"Could not {what}: the answer is not what docs/http-api.md describes. {exception.Message}", exception);
        }
        catch (OperationCanceledException exception) when (!cancellation.IsCancellationRequested)
        {
            throw new CannotRunException($"Could not {what}: no answer in time.", exception);
        }
    }

    private static async Task<T?> TryAsync<T>(Func<Task<HttpResponseMessage>> send, JsonTypeInfo<T> type, CancellationToken cancellation)
    {
        try
        {
            using var response = await send();
            return response.IsSuccessStatusCode ? await response.Content.ReadFromJsonAsync(type, cancellation) : default;
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException or JsonException
            || (exception is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            return default;
        }
    }

    private static string Shortened(string body)
    {
        const int CharsMax = 300;
        var line = body.ReplaceLineEndings(" ");
        return line.Length <= CharsMax ? line : line[..CharsMax] + "…";
    }
}

using System.Net;
using System.Net.Http.Headers;

namespace Sluice.LoadTester.Claims;

/// <summary>
/// One worker's way to the server: a buffer and a timeout of its own, reused from claim to claim. The server under test shares the
/// machine, so the load tester must not spend what it measures.
/// </summary>
internal sealed class ClaimConnection(HttpMessageInvoker invoker, Uri claims, TimeProvider time) : IDisposable
{
    /// <summary>Longer answers are cut: the fields that matter come in the first few hundred bytes.</summary>
    private const int BodyBytesMax = 16 * 1024;

    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);

    private readonly byte[] _body = new byte[BodyBytesMax];
    private CancellationTokenSource _timeout = new(Timeout.InfiniteTimeSpan, time);

    /// <summary>Shared by all workers: at most <paramref name="connections"/> sockets, no cookies, proxies, redirects or tracing.</summary>
    public static HttpMessageInvoker MakeInvoker(int connections) => new(new SocketsHttpHandler
    {
        MaxConnectionsPerServer = connections,
        UseCookies = false,
        UseProxy = false,
        AllowAutoRedirect = false,
        AutomaticDecompression = DecompressionMethods.None,
        ActivityHeadersPropagator = null,
        ConnectTimeout = TimeSpan.FromSeconds(5),
        PooledConnectionIdleTimeout = TimeSpan.FromMinutes(2),
    });

    /// <summary>Claims one unit (an empty body means one). Never throws for what a server or network can do.</summary>
    public async Task<ClaimAnswer> ClaimAsync(string authorization, string key)
    {
        if (!_timeout.TryReset())
        {
            _timeout.Dispose();
            _timeout = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
        }

        _timeout.CancelAfter(AnswerTimeout);
        using var request = new HttpRequestMessage(HttpMethod.Post, claims);
        request.Headers.TryAddWithoutValidation("Authorization", authorization);
        request.Headers.TryAddWithoutValidation("Idempotency-Key", key);
        try
        {
            using var response = await invoker.SendAsync(request, _timeout.Token);
            var length = await ReadBodyAsync(response.Content, _timeout.Token);
            var (claimId, code) = ClaimBody.Read(_body.AsSpan(0, length));
            return ClaimAnswer.From((int)response.StatusCode, claimId, code, RetryAfter(response.Headers.RetryAfter));
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException or OperationCanceledException)
        {
            return ClaimAnswer.None;
        }
    }

    public void Dispose() => _timeout.Dispose();

    private async Task<int> ReadBodyAsync(HttpContent content, CancellationToken cancellation)
    {
        await using var stream = await content.ReadAsStreamAsync(cancellation);
        var length = 0;
        while (length < _body.Length)
        {
            var read = await stream.ReadAsync(_body.AsMemory(length), cancellation);
            if (read == 0)
            {
                break;
            }

            length += read;
        }

        return length;
    }

    private static TimeSpan? RetryAfter(RetryConditionHeaderValue? header) => header?.Delta;
}

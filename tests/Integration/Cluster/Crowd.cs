using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Http.Headers;
using Sluice.Tests.Integration.Failure;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>
/// A crowd that goes on clicking through whatever happens: claims with a key, claims without one, and looks at the sale. It counts what got no answer, and measures the longest time in which nobody got any.
/// </summary>
internal sealed class Crowd : IDisposable
{
    /// <summary>Visitors; each waits for its answer before it clicks again.</summary>
    public const int AtOnce = 24;

    private readonly SluiceServer shop;
    private readonly Ledger ledger;
    private readonly IReadOnlyList<Buyer> keyed, unkeyed;
    private readonly Rush rush;
    private readonly HttpClient http;
    private readonly ConcurrentDictionary<string, int> failures = new(StringComparer.Ordinal);
    private readonly Lock gapLock = new();
    private long lastAnswer, lastClaim;
    private TimeSpan longestGap, longestClaimGap;
    private int nextKeyed = -1, nextUnkeyed = -1, answers;

    /// <param name="keyed">Buyers that claim with a key and may be asked again.</param>
    /// <param name="unkeyed">Buyers that claim once, without a key.</param>
    public Crowd(SluiceServer shop, Ledger ledger, IReadOnlyList<Buyer> keyed, IReadOnlyList<Buyer> unkeyed)
    {
        (this.shop, this.ledger, this.keyed, this.unkeyed) = (shop, ledger, keyed, unkeyed);
        rush = new Rush(shop, ledger, keyed);
        http = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = AtOnce, UseProxy = false }) { BaseAddress = shop.Http.BaseAddress, Timeout = TimeSpan.FromSeconds(30) };
    }

    public int Answers => answers;

    /// <summary>Requests without a good answer, by what was asked and what came.</summary>
    public IReadOnlyDictionary<string, int> Failures => failures;

    public TimeSpan LongestGap => longestGap;

    /// <summary>In which nobody got an answer to a claim; looks at the sale go on without Redis.</summary>
    public TimeSpan LongestClaimGap => longestClaimGap;

    public string Says => $"{answers} answers, {(failures.IsEmpty ? "no failure" : string.Join(", ", failures.Select(failure => $"{failure.Value} × {failure.Key}")))}, longest time without any answer {longestGap.TotalSeconds:0.00} s, without an answer to a claim {longestClaimGap.TotalSeconds:0.00} s";

    /// <summary>Clicks until told to stop.</summary>
    public Task PressAsync(CancellationToken stop)
    {
        lastAnswer = lastClaim = Stopwatch.GetTimestamp();
        return Task.WhenAll(Enumerable.Range(0, AtOnce).Select(async visitor =>
        {
            for (var click = visitor; !stop.IsCancellationRequested; click++)
            {
                var what = click % 8 == 0 ? "look" : click % 8 == 1 && Volatile.Read(ref nextUnkeyed) < unkeyed.Count - 1 ? "claim without key" : "claim with key";
                var failure = what switch
                {
                    "look" => await LookAsync(),
                    "claim without key" => await ClaimOnceAsync(),
                    _ => await ClaimAsync(),
                };
                if (failure is null)
                {
                    Answered(isClaim: what != "look");
                }
                else
                {
                    failures.AddOrUpdate($"{what}: {failure}", 1, (_, count) => count + 1);

                    // Not a wait for something: only a bound on how hard a crowd without an answer hammers.
                    await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System);
                }
            }
        }));
    }

    /// <summary>Each keyed buyer that has no answer yet asks until there is one.</summary>
    public Task SettleAsync() => rush.SettleAsync();

    public void Dispose()
    {
        rush.Dispose();
        http.Dispose();
    }

    private async Task<string?> ClaimAsync() => await rush.AskAsync(keyed[Interlocked.Increment(ref nextKeyed) % keyed.Count]) is var said and not (Said.Yours or Said.SoldOut) ? said.ToString() : null;

    private Task<string?> LookAsync() => SendAsync(new HttpRequestMessage(HttpMethod.Get, $"/v1/flash-sales/{ledger.SaleId}"), answer => answer.Status == 200);

    private Task<string?> ClaimOnceAsync()
    {
        var buyer = unkeyed[Interlocked.Increment(ref nextUnkeyed) % unkeyed.Count];
        return SendAsync(
            new HttpRequestMessage(HttpMethod.Post, $"/v1/flash-sales/{ledger.SaleId}/claims") { Headers = { Authorization = new AuthenticationHeaderValue("Bearer", buyer.Token) } },
            answer =>
            {
                if (answer.Status is 200 or 202)
                {
                    ledger.Acknowledge(answer.ClaimId, buyer.User, 1, key: null);
                }

                return answer.Status is 200 or 202 || answer.Code == "sold-out";
            });
    }

    private async Task<string?> SendAsync(HttpRequestMessage request, Func<Answer, bool> isGood)
    {
        try
        {
            using var sent = request;
            using var response = await http.SendAsync(request);
            var answer = new Answer((int)response.StatusCode, await response.Content.ReadAsStringAsync(), response.Headers.RetryAfter?.Delta);
            return isGood(answer) ? null : $"{answer.Status} {answer.Code}";
        }
        catch (Exception e) when (e is HttpRequestException or IOException or TaskCanceledException)
        {
            return e is TaskCanceledException ? "no answer in 30 s" : "connection cut";
        }
    }

    private void Answered(bool isClaim)
    {
        Interlocked.Increment(ref answers);
        lock (gapLock)
        {
            var now = Stopwatch.GetTimestamp();
            var gap = Stopwatch.GetElapsedTime(lastAnswer, now);
            longestGap = gap > longestGap ? gap : longestGap;
            lastAnswer = now;
            if (isClaim)
            {
                var claimGap = Stopwatch.GetElapsedTime(lastClaim, now);
                longestClaimGap = claimGap > longestClaimGap ? claimGap : longestClaimGap;
                lastClaim = now;
            }
        }
    }
}

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

    // Not waits for something: bounds on how hard the crowd hammers. A visitor clicks far more often than people do; without any pause the crowd would take the machine for itself, and whatever happens to the cluster would take minutes.
    private static readonly TimeSpan AfterAnAnswer = TimeSpan.FromMilliseconds(20), AfterNone = TimeSpan.FromMilliseconds(50);

    private readonly SluiceServer shop;
    private readonly Ledger ledger;
    private readonly IReadOnlyList<Buyer> keyed, unkeyed;
    private readonly Rush rush;
    private readonly HttpClient http;
    private readonly ConcurrentDictionary<string, int> failures = new(StringComparer.Ordinal);
    private readonly Lock gapLock = new();
    private long lastAnswer, lastClaim;
    private TimeSpan longestGap, longestClaimGap;
    private readonly int? newPerSecond;
    private long began;
    private int nextKeyed = -1, nextUnkeyed = -1, answers;

    /// <param name="keyed">Buyers that claim with a key and may be asked again.</param>
    /// <param name="unkeyed">Buyers that claim once, without a key.</param>
    /// <param name="newPerSecond">Buyers with a key that come new in a second, and others in the same proportion, so that new claims flow as long as there are buyers. Null: all are there at once.</param>
    public Crowd(SluiceServer shop, Ledger ledger, IReadOnlyList<Buyer> keyed, IReadOnlyList<Buyer> unkeyed, int? newPerSecond = null)
    {
        (this.shop, this.ledger, this.keyed, this.unkeyed, this.newPerSecond) = (shop, ledger, keyed, unkeyed, newPerSecond);
        rush = new Rush(shop, ledger, keyed);
        http = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = AtOnce, UseProxy = false }) { BaseAddress = shop.Http.BaseAddress, Timeout = TimeSpan.FromSeconds(30) };
    }

    public int Answers => answers;

    /// <summary>Claims that somebody was told of.</summary>
    public int Acknowledged => ledger.Count;

    /// <summary>Requests without a good answer, by what was asked and what came.</summary>
    public IReadOnlyDictionary<string, int> Failures => failures;

    public TimeSpan LongestGap => longestGap;

    /// <summary>In which nobody got an answer to a claim; looks at the sale go on without Redis.</summary>
    public TimeSpan LongestClaimGap => longestClaimGap;

    public string Says => $"{answers} answers, {(failures.IsEmpty ? "no failure" : string.Join(", ", failures.Select(failure => $"{failure.Value} × {failure.Key}")))}, longest time without any answer {longestGap.TotalSeconds:0.00} s, without an answer to a claim {longestClaimGap.TotalSeconds:0.00} s";

    /// <summary>Clicks until told to stop.</summary>
    public Task PressAsync(CancellationToken stop)
    {
        began = lastAnswer = lastClaim = Stopwatch.GetTimestamp();
        return Task.WhenAll(Enumerable.Range(0, AtOnce).Select(async visitor =>
        {
            for (var click = visitor; !stop.IsCancellationRequested; click++)
            {
                var what = click % 8 == 0 ? "look" : click % 8 == 1 && Volatile.Read(ref nextUnkeyed) < Come(unkeyed) - 1 ? "claim without key" : "claim with key";
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
                }

                await Task.Delay(failure is null ? AfterAnAnswer : AfterNone, TimeProvider.System, CancellationToken.None);
            }
        }));
    }

    /// <summary>No new buyer will come: every one of them has.</summary>
    public bool HaveAllCome => Volatile.Read(ref nextKeyed) >= keyed.Count - 1;

    /// <summary>Returns when so many more claims were acknowledged, or when there is nobody left who could make one.</summary>
    public Task AwaitNewClaimsAsync(int count)
    {
        var before = ledger.Count;
        return Eventually.TrueAsync(() => Task.FromResult(ledger.Count >= before + count || HaveAllCome), $"{count} new claims are acknowledged");
    }

    /// <summary>Each keyed buyer that has come and has no answer yet asks until there is one.</summary>
    public Task SettleAsync() => rush.SettleAsync(newPerSecond is null ? keyed.Count : nextKeyed + 1);

    public void Dispose()
    {
        rush.Dispose();
        http.Dispose();
    }

    private async Task<string?> ClaimAsync() => await rush.AskAsync(Next()) is var said and not (Said.Yours or Said.SoldOut) ? said.ToString() : null;

    // How many of some buyers have come by now.
    private int Come(IReadOnlyList<Buyer> all) =>
        newPerSecond is { } perSecond ? (int)Math.Min(all.Count, 1 + (Stopwatch.GetElapsedTime(began).TotalSeconds * perSecond * all.Count / keyed.Count)) : all.Count;

    // Whoever has come and has not asked yet; else one who asks again.
    private Buyer Next()
    {
        if (newPerSecond is null)
        {
            return keyed[Interlocked.Increment(ref nextKeyed) % keyed.Count];
        }

        var come = Come(keyed);
        while (true)
        {
            var last = Volatile.Read(ref nextKeyed);
            if (last + 1 >= come)
            {
                return keyed[Random.Shared.Next(last + 1)];
            }

            if (Interlocked.CompareExchange(ref nextKeyed, last + 1, last) == last)
            {
                return keyed[last + 1];
            }
        }
    }

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

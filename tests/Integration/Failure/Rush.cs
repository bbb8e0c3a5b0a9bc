using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Http.Headers;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>Who buys: one user with a token.</summary>
internal sealed record Buyer(string User, string Token);

/// <summary>
/// A crowd that wants one unit each, several hundred at once, each with one idempotency key. It keeps clicking as long as the rush lasts: the same buyer, the same key, the same
/// claim. A buyer without an answer (the server died, or said 503) asks again with the same key until there is one.
/// </summary>
internal sealed class Rush : IDisposable
{
    private const int AtOnce = 300, TriesMax = 600;

    // What nginx says of itself (deploy/nginx/sluice.conf).
    private const string NoNode = "No node of this shop could answer.";

    // Not a wait for something: only a bound on how hard a crowd without an answer hammers.
    private static readonly TimeSpan ComeBack = TimeSpan.FromMilliseconds(100);

    private readonly HttpClient http;
    private readonly IReadOnlyList<Buyer> buyers;
    private readonly Ledger ledger;
    private readonly ConcurrentDictionary<string, bool> answered = new(StringComparer.Ordinal);
    private int next = -1;
    private int unavailable;
    private int yours;
    private long lastYours;
    private long longestSilence;

    public Rush(SluiceServer server, Ledger ledger, IReadOnlyList<Buyer> buyers)
    {
        (this.ledger, this.buyers) = (ledger, buyers);
        http = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = AtOnce, UseProxy = false })
        {
            BaseAddress = server.Http.BaseAddress,
            Timeout = TimeSpan.FromSeconds(30),
        };
    }

    /// <summary>How often a buyer was told 503 with a time to come back.</summary>
    public int Unavailable => unavailable;

    /// <summary>How often a buyer was told of a claim.</summary>
    public int Yours => yours;

    /// <summary>The longest time in which nobody was told of a claim, from the first one on.</summary>
    public TimeSpan LongestSilence => Stopwatch.GetElapsedTime(0, longestSilence);

    /// <summary>Buyers that were told how it ended for them.</summary>
    public int Answered => answered.Count;

    public static async Task<IReadOnlyList<Buyer>> BuyersAsync(SluiceServer server, int count, string name = "u")
    {
        var users = Enumerable.Range(0, count).Select(i => $"{name}-{i}").ToList();
        return [.. users.Zip(await server.TokensAsync(users), (user, token) => new Buyer(user, token))];
    }

    /// <summary>Everybody clicks, and clicks again, until <paramref name="stop"/>, or until the server is gone.</summary>
    public Task PressAsync(CancellationToken stop) => Task.WhenAll(Enumerable.Range(0, AtOnce).Select(async _ =>
    {
        while (!stop.IsCancellationRequested && await AskAsync(buyers[Interlocked.Increment(ref next) % buyers.Count]) is not Said.Nothing and var said)
        {
            if (said is Said.Unavailable or Said.NoNode)
            {
                await Task.Delay(ComeBack, TimeProvider.System, CancellationToken.None);
            }
        }
    }));

    /// <summary>Everybody clicks once.</summary>
    public Task PressOnceAsync() => EachAsync(buyers, AskAsync);

    /// <summary>Each buyer without an answer asks until there is one.</summary>
    /// <param name="first">Only so many of them have come.</param>
    public Task SettleAsync(int first = int.MaxValue) => EachAsync([.. buyers.Take(first).Where(buyer => !answered.ContainsKey(buyer.User))], async buyer =>
    {
        var said = Said.Nothing;
        for (var tries = 0; tries < TriesMax && said is Said.Nothing or Said.Unavailable or Said.NoNode; tries++)
        {
            said = await AskAsync(buyer);
            if (said is Said.Nothing or Said.Unavailable or Said.NoNode)
            {
                await Task.Delay(ComeBack, TimeProvider.System);
            }
        }

        if (said is Said.Nothing or Said.Unavailable or Said.NoNode)
        {
            ledger.Fault($"{buyer.User} asked {TriesMax} times and was told nothing");
        }

        return said;
    });

    /// <summary>One click.</summary>
    public async Task<Said> AskAsync(Buyer buyer)
    {
        var key = $"drill-{ledger.SaleId}-{buyer.User}";
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/v1/flash-sales/{ledger.SaleId}/claims");
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", buyer.Token);
        request.Headers.Add("Idempotency-Key", key);
        Answer answer;
        try
        {
            using var response = await http.SendAsync(request);
            answer = new Answer((int)response.StatusCode, await response.Content.ReadAsStringAsync(), response.Headers.RetryAfter?.Delta);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or System.Net.Sockets.SocketException)
        {
            return Said.Nothing;
        }
        catch (TaskCanceledException)
        {
            ledger.Fault($"{buyer.User} waited 30 s for an answer");
            return Said.Nothing;
        }

        return Read(buyer, key, answer);
    }

    public void Dispose() => http.Dispose();

    private Said Read(Buyer buyer, string key, Answer answer)
    {
        switch (answer)
        {
            case { Status: 200 or 201 or 202 }:
                ledger.Acknowledge(answer.ClaimId, buyer.User, 1, key);
                answered[buyer.User] = true;
                Interlocked.Increment(ref yours);
                NoteYours();
                return Said.Yours;
            case { Status: 409, Code: "sold-out" }:
                answered.TryAdd(buyer.User, false);
                return Said.SoldOut;
            case { Status: 503, RetryAfter: not null, Code: "unavailable" } when answer.Text.Contains(NoNode, StringComparison.Ordinal):
                Interlocked.Increment(ref unavailable);
                return Said.NoNode;
            case { Status: 503, RetryAfter: not null, Code: "unavailable" or "queue-full" or "overloaded" }:
                Interlocked.Increment(ref unavailable);
                return Said.Unavailable;
            default:
                ledger.Fault($"{buyer.User} was told {answer.Status} {answer.Text} (Retry-After: {answer.RetryAfter})");
                return Said.Other;
        }
    }

    private void NoteYours()
    {
        var now = Stopwatch.GetTimestamp();
        var last = Interlocked.Exchange(ref lastYours, now);
        for (var longest = Volatile.Read(ref longestSilence); last != 0 && now - last > longest; longest = Volatile.Read(ref longestSilence))
        {
            Interlocked.CompareExchange(ref longestSilence, now - last, longest);
        }
    }

    private static Task EachAsync(IReadOnlyList<Buyer> who, Func<Buyer, Task<Said>> ask)
    {
        var at = -1;
        return Task.WhenAll(Enumerable.Range(0, Math.Min(AtOnce, who.Count)).Select(async _ =>
        {
            for (var i = Interlocked.Increment(ref at); i < who.Count; i = Interlocked.Increment(ref at))
            {
                await ask(who[i]);
            }
        }));
    }
}

/// <summary>What a click was answered.</summary>
internal enum Said
{
    /// <summary>No answer: the server is gone. The claim may have been taken.</summary>
    Nothing,
    Yours,
    SoldOut,

    /// <summary>503 of a node, with a time to come back; the claim may have been taken.</summary>
    Unavailable,

    /// <summary>The same of nginx: no node gave it an answer.</summary>
    NoNode,
    Other,
}

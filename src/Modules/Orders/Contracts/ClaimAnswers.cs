using System.Globalization;
using System.Text.Unicode;
using Microsoft.AspNetCore.Http;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.Orders.Contracts;

/// <summary>Step 6 of a claim's way (Platform/Pools/README.md): tells the buyer what became of it. The same for everything that is claimed.</summary>
/// <remarks>No async method for those who are refused at once: the crowd that came too late is the largest part of a sale.</remarks>
internal sealed class ClaimAnswers(ClaimWaiters waiters, ClaimViews views)
{
    /// <summary>Every unit is taken.</summary>
    public static readonly Problem NothingLeft = SoldOut(leftUnits: 0);

    private static readonly Problem
        NotOpen = new(409, "not-open", "Not open yet", "It has not begun. Ask again at the opening.") { RetryAfter = TimeSpan.FromSeconds(1) },
        Closed = new(409, "closed", "Closed", "It is over."),
        Paused = new(409, "paused", "Paused", "The shop has paused it. Ask again in a moment.") { RetryAfter = TimeSpan.FromSeconds(2) },
        KeyReused = new(
            422, "idempotency-key-reused", "Key used before", "This Idempotency-Key was used for another number of units. Make a new key for each new request.");

    private const int WaitSecondsMax = 20;

    /// <summary>Writes the answer.</summary>
    /// <param name="where">What the claim's address ends in beside its id: empty, or <c>?pool=…</c> where the pool is not among the newest of its kind.</param>
    public Task TellAsync(ClaimAnswer answer, long poolId, string user, int units, string where, HttpContext context) => answer.Outcome switch
    {
        ClaimOutcome.Accepted => TellAcceptedAsync(answer.ClaimIds[0], user, where, context),
        ClaimOutcome.AlreadyClaimed => TellAgainAsync(answer, poolId, user, units, where, context),
        ClaimOutcome.KeyReused => KeyReused.ExecuteAsync(context),
        ClaimOutcome.LimitReached => LimitReached(answer.ClaimIds).ExecuteAsync(context),
        ClaimOutcome.SoldOut => (answer.LeftUnits == 0 ? NothingLeft : SoldOut(answer.LeftUnits)).ExecuteAsync(context),
        ClaimOutcome.NotOpen => NotOpen.ExecuteAsync(context),
        ClaimOutcome.Closed => Closed.ExecuteAsync(context),
        ClaimOutcome.Paused => Paused.ExecuteAsync(context),
    };

    /// <summary>Not taken on: too many at once. Not all of them come back at the same moment.</summary>
    public static Problem Overloaded() => new(503, "overloaded", "Too many at once", "Nothing was accepted. Ask again in a moment; with the same Idempotency-Key if you sent one.")
    {
        RetryAfter = TimeSpan.FromSeconds(Random.Shared.Next(1, 4)),
    };

    /// <summary>This user asks faster than anybody can click.</summary>
    public static Problem TooFast(TimeSpan wait) => new(429, "rate-limited", "Too fast", "You are asking faster than anybody can click. Wait a moment.") { RetryAfter = wait };

    private Task TellAcceptedAsync(long claimId, string user, string where, HttpContext context)
    {
        if (WaitOf(context.Request) is not { } patience)
        {
            WriteHeld(context.Response, claimId, where);
            return Task.CompletedTask;
        }

        return TellWhenWrittenAsync();

        async Task TellWhenWrittenAsync()
        {
            switch (await waiters.WaitAsync(claimId, patience, context.RequestAborted))
            {
                case null:
                    WriteHeld(context.Response, claimId, where);
                    break;
                case ClaimState.Rejected:
                    await Rejected(claimId).ExecuteAsync(context);
                    break;
                case ClaimState.Confirmed or ClaimState.Released:
                    context.Response.Headers.Location = $"/v1/claims/{claimId}{where}";
                    await Results.Json((await views.FindAsync(claimId, user))!, OrdersJson.Default.ClaimView, statusCode: 201).ExecuteAsync(context);
                    break;
            }
        }
    }

    private async Task TellAgainAsync(ClaimAnswer answer, long poolId, string user, int units, string where, HttpContext context)
    {
        // This thread still has others of the same batch to answer; they do not wait for what SQL says about this one.
        await Task.Yield();
        var claimId = answer.ClaimIds[0];
        var view = await views.FindAsync(claimId, user, poolId);
        if (view?.State == PoolRoutes.StateName(ClaimState.Rejected))
        {
            await Rejected(claimId).ExecuteAsync(context);
            return;
        }

        context.Response.Headers.Location = $"/v1/claims/{claimId}{where}";
        view ??= new ClaimView(Names.Id(claimId), Names.Id(poolId), units, answer.IsReleased ? "released" : "held", null, null);
        await Results.Json(view, OrdersJson.Default.ClaimView).ExecuteAsync(context);
    }

    private static Problem LimitReached(IReadOnlyList<long> claimIds) => new(
        409, "limit-reached", "You have your share", "Everybody gets so many units of it, and this would be more. Your claims are listed.")
    {
        More = new Dictionary<string, object>(StringComparer.Ordinal) { ["claimIds"] = claimIds.Select(Names.Id).ToList() },
    };

    private static Problem SoldOut(long leftUnits) => new(
        409, "sold-out", "Sold out", leftUnits == 0 ? "Every unit is taken. Units of unpaid orders can come back." : "Fewer units are left than you asked for.")
    {
        RetryAfter = TimeSpan.FromSeconds(5),
        More = new Dictionary<string, object>(StringComparer.Ordinal) { ["leftUnits"] = leftUnits },
    };

    // It was accepted, and the promise could not be kept: Redis had lost what it knew. Rare enough for an alert, and never told as a success.
    private static Problem Rejected(long claimId) => new(
        409, "claim-rejected", "Could not be kept", "This claim was accepted, but there was no unit left for it when it was written. Nothing came of it.")
    {
        More = new Dictionary<string, object>(StringComparer.Ordinal) { ["claimId"] = Names.Id(claimId) },
    };

    // RFC 7240: "wait=5", perhaps among other preferences. Anything else is no preference.
    private static TimeSpan? WaitOf(HttpRequest request)
    {
        var prefer = request.Headers["Prefer"];
        if (prefer.Count != 1 || prefer[0] is not { Length: <= 200 } text)
        {
            return null;
        }

        foreach (var part in text.Split([',', ';']))
        {
            if (part.AsSpan().Trim() is var preference && preference.StartsWith("wait=", StringComparison.OrdinalIgnoreCase) &&
                int.TryParse(preference[5..], NumberStyles.None, CultureInfo.InvariantCulture, out var seconds) && seconds > 0)
            {
                return TimeSpan.FromSeconds(Math.Min(seconds, WaitSecondsMax));
            }
        }

        return null;
    }

    // 202 with its small body, written without a serializer.
    private static void WriteHeld(HttpResponse response, long claimId, string where)
    {
        response.StatusCode = 202;
        response.Headers.Location = string.Create(CultureInfo.InvariantCulture, $"/v1/claims/{claimId}{where}");
        response.ContentType = "application/json; charset=utf-8";
        var body = response.BodyWriter.GetSpan(96);
        Utf8.TryWrite(body, CultureInfo.InvariantCulture, $"{{\"claimId\":\"{claimId}\",\"state\":\"held\"}}", out var written);
        response.ContentLength = written;
        response.BodyWriter.Advance(written);
    }
}

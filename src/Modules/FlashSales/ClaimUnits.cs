using System.Buffers;
using System.Globalization;
using System.Text.Json;
using System.Text.Unicode;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Admission;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.FlashSales;

public sealed record ClaimRequest(int? Units);

/// <summary>
/// <c>POST /v1/flash-sales/{id}/claims</c>: somebody wants to buy. The hottest route: no lock, no SQL, at most one Redis round trip, shared with everybody who asks at the same time.
/// The claim's way is numbered in Platform/Pools/README.md.
/// </summary>
internal sealed class ClaimUnits(PoolClaims claims, ClaimWaiters waiters, ClaimViews views, RateLimits limits, ClaimsAtOnce atOnce)
{
    private static readonly Problem
        NothingLeft = SoldOut(leftUnits: 0),
        NotOpen = new(409, "not-open", "Not open yet", "The sale has not begun. Its page counts down to the opening.") { RetryAfter = TimeSpan.FromSeconds(1) },
        Closed = new(409, "closed", "Closed", "This sale is over."),
        Paused = new(409, "paused", "Paused", "The shop has paused this sale. Ask again in a moment.") { RetryAfter = TimeSpan.FromSeconds(2) },
        KeyReused = new(
            422, "idempotency-key-reused", "Key used before", "This Idempotency-Key was used for another number of units. Make a new key for each new request.");

    private const int UnitsMax = 1_000, BodyBytesMax = 1_024, WaitSecondsMax = 20;

    // Made once with what it needs: services in the handler's own parameters would cost a scope for each request.
    public static void Map(IEndpointRouteBuilder routes) => routes
        .MapPost("/v1/flash-sales/{id}/claims", ActivatorUtilities.CreateInstance<ClaimUnits>(routes.ServiceProvider).HandleAsync).For(AccessRule.User)
        .WithMetadata(new BodyLimit(BodyBytesMax), new RequestBody(typeof(ClaimRequest), IsRequired: false))
        .WithTags("Claims").WithSummary("Claim units of a sale").DescribeClaims();

    // No async method for those who are refused at once: the crowd that came too late is the largest part of a sale.
    private Task HandleAsync(string id, HttpContext context)
    {
        var user = context.UserId();
        if (!Names.TryId(id, out var saleId))
        {
            return Problem.NotFound("flash sale").ExecuteAsync(context);
        }

        var admission = limits.Claims.CheckAsync(user);
        return admission.IsCompletedSuccessfully ? AdmitAsync(admission.Result, saleId, user, context) : WhenAdmittedAsync(admission, saleId, user, context);
    }

    private async Task WhenAdmittedAsync(ValueTask<TimeSpan?> admission, long saleId, string user, HttpContext context) => await AdmitAsync(await admission, saleId, user, context);

    private Task AdmitAsync(TimeSpan? wait, long saleId, string user, HttpContext context)
    {
        if (wait is { } tooSoon)
        {
            return new Problem(429, "rate-limited", "Too fast", "You are asking faster than anybody can click. Wait a moment.") { RetryAfter = tooSoon }.ExecuteAsync(context);
        }

        // Step 1: who came too late is answered before the body is read.
        return claims.IsSoldOutFor(saleId, user) ? NothingLeft.ExecuteAsync(context) : ClaimAsync(saleId, user, context);
    }

    private async Task ClaimAsync(long saleId, string user, HttpContext context)
    {
        var key = Idempotency.KeyOf(context.Request);
        if (await ReadUnitsAsync(context.Request) is not { } units)
        {
            await Problem.Invalid($"Send {{\"units\":1}} (1 to {UnitsMax}), or no body for one unit.").ExecuteAsync(context);
            return;
        }

        // Too many are waiting already: better told now than kept.
        if (!atOnce.TryEnter(out var entered))
        {
            await Overloaded().ExecuteAsync(context);
            return;
        }

        // Steps 2 to 5.
        ClaimAnswer? answered;
        try
        {
            answered = await claims.ClaimAsync(saleId, FlashSale.Kind, user, units, key);
        }
        finally
        {
            atOnce.Leave(entered);
        }

        if (answered is not { } answer)
        {
            await Problem.NotFound("flash sale").ExecuteAsync(context);
            return;
        }

        // Step 6: tell.
        await (answer.Outcome switch
        {
            ClaimOutcome.Accepted => TellAcceptedAsync(answer.ClaimIds[0], user, context),
            ClaimOutcome.AlreadyClaimed => TellAgainAsync(answer, saleId, user, units, context),
            ClaimOutcome.KeyReused => KeyReused.ExecuteAsync(context),
            ClaimOutcome.LimitReached => LimitReached(answer.ClaimIds).ExecuteAsync(context),
            ClaimOutcome.SoldOut => (answer.LeftUnits == 0 ? NothingLeft : SoldOut(answer.LeftUnits)).ExecuteAsync(context),
            ClaimOutcome.NotOpen => NotOpen.ExecuteAsync(context),
            ClaimOutcome.Closed => Closed.ExecuteAsync(context),
            ClaimOutcome.Paused => Paused.ExecuteAsync(context),
        });
    }

    private Task TellAcceptedAsync(long claimId, string user, HttpContext context)
    {
        if (WaitOf(context.Request) is not { } patience)
        {
            WriteHeld(context.Response, claimId);
            return Task.CompletedTask;
        }

        return TellWhenWrittenAsync();

        async Task TellWhenWrittenAsync()
        {
            switch (await waiters.WaitAsync(claimId, patience, context.RequestAborted))
            {
                case null:
                    WriteHeld(context.Response, claimId);
                    break;
                case ClaimState.Rejected:
                    await Rejected(claimId).ExecuteAsync(context);
                    break;
                case ClaimState.Confirmed or ClaimState.Released:
                    context.Response.Headers.Location = $"/v1/claims/{claimId}";
                    await Results.Json((await views.FindAsync(claimId, user))!, FlashSalesJson.Default.ClaimView, statusCode: 201).ExecuteAsync(context);
                    break;
            }
        }
    }

    private async Task TellAgainAsync(ClaimAnswer answer, long saleId, string user, int units, HttpContext context)
    {
        // This thread still has others of the same batch to answer; they do not wait for what SQL says about this one.
        await Task.Yield();
        var claimId = answer.ClaimIds[0];
        var view = await views.FindAsync(claimId, user);
        if (view?.State == PoolRoutes.StateName(ClaimState.Rejected))
        {
            await Rejected(claimId).ExecuteAsync(context);
            return;
        }

        context.Response.Headers.Location = $"/v1/claims/{claimId}";
        view ??= new ClaimView(Names.Id(claimId), Names.Id(saleId), units, answer.IsReleased ? "released" : "held", null, null);
        await Results.Json(view, FlashSalesJson.Default.ClaimView).ExecuteAsync(context);
    }

    // Not all at the same moment again.
    private static Problem Overloaded() => new(503, "overloaded", "Too many at once", "Nothing was accepted. Ask again in a moment; with the same Idempotency-Key if you sent one.")
    {
        RetryAfter = TimeSpan.FromSeconds(Random.Shared.Next(1, 4)),
    };

    private static Problem LimitReached(IReadOnlyList<long> claimIds) => new(
        409, "limit-reached", "You have your share", "This sale gives each buyer so many units, and this would be more. Your claims are listed.")
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
        409, "claim-rejected", "Could not be kept", "This claim was accepted, but there was no unit left for it when it was written. Nothing was ordered.")
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

    // Null when the body is not what it must be.
    private static async ValueTask<int?> ReadUnitsAsync(HttpRequest request)
    {
        if (request.ContentLength is 0 || (request.ContentLength is null && request.Headers.TransferEncoding.Count == 0))
        {
            return 1;
        }

        if (!request.HasJsonContentType())
        {
            throw new ProblemException(Problem.NotJson);
        }

        var reader = request.BodyReader;
        while (true)
        {
            var read = await reader.ReadAsync(request.HttpContext.RequestAborted);
            if (read.IsCompleted)
            {
                try
                {
                    return Parse(read.Buffer);
                }
                finally
                {
                    // Also when it is no JSON: a reader that is left in the middle makes Kestrel log an error for each such request.
                    reader.AdvanceTo(read.Buffer.End);
                }
            }

            // Kestrel ends the request at BodyBytesMax, so the loop is bounded.
            reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
    }

    // By hand, because a serializer costs a twentieth of a claim: an object with at most one member, "units", null or 1 to UnitsMax.
    private static int? Parse(in ReadOnlySequence<byte> body)
    {
        var json = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = 2 });
        if (!json.Read() || json.TokenType != JsonTokenType.StartObject || !json.Read())
        {
            return null;
        }

        var units = 1;
        if (json.TokenType == JsonTokenType.PropertyName)
        {
            if (json.ValueIsEscaped || !json.ValueTextEquals("units"u8) || !json.Read() ||
                !(json.TokenType == JsonTokenType.Null || (json.TokenType == JsonTokenType.Number && json.TryGetInt32(out units) && units is >= 1 and <= UnitsMax)) ||
                !json.Read())
            {
                return null;
            }
        }

        return json.TokenType == JsonTokenType.EndObject && !json.Read() ? units : null;
    }

    // 202 with its small body, written without a serializer.
    private static void WriteHeld(HttpResponse response, long claimId)
    {
        response.StatusCode = 202;
        response.Headers.Location = string.Create(CultureInfo.InvariantCulture, $"/v1/claims/{claimId}");
        response.ContentType = "application/json; charset=utf-8";
        var body = response.BodyWriter.GetSpan(96);
        Utf8.TryWrite(body, CultureInfo.InvariantCulture, $"{{\"claimId\":\"{claimId}\",\"state\":\"held\"}}", out var written);
        response.ContentLength = written;
        response.BodyWriter.Advance(written);
    }
}

using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Admission;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.FlashSales;

public sealed record ClaimRequest(int? Units);

/// <summary>
/// <c>POST /v1/flash-sales/{id}/claims</c>: somebody wants to buy. The hottest route: no lock, no SQL, at most one Redis round trip, shared with everybody who asks at the same time.
/// The claim's way is numbered in Platform/Pools/README.md.
/// </summary>
internal static class ClaimUnits
{
    private static readonly Problem NothingLeft = SoldOut(leftUnits: 0);

    private const int UnitsMax = 1_000, BodyBytesMax = 1_024, WaitSecondsMax = 20;

    public static void Map(IEndpointRouteBuilder routes) => routes.MapPost("/v1/flash-sales/{id}/claims", HandleAsync).For(AccessRule.User)
        .WithMetadata(new BodyLimit(BodyBytesMax), new RequestBody(typeof(ClaimRequest), IsRequired: false))
        .WithTags("Claims").WithSummary("Claim units of a sale").Produces<ClaimView>(202).Produces<ClaimView>(201).Produces<ClaimView>(200);

    private static async Task<IResult> HandleAsync(string id, HttpContext context, PoolClaims claims, ClaimWaiters waiters, ClaimViews views, UserRateLimit rateLimit)
    {
        var user = context.UserId();
        if (!Names.TryId(id, out var saleId))
        {
            return Problem.NotFound("flash sale");
        }

        if (rateLimit.Check(user) is { } wait)
        {
            return new Problem(429, "rate-limited", "Too fast", "You are asking faster than anybody can click. Wait a moment.") { RetryAfter = wait };
        }

        // Step 1: a crowd that came too late is answered before its body is read.
        if (claims.IsSoldOutFor(saleId, user))
        {
            return NothingLeft;
        }

        var key = Idempotency.KeyOf(context.Request);
        if (await ReadUnitsAsync(context.Request) is not { } units)
        {
            return Problem.Invalid($"Send {{\"units\":1}} (1 to {UnitsMax}), or no body for one unit.");
        }

        // Steps 2 to 5.
        if (await claims.ClaimAsync(saleId, FlashSale.Kind, user, units, key) is not { } answer)
        {
            return Problem.NotFound("flash sale");
        }

        // Step 6: tell.
        switch (answer.Outcome)
        {
            case ClaimOutcome.Accepted:
                var claimId = answer.ClaimIds[0];
                if (WaitOf(context.Request) is { } patience && await waiters.WaitAsync(claimId, patience, context.RequestAborted) is { } state)
                {
                    if (state == ClaimState.Rejected)
                    {
                        return Rejected(claimId);
                    }

                    context.Response.Headers.Location = $"/v1/claims/{claimId}";
                    return Results.Json((await views.FindAsync(claimId, user))!, FlashSalesJson.Default.ClaimView, statusCode: 201);
                }

                return new Held(claimId);
            case ClaimOutcome.AlreadyClaimed:
                var view = await views.FindAsync(answer.ClaimIds[0], user);
                if (view?.State == PoolRoutes.StateName(ClaimState.Rejected))
                {
                    return Rejected(answer.ClaimIds[0]);
                }

                context.Response.Headers.Location = $"/v1/claims/{answer.ClaimIds[0]}";
                return Results.Json(
                    view ?? new ClaimView(Names.Id(answer.ClaimIds[0]), id, units, answer.IsReleased ? "released" : "held", null, null),
                    FlashSalesJson.Default.ClaimView);
            case ClaimOutcome.KeyReused:
                return new Problem(422, "idempotency-key-reused", "Key used before", "This Idempotency-Key was used for another number of units. Make a new key for each new request.");
            case ClaimOutcome.LimitReached:
                return new Problem(409, "limit-reached", "You have your share", "This sale gives each buyer so many units, and this would be more. Your claims are listed.")
                {
                    More = new Dictionary<string, object>(StringComparer.Ordinal) { ["claimIds"] = answer.ClaimIds.Select(Names.Id).ToList() },
                };
            case ClaimOutcome.SoldOut:
                return answer.LeftUnits == 0 ? NothingLeft : SoldOut(answer.LeftUnits);
            case ClaimOutcome.NotOpen:
                return new Problem(409, "not-open", "Not open yet", "The sale has not begun. Its page counts down to the opening.") { RetryAfter = TimeSpan.FromSeconds(1) };
            case ClaimOutcome.Closed:
                return new Problem(409, "closed", "Closed", "This sale is over.");
            case ClaimOutcome.Paused:
                return new Problem(409, "paused", "Paused", "The shop has paused this sale. Ask again in a moment.") { RetryAfter = TimeSpan.FromSeconds(2) };
            default:
                throw new InvalidOperationException($"No answer for {answer.Outcome}.");
        }
    }

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

    private static int? Parse(in ReadOnlySequence<byte> body)
    {
        var json = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = 2 });
        var request = JsonSerializer.Deserialize(ref json, FlashSalesJson.Default.ClaimRequest);
        if (json.Read())
        {
            return null;
        }

        return request is { Units: null or (>= 1 and <= UnitsMax) } ? request.Units ?? 1 : null;
    }

    /// <summary>202 with its small body, written without a serializer.</summary>
    private sealed class Held(long claimId) : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext)
        {
            var response = httpContext.Response;
            var id = Names.Id(claimId);
            response.StatusCode = 202;
            response.Headers.Location = "/v1/claims/" + id;
            response.ContentType = "application/json; charset=utf-8";
            var body = response.BodyWriter.GetSpan(96);
            var written = 0;
            Append("{\"claimId\":\""u8, body, ref written);
            claimId.TryFormat(body[written..], out var digits, default, CultureInfo.InvariantCulture);
            written += digits;
            Append("\",\"state\":\"held\"}"u8, body, ref written);
            response.ContentLength = written;
            response.BodyWriter.Advance(written);
            return Task.CompletedTask;
        }

        private static void Append(ReadOnlySpan<byte> text, Span<byte> to, ref int written)
        {
            text.CopyTo(to[written..]);
            written += text.Length;
        }
    }
}

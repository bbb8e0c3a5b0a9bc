using System.Buffers;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Admission;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.FlashSales;

public sealed record ClaimRequest(int? Units);

/// <summary>
/// <c>POST /v1/flash-sales/{id}/claims</c>: somebody wants to buy. The hottest route: no lock, no SQL, at most one Redis round trip, shared with everybody who asks at the same time.
/// The claim's way is numbered in Platform/Pools/README.md.
/// </summary>
internal sealed class ClaimUnits(PoolClaims claims, ClaimAnswers answers, RateLimits limits, ClaimsAtOnce atOnce)
{
    private const int UnitsMax = 1_000, BodyBytesMax = 1_024;

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
            return ClaimAnswers.TooFast(tooSoon).ExecuteAsync(context);
        }

        // Step 1: who came too late is answered before the body is read.
        return claims.IsSoldOutFor(saleId, user) ? ClaimAnswers.NothingLeft.ExecuteAsync(context) : ClaimAsync(saleId, user, context);
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
            await ClaimAnswers.Overloaded().ExecuteAsync(context);
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
        await answers.TellAsync(answer, saleId, user, units, where: "", context);
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
}

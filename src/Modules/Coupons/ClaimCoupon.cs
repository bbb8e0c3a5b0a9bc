using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Admission;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.Coupons;

/// <summary><c>POST /v1/coupon-templates/{id}/claims</c>: somebody wants a coupon. The way of a sale's claim (Platform/Pools/README.md), of one unit; no lock, no SQL, at most one Redis round trip.</summary>
internal sealed class ClaimCoupon(PoolClaims claims, ClaimAnswers answers, RateLimits limits, ClaimsAtOnce atOnce)
{
    public static void Map(IEndpointRouteBuilder routes) => routes
        .MapPost("/v1/coupon-templates/{id}/claims", (string id, HttpContext context, ClaimCoupon claim) => claim.HandleAsync(id, context)).For(AccessRule.User)
        .WithTags("Coupons").WithSummary("Get a coupon")
        .WithDescription("Ask again with the same Idempotency-Key after a broken connection or a 503: it is the same claim. The claim becomes a coupon with the claim's id, and no order.")
        .TakesIdempotencyKey()
        .TakesHeader("Prefer", "wait=1 to wait=20: answer 201 when the coupon is written, if that is within so many seconds, else 202.", "wait=5")
        .Produces<HeldClaim>(202).Produces<ClaimView>(201).Produces<ClaimView>(200)
        .TellsWhere(202, "The claim.").TellsWhere(201, "The claim.").TellsWhere(200, "The claim.")
        .Refuses(404, "not-found").Refuses(409, "sold-out", "not-open", "paused", "closed", "limit-reached", "claim-rejected")
        .Refuses(429, "rate-limited").Refuses(503, "queue-full", "overloaded")
        .WithExample(202, "held", """{"claimId":"236126107336710912","state":"held"}""");

    private async Task HandleAsync(string id, HttpContext context)
    {
        var user = context.UserId();
        if (!Names.TryId(id, out var templateId))
        {
            await Problem.NotFound("coupon template").ExecuteAsync(context);
            return;
        }

        if (await limits.Claims.CheckAsync(user) is { } tooSoon)
        {
            await ClaimAnswers.TooFast(tooSoon).ExecuteAsync(context);
            return;
        }

        if (claims.IsSoldOutFor(templateId, user))
        {
            await ClaimAnswers.NothingLeft.ExecuteAsync(context);
            return;
        }

        var key = Idempotency.KeyOf(context.Request);
        if (!atOnce.TryEnter(out var entered))
        {
            await ClaimAnswers.Overloaded().ExecuteAsync(context);
            return;
        }

        ClaimAnswer? answered;
        try
        {
            answered = await claims.ClaimAsync(templateId, CouponTemplate.Kind, user, units: 1, key);
        }
        finally
        {
            atOnce.Leave(entered);
        }

        await (answered is { } answer ? answers.TellAsync(answer, templateId, user, units: 1, $"?pool={templateId}", context) : Problem.NotFound("coupon template").ExecuteAsync(context));
    }
}

using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.Coupons;

/// <summary><c>POST /v1/coupon-templates/{id}/open | pause | close</c>: the operator's hands. SQL first, then Redis. Coupons that somebody has stay good whatever becomes of their template.</summary>
internal static class OperateCouponTemplate
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        Describe(routes.MapPost("/v1/coupon-templates/{id}/open", (string id, PoolStore pools, TemplateBoard board) => TurnAsync(id, Gate.Open, pools, board)), "Open now, or go on after a pause");
        Describe(routes.MapPost("/v1/coupon-templates/{id}/pause", (string id, PoolStore pools, TemplateBoard board) => TurnAsync(id, Gate.Paused, pools, board)), "Pause; claims are answered 409 'paused'");
        Describe(routes.MapPost("/v1/coupon-templates/{id}/close", (string id, PoolStore pools, TemplateBoard board) => TurnAsync(id, Gate.Closed, pools, board)), "Close for good: nobody gets one any more");

        static void Describe(RouteHandlerBuilder route, string summary) => route.For(AccessRule.Server).WithTags("Coupons").WithSummary(summary).Produces<CouponTemplateView>().Refuses(409, "closed");
    }

    private static async Task<IResult> TurnAsync(string id, Gate gate, PoolStore pools, TemplateBoard board)
    {
        if (!Names.TryId(id, out var templateId) || await board.FindAsync(templateId) is null)
        {
            return Problem.NotFound("coupon template");
        }

        if (!await pools.TurnGateAsync(templateId, gate))
        {
            return new Problem(409, "closed", "Closed", "This template is closed for good. Make a new one.");
        }

        await pools.ApplyAsync(templateId);
        board.Invalidate();
        return Results.Json((await board.FindAsync(templateId))!.View, CouponsJson.Default.CouponTemplateView);
    }
}

using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Modules.Coupons.Contracts;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Coupons;

/// <summary><c>GET /v1/coupons</c>: the caller's own, newest first; the cursor is the last id seen.</summary>
internal static class GetCoupons
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/v1/coupons", HandleAsync).For(AccessRule.User)
        .WithTags("Coupons").WithSummary("The caller's coupons, newest first").Produces<Page<CouponView>>()
        .TakesQuery("state", "usable, used or expired; all unless given.", "usable")
        .IsPaged();

    private static async Task<IResult> HandleAsync(HttpContext context, Database database, CouponTemplates templates, TimeProvider time)
    {
        if (WhichOf(context.Request.Query["state"]) is not { } which)
        {
            return Problem.Invalid("'state' is usable, used or expired.");
        }

        if (Paging.Read(context.Request, out var paging) is { } problem)
        {
            return problem;
        }

        // One more than fits says that there is a next page.
        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        var found = (await database.ReadAsync(
            connection => connection.QueryAsync<Coupon>(
                $"SELECT {Coupon.Columns} FROM coupons WHERE id IN (SELECT id FROM claims WHERE user_id = @user AND id < @Before){which} ORDER BY id DESC LIMIT @count",
                new { user = context.UserId(), paging.Before, now, count = paging.Limit + 1 }),
            ReadFrom.Reader)).AsList();
        var items = await templates.ShowAsync(found.Take(paging.Limit), now);
        return Results.Json(new Page<CouponView>(items, found.Count > paging.Limit ? items[^1].Id : null), CouponsJson.Default.PageCouponView);
    }

    private static string? WhichOf(Microsoft.Extensions.Primitives.StringValues states) => states switch
    {
        [] => "",
        ["usable"] => " AND state = 0 AND valid_until > @now",
        ["used"] => " AND state <> 0",
        ["expired"] => " AND state = 0 AND valid_until <= @now",
        _ => null,
    };
}

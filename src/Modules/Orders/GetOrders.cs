using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders;

/// <summary><c>GET /v1/orders</c>, <c>GET /v1/orders/{id}</c>: the caller's own, newest first; the cursor is the last id seen.</summary>
internal static class GetOrders
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1/orders", ListAsync).For(AccessRule.User).WithTags("Orders").WithSummary("The caller's orders, newest first").Produces<Page<OrderView>>()
            .IsPaged().IsVersioned();
        routes.MapGet("/v1/orders/{id}", GetAsync).For(AccessRule.User).WithTags("Orders").WithSummary("One order of the caller, with what happened to it").Produces<OrderView>();
    }

    private static async Task<IResult> ListAsync(HttpContext context, OrderPages pages)
    {
        if (Paging.Read(context.Request, out var paging) is { } problem)
        {
            return problem;
        }

        var user = context.UserId();
        if (!paging.IsFirst)
        {
            return Results.Json(await pages.ReadAsync(user, paging.Before, paging.Limit), OrdersJson.Default.PageOrderView);
        }

        // Who has this version already causes no more than a look at it.
        var known = Versioned.KnownVersion(context.Request);
        if (known > 0 && await pages.IsUnchangedAsync(user, known))
        {
            return Versioned.Unchanged(context, known);
        }

        var first = await pages.FirstAsync(user, known);
        return Versioned.Answer(context, first.Version, first.Json!);
    }

    private static async Task<IResult> GetAsync(string id, HttpContext context, OrderBook book) =>
        Names.TryId(id, out var orderId) && await book.FindAsync(orderId, context.UserId(), ReadFrom.Reader) is { } order
            ? Results.Json(order.ToView() with { Timeline = await book.TimelineAsync(order) }, OrdersJson.Default.OrderView)
            : Problem.NotFound("order");
}

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
    private const int PageDefault = OrderPages.OrdersDefault, PageMax = 100;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1/orders", ListAsync).For(AccessRule.User).WithTags("Orders").WithSummary("The caller's orders, newest first").Produces<Page<OrderView>>()
            .TakesQuery("limit", $"1 to {PageMax}; {PageDefault} unless given.", "40").TakesQuery("cursor", "What nextCursor said.", "236126107336710912").IsVersioned();
        routes.MapGet("/v1/orders/{id}", GetAsync).For(AccessRule.User).WithTags("Orders").WithSummary("One order of the caller, with what happened to it").Produces<OrderView>();
    }

    private static async Task<IResult> ListAsync(HttpContext context, OrderPages pages)
    {
        var query = context.Request.Query;
        var (limits, cursors) = (query["limit"], query["cursor"]);
        var limit = PageDefault;
        if (limits.Count > 1 || (limits.Count == 1 && (!Names.TryId(limits[0], out var asked) || asked > PageMax || (limit = (int)asked) < 1)))
        {
            return Problem.Invalid($"'limit' is a number from 1 to {PageMax}.");
        }

        var before = long.MaxValue;
        if (cursors.Count > 1 || (cursors.Count == 1 && !Names.TryId(cursors[0], out before)))
        {
            return Problem.Invalid("'cursor' is what 'nextCursor' said.");
        }

        var user = context.UserId();
        if (limit != PageDefault || before != long.MaxValue)
        {
            return Results.Json(await pages.ReadAsync(user, before, limit), OrdersJson.Default.PageOrderView);
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

using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.Orders;

/// <summary>
/// <c>GET /v1/claims/{id}</c>: what became of a claim. <c>?wait=20</c> answers when it is written; <c>Accept: text/event-stream</c> streams the changes.
/// </summary>
internal static class GetClaim
{
    private const int WaitSecondsMax = 20;

    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/v1/claims/{id}", HandleAsync).For(AccessRule.UserOrServer)
        .WithTags("Claims").WithSummary("What became of a claim").Produces<ClaimView>(200, "application/json", "text/event-stream")
        .TakesQuery("wait", "Answer when the claim is no longer held, or after so many seconds, 0 to 20.", "20")
        .TakesQuery("pool", "Where the claim is, as its Location said: it is found there also when SQL does not have it yet.", "236126096028886144");

    private static async Task<IResult> HandleAsync(string id, HttpContext context, ClaimViews views, ClaimWaiters waiters)
    {
        var user = context.Caller().UserId;
        long? poolId = null;
        var pools = context.Request.Query["pool"];
        if (pools.Count > 0)
        {
            if (pools.Count > 1 || !Names.TryId(pools[0], out var named))
            {
                return Problem.Invalid("'pool' is one id, as the claim's Location said it.");
            }

            poolId = named;
        }

        if (!Names.TryId(id, out var claimId) || await views.FindAsync(claimId, user, poolId) is not { } view)
        {
            return Problem.NotFound("claim");
        }

        var wait = 0;
        var waits = context.Request.Query["wait"];
        if (waits.Count > 1 || (waits.Count == 1 && (!int.TryParse(waits[0], NumberStyles.None, CultureInfo.InvariantCulture, out wait) || wait > WaitSecondsMax)))
        {
            return Problem.Invalid($"'wait' is 0 to {WaitSecondsMax} seconds.");
        }

        context.Response.Headers.CacheControl = "no-store";
        if (context.Request.Headers.Accept.ToString().Contains("text/event-stream", StringComparison.OrdinalIgnoreCase))
        {
            await StreamAsync(context, view, claimId, user, poolId, views, waiters);
            return Results.Empty;
        }

        if (wait > 0 && view.State == "held" && await waiters.WaitAsync(claimId, TimeSpan.FromSeconds(wait), context.RequestAborted) is not null)
        {
            view = (await views.FindAsync(claimId, user, poolId))!;
        }

        return Results.Json(view, OrdersJson.Default.ClaimView);
    }

    // Two events at most: how it stands, and how it ended. The client's EventSource asks again by itself if the connection breaks.
    private static async Task StreamAsync(HttpContext context, ClaimView view, long claimId, string? user, long? poolId, ClaimViews views, ClaimWaiters waiters)
    {
        context.Response.ContentType = "text/event-stream";
        await SendAsync(view);
        if (view.State == "held" && await waiters.WaitAsync(claimId, TimeSpan.FromSeconds(60), context.RequestAborted) is not null)
        {
            await SendAsync((await views.FindAsync(claimId, user, poolId))!);
        }

        async Task SendAsync(ClaimView claim)
        {
            await context.Response.WriteAsync($"event: claim\ndata: {JsonSerializer.Serialize(claim, OrdersJson.Default.ClaimView)}\n\n", context.RequestAborted);
            await context.Response.Body.FlushAsync(context.RequestAborted);
        }
    }
}

using System.Globalization;
using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;

namespace Sluice.Modules.FlashSales;

/// <param name="State"><c>held</c>, <c>confirmed</c>, <c>released</c>, <c>rejected</c>.</param>
/// <param name="Reason">Why it was rejected.</param>
/// <param name="Order">Once it is written.</param>
public sealed record ClaimView(string ClaimId, string? SaleId, int Units, string State, string? Reason, OrderView? Order);

/// <summary>Finds a claim wherever it is by now: in SQL with its order, or still in the pool's holders.</summary>
internal sealed class ClaimViews(Database database, PoolStore pools, RedisConnection redis, PlacedOrders orders, TimeProvider time)
{
    // A worker needs milliseconds from its commit to showing the orders; one that died, until its batch comes again.
    private static readonly TimeSpan ShownAfter = TimeSpan.FromMinutes(1);

    /// <summary>Pools whose holders are asked for a claim that SQL does not have yet.</summary>
    private const int LivePoolsMax = 100;

    /// <param name="user">Whose claim it must be, or null for the shop's servers (which see what SQL has).</param>
    public async Task<ClaimView?> FindAsync(long claimId, string? user)
    {
        var row = await database.ReadAsync(connection => connection.QuerySingleOrDefaultAsync<(long PoolId, string UserId, long Units, ClaimState State, string? Reason)?>(
            "SELECT COALESCE(p.root_id, p.id), c.user_id, c.units, c.state, c.reason FROM claims c JOIN pools p ON p.id = c.pool_id WHERE c.id = @claimId", new { claimId }));
        if (row is { } claim)
        {
            if (user is not null && claim.UserId != user)
            {
                return null;
            }

            // Whoever learns here of an order finds it in their list, also when the worker that wrote it has not shown it yet.
            if (claim.State == ClaimState.Confirmed && time.GetUtcNow() - ClaimIds.TimeOf(claimId) < ShownAfter)
            {
                await orders.ShowNowAsync(claim.UserId);
            }

            return new ClaimView(
                Names.Id(claimId), Names.Id(claim.PoolId), (int)claim.Units, PoolRoutes.StateName(claim.State), claim.Reason, await PlacedOrders.FindAsync(database, claimId));
        }

        return user is null ? null : await FindHeldAsync(claimId, user);
    }

    // The id does not say which pool, so the user is looked up in each pool that can have claims on their way: one command each, in one go.
    private async Task<ClaimView?> FindHeldAsync(long claimId, string user)
    {
        var live = (await database.ReadAsync(connection => connection.QueryAsync<long>(
            "SELECT id FROM pools WHERE kind = @Kind AND root_id IS NULL ORDER BY id DESC LIMIT @LivePoolsMax", new { FlashSale.Kind, LivePoolsMax }))).AsList();
        var lanes = await pools.LanesAsync(live);
        var asked = live.ConvertAll(pool =>
        {
            var of = lanes[pool].ToList();
            var holders = new PoolKeys(of[Lanes.Of(user, of.Count)].Id).Holders;
            return (Pool: pool, Holders: holders, Holder: redis.GuardAsync(holders, db => db.HashGetAsync(holders, user)));
        });
        ClaimView? found = null;
        try
        {
            await redis.EachAsync(asked, one => one.Holders, async one =>
            {
                if (ClaimEntry.FromHolder((await one.Holder).ToString()).FirstOrDefault(held => held.Id == claimId) is { Id: > 0 } held)
                {
                    found = new ClaimView(Names.Id(claimId), Names.Id(one.Pool), held.Units, held.Released ? "released" : "held", null, null);
                }
            });
        }
        catch (DependencyUnavailableException) when (found is not null)
        {
            // A server is away, and it is not the one that has the claim.
        }

        return found;
    }
}

/// <summary>
/// <c>GET /v1/claims/{id}</c>: what became of a claim. <c>?wait=20</c> answers when it is written; <c>Accept: text/event-stream</c> streams the changes.
/// </summary>
internal static class GetClaim
{
    private const int WaitSecondsMax = 20;

    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/v1/claims/{id}", HandleAsync).For(AccessRule.UserOrServer)
        .WithTags("Claims").WithSummary("What became of a claim").Produces<ClaimView>(200, "application/json", "text/event-stream")
        .TakesQuery("wait", "Answer when the claim is no longer held, or after so many seconds, 0 to 20.", "20");

    private static async Task<IResult> HandleAsync(string id, HttpContext context, ClaimViews views, ClaimWaiters waiters)
    {
        var user = context.Caller().UserId;
        if (!Names.TryId(id, out var claimId) || await views.FindAsync(claimId, user) is not { } view)
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
            await StreamAsync(context, view, claimId, user, views, waiters);
            return Results.Empty;
        }

        if (wait > 0 && view.State == "held" && await waiters.WaitAsync(claimId, TimeSpan.FromSeconds(wait), context.RequestAborted) is not null)
        {
            view = (await views.FindAsync(claimId, user))!;
        }

        return Results.Json(view, FlashSalesJson.Default.ClaimView);
    }

    // Two events at most: how it stands, and how it ended. The client's EventSource asks again by itself if the connection breaks.
    private static async Task StreamAsync(HttpContext context, ClaimView view, long claimId, string? user, ClaimViews views, ClaimWaiters waiters)
    {
        context.Response.ContentType = "text/event-stream";
        await SendAsync(view);
        if (view.State == "held" && await waiters.WaitAsync(claimId, TimeSpan.FromSeconds(60), context.RequestAborted) is not null)
        {
            await SendAsync((await views.FindAsync(claimId, user))!);
        }

        async Task SendAsync(ClaimView claim)
        {
            await context.Response.WriteAsync($"event: claim\ndata: {JsonSerializer.Serialize(claim, FlashSalesJson.Default.ClaimView)}\n\n", context.RequestAborted);
            await context.Response.Body.FlushAsync(context.RequestAborted);
        }
    }
}

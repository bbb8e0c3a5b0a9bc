using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.FlashSales;

public sealed record AddStockRequest([property: Required] long? AddUnits);

/// <summary><c>POST /v1/flash-sales/{id}/open | pause | close | stock</c>: the operator's hands, before and during the sale. SQL first, then Redis.</summary>
internal static class OperateFlashSale
{
    private const long AddUnitsMax = 1_000_000_000;

    public static void Map(IEndpointRouteBuilder routes)
    {
        Gate("open", Platform.Pools.Gate.Open, "Open now, or go on after a pause");
        Gate("pause", Platform.Pools.Gate.Paused, "Pause; claims are answered 409 'paused'");
        Gate("close", Platform.Pools.Gate.Closed, "Close for good");
        routes.MapPost("/v1/flash-sales/{id}/stock", AddStockAsync).For(AccessRule.Server).WithTags("Flash sales").WithSummary("Add units, in mid-sale too").Produces<FlashSaleView>()
            .TakesIdempotencyKey().Refuses(409, "closed");

        void Gate(string verb, Gate gate, string summary) => routes
            .MapPost($"/v1/flash-sales/{{id}}/{verb}", (string id, Database database, PoolStore pools, SaleBoard board, TimeProvider time) =>
                SetGateAsync(id, gate, database, pools, board, time))
            .For(AccessRule.Server).WithTags("Flash sales").WithSummary(summary).Produces<FlashSaleView>().Refuses(409, "closed");
    }

    private static async Task<IResult> SetGateAsync(string id, Gate gate, Database database, PoolStore pools, SaleBoard board, TimeProvider time)
    {
        if (await FindAsync(id, board) is not { } saleId)
        {
            return Problem.NotFound("flash sale");
        }

        // Opening means now: a time in the future, or none, becomes this moment. After a pause the time in the past stays.
        var pool = (await pools.FindAsync(saleId))!;
        var now = time.GetUtcNow();
        DateTimeOffset? opensAt = gate == Gate.Open && !(pool.OpensAt <= now.ToUnixTimeMilliseconds()) ? now : null;
        if (gate == Gate.Open && pool.ClosesAt <= now.ToUnixTimeMilliseconds())
        {
            return AlreadyClosed;
        }

        // Not run again by itself when its commit got lost: another operator may have turned the gate since. This one sees what there is, and presses again.
        if (!await database.WriteAsync(transaction => PoolStore.SetGateAsync(transaction, saleId, gate, opensAt)))
        {
            return AlreadyClosed;
        }

        return await AppliedAsync(saleId, pools, board);
    }

    private static async Task<IResult> AddStockAsync(string id, AddStockRequest request, HttpContext context, Idempotency idempotency, PoolStore pools, PoolClaims claims, SaleBoard board, ClaimIds ids)
    {
        if (request.AddUnits is not (>= 1 and <= AddUnitsMax and var units))
        {
            return Problem.Invalid($"'addUnits' is 1 to {AddUnitsMax}.");
        }

        if (await FindAsync(id, board) is not { } saleId)
        {
            return Problem.NotFound("flash sale");
        }

        await idempotency.OnceAsync(Idempotency.KeyOf(context.Request), $"POST /v1/flash-sales/{saleId}/stock", $"{units}", async transaction =>
        {
            var adjustmentId = ids.Next(id);
            return await pools.AddUnitsAsync(transaction, saleId, adjustmentId, units) ? adjustmentId : throw new ProblemException(AlreadyClosed);
        });
        var answer = await AppliedAsync(saleId, pools, board);
        claims.Refilled(saleId);
        return answer;
    }

    private static async Task<IResult> AppliedAsync(long saleId, PoolStore pools, SaleBoard board)
    {
        await pools.ApplyAsync(saleId);
        board.Invalidate();
        return Results.Json((await board.FindAsync(saleId))!.View, FlashSalesJson.Default.FlashSaleView);
    }

    private static async Task<long?> FindAsync(string id, SaleBoard board) => Names.TryId(id, out var saleId) && await board.FindAsync(saleId) is not null ? saleId : null;

    private static Problem AlreadyClosed => new(409, "closed", "Closed", "This sale is closed for good. Make a new one.");
}

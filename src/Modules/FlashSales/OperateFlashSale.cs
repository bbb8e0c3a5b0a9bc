using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.FlashSales;

public sealed record SetAsideRequest([property: Required] long? Units);

/// <param name="SetAsideUnits">What SQL would sell, should Redis be away.</param>
/// <param name="LeftUnits">All that is left, these included.</param>
public sealed record SetAsideView(string Id, long SetAsideUnits, long LeftUnits);

public sealed record AddStockRequest([property: Required] long? AddUnits);

/// <summary><c>POST /v1/flash-sales/{id}/open | pause | close | stock</c>, <c>PUT …/set-aside</c>: the operator's hands, before and during the sale. SQL first, then Redis.</summary>
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
        routes.MapPut("/v1/flash-sales/{id}/set-aside", SetAsideAsync).For(AccessRule.Server).WithTags("Flash sales").WithSummary("How many units are sold without Redis, should it be away")
            .Produces<SetAsideView>().Refuses(404, "not-found").Refuses(409, "closed", "not-enough-left");

        void Gate(string verb, Gate gate, string summary) => routes
            .MapPost($"/v1/flash-sales/{{id}}/{verb}", (string id, PoolStore pools, SaleBoard board) => SetGateAsync(id, gate, pools, board)).For(AccessRule.Server).WithTags("Flash sales").WithSummary(summary).Produces<FlashSaleView>().Refuses(409, "closed");
    }

    private static async Task<IResult> SetGateAsync(string id, Gate gate, PoolStore pools, SaleBoard board)
    {
        if (await FindAsync(id, board) is not { } saleId)
        {
            return Problem.NotFound("flash sale");
        }

        if (!await pools.TurnGateAsync(saleId, gate))
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

    private static async Task<IResult> SetAsideAsync(string id, SetAsideRequest request, PoolStore pools, PoolClaims claims, SaleBoard board)
    {
        if (request.Units is not (>= 0 and <= AddUnitsMax and var units))
        {
            return Problem.Invalid($"'units' is 0 to {AddUnitsMax}.");
        }

        if (await FindAsync(id, board) is not { } saleId)
        {
            return Problem.NotFound("flash sale");
        }

        if (units > 0 && (await pools.FindAsync(saleId))!.Lanes > 1)
        {
            return Problem.Invalid("Nothing can be set aside of a sale with several lanes.");
        }

        var pool = await pools.SetAsideAsync(saleId, units);
        board.Invalidate();
        var left = (await board.FindAsync(saleId))!.View.LeftUnits;
        if (pool.SetAsideUnits - pool.SoldAsideUnits != units)
        {
            return pool.Gate == Platform.Pools.Gate.Closed ? AlreadyClosed : NotEnoughLeft(pool.SetAsideUnits - pool.SoldAsideUnits, left);
        }

        claims.Refilled(saleId);
        return Results.Json(new SetAsideView(id, units, left), FlashSalesJson.Default.SetAsideView);
    }

    private static async Task<IResult> AppliedAsync(long saleId, PoolStore pools, SaleBoard board)
    {
        await pools.ApplyAsync(saleId);
        board.Invalidate();
        return Results.Json((await board.FindAsync(saleId))!.View, FlashSalesJson.Default.FlashSaleView);
    }

    private static async Task<long?> FindAsync(string id, SaleBoard board) => Names.TryId(id, out var saleId) && await board.FindAsync(saleId) is not null ? saleId : null;

    private static Problem NotEnoughLeft(long setAsideUnits, long leftUnits) => new(
        409, "not-enough-left", "Not enough left", "Redis must keep at least as many units as are set aside. Nothing was changed; set fewer aside.")
    {
        More = new Dictionary<string, object>(StringComparer.Ordinal) { ["setAsideUnits"] = setAsideUnits, ["leftUnits"] = leftUnits },
    };

    private static Problem AlreadyClosed => new(409, "closed", "Closed", "This sale is closed for good. Make a new one.");
}

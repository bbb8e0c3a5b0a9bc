using System.ComponentModel.DataAnnotations;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Modules.Catalog.Contracts;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Stocks;

public sealed record AddUnitsRequest([property: Required] long? AddUnits);

/// <summary><c>POST /v1/products/{sku}/stock</c>: units came in. The first ones make the product's pool. <c>…/stock/pause</c>, <c>…/stock/open</c>: stop and go on selling it.</summary>
internal static class OperateStock
{
    private const long AddUnitsMax = 1_000_000_000;

    // What one user may hold of a product over the years; an order's own bound is Stocks:UnitsPerOrderMax.
    private const int PerUserUnitsMax = 1_000_000;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/v1/products/{sku}/stock", AddAsync).For(AccessRule.Server).WithTags("Stock").WithSummary("Add units to a product's stock; the first ones make it").Produces<StockView>()
            .TakesIdempotencyKey().Refuses(404, "not-found");
        routes.MapPost("/v1/products/{sku}/stock/pause", (string sku, Database database, PoolStore pools, Stock stock) => SetGateAsync(sku, Gate.Paused, database, pools, stock))
            .For(AccessRule.Server).WithTags("Stock").WithSummary("Stop selling it; claims are answered 409 'paused'").Produces<StockView>().Refuses(404, "not-found");
        routes.MapPost("/v1/products/{sku}/stock/open", (string sku, Database database, PoolStore pools, Stock stock) => SetGateAsync(sku, Gate.Open, database, pools, stock))
            .For(AccessRule.Server).WithTags("Stock").WithSummary("Go on selling it after a pause").Produces<StockView>().Refuses(404, "not-found");
    }

    private static async Task<IResult> AddAsync(string sku, AddUnitsRequest request, HttpContext context, Idempotency idempotency, PoolStore pools, PoolClaims claims, Products products, Stock stock, ClaimIds ids)
    {
        if (request.AddUnits is not (>= 1 and <= AddUnitsMax and var units))
        {
            return Problem.Invalid($"'addUnits' is 1 to {AddUnitsMax}.");
        }

        if (!Names.IsSku(sku))
        {
            return Problem.NotFound("product");
        }

        await idempotency.OnceAsync(Idempotency.KeyOf(context.Request), $"POST /v1/products/{sku}/stock", $"{units}", async transaction =>
        {
            // The product's row is locked, so of two who bring the first units one makes the pool. (Where the catalogue has a database of its own, the other finds the sku taken below, and looks again.)
            var title = await products.LockAsync(transaction, sku) ?? throw new ProblemException(Problem.NotFound("product"));
            var known = await transaction.Connection!.QuerySingleOrDefaultAsync<long?>("SELECT pool_id FROM stocks WHERE sku = @sku", new { sku }, transaction);
            var id = ids.Next(sku);
            if (known is { } existing)
            {
                await pools.AddUnitsAsync(transaction, existing, id, units);
                return id;
            }

            await transaction.Connection!.ExecuteAsync("INSERT INTO stocks (sku, pool_id) VALUES (@sku, @id)", new { sku, id }, transaction);
            await pools.CreateAsync(transaction, id, Stock.Kind, title, units, PerUserUnitsMax, Gate.Open, opensAt: null, closesAt: null);
            return id;
        });
        var poolId = (await stock.PoolOfAsync(sku))!.Value;
        var answer = await AppliedAsync(sku, poolId, pools, stock);
        claims.Refilled(poolId);
        return answer;
    }

    private static async Task<IResult> SetGateAsync(string sku, Gate gate, Database database, PoolStore pools, Stock stock)
    {
        if (!Names.IsSku(sku) || await stock.PoolOfAsync(sku) is not { } poolId)
        {
            return Problem.NotFound("stock");
        }

        // Not run again by itself when its commit got lost: another operator may have turned the gate since.
        await database.WriteAsync(transaction => PoolStore.SetGateAsync(transaction, poolId, gate));
        return await AppliedAsync(sku, poolId, pools, stock);
    }

    private static async Task<IResult> AppliedAsync(string sku, long poolId, PoolStore pools, Stock stock)
    {
        await pools.ApplyAsync(poolId);
        stock.Invalidate(sku);
        return Results.Json(await stock.ShowAsync(sku), StocksJson.Default.StockView);
    }
}

using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Modules.Catalog.Contracts;
using Sluice.Platform.Http;

namespace Sluice.Modules.Stocks;

/// <summary><c>GET /v1/products/{sku}/stock</c>: whether a product can be bought now, with ETag.</summary>
internal static class GetStock
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/v1/products/{sku}/stock", GetAsync).For(AccessRule.Public)
        .WithTags("Stock").WithSummary("What is left of a product; 'none' where it is only sold in sales").Produces<StockView>().IsVersioned();

    private static async Task<IResult> GetAsync(string sku, HttpContext context, Products products, Stock stock)
    {
        if (!Names.IsSku(sku) || await products.FindAsync(sku) is null)
        {
            return Problem.NotFound("product");
        }

        var view = await stock.ShowAsync(sku);
        return Versioned.Answer(context, $"\"{view.Version}-{view.LeftUnits}-{view.State}\"", JsonSerializer.SerializeToUtf8Bytes(view, StocksJson.Default.StockView));
    }
}

using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.FlashSales;

/// <summary><c>GET /v1/flash-sales</c>, <c>GET /v1/flash-sales/{id}</c>: from the board, with ETag.</summary>
internal static class GetFlashSale
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        // Taken once for the page that everybody looks at: as a parameter of the handler it would cost a scope for each request.
        var board = routes.ServiceProvider.GetRequiredService<SaleBoard>();
        routes.MapGet("/v1/flash-sales", ListAsync).For(AccessRule.Public).WithTags("Flash sales").WithSummary("The newest sales").Produces<Page<FlashSaleView>>().IsVersioned();
        routes.MapGet("/v1/flash-sales/{id}", (string id, HttpContext context) => GetAsync(id, context, board)).For(AccessRule.Public).WithTags("Flash sales").WithSummary("One sale").Produces<FlashSaleView>().IsVersioned();
    }

    private static async Task<IResult> ListAsync(HttpContext context, SaleBoard board)
    {
        var (etag, json) = await board.ListAsync();
        return Versioned.Answer(context, etag, json);
    }

    private static async Task<IResult> GetAsync(string id, HttpContext context, SaleBoard board) =>
        Names.TryId(id, out var saleId) && await board.FindAsync(saleId) is { } sale
            ? Versioned.Answer(context, sale.ETag, sale.Json)
            : Problem.NotFound("flash sale");
}

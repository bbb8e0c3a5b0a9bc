using System.Collections.Concurrent;
using System.Data.Common;
using Dapper;
using Sluice.Modules.Catalog.Contracts;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Pools;

namespace Sluice.Modules.Stocks;

/// <summary>A claim of a product's stock becomes an order at the price that its buyer agreed to, in the same transaction.</summary>
internal sealed class StockKind(PlacedOrders orders, Products products, StocksOptions options) : IPoolKind
{
    // Bounded by the stocks that exist.
    private readonly ConcurrentDictionary<long, string> skuOf = new();

    public string Kind => Stock.Kind;

    public async Task WriteAsync(DbTransaction transaction, long poolId, IReadOnlyList<Claim> claims)
    {
        if (!skuOf.TryGetValue(poolId, out var sku))
        {
            skuOf[poolId] = sku = await transaction.Connection!.QuerySingleAsync<string>("SELECT sku FROM stocks WHERE pool_id = @poolId", new { poolId }, transaction);
        }

        // The pool has the title that the product had when its first units came.
        var title = await products.TitleAsync(transaction, sku) ?? await transaction.Connection!.QuerySingleAsync<string>("SELECT title FROM pools WHERE id = @poolId", new { poolId }, transaction);
        foreach (var same in claims.GroupBy(AgreedPrice.Of))
        {
            await orders.PlaceAsync(transaction, new OrderTerms(poolId, sku, title, same.Key.Cents, same.Key.Currency, options.PaymentTimeout), [.. same]);
        }
    }

    public Task WrittenAsync(IReadOnlyList<Claim> claims) => orders.ShowAsync(claims.Select(claim => claim.UserId));

    public Task<IReadOnlyList<AuditCheck>> AuditAsync(DbConnection snapshot, long poolId, IReadOnlyList<long> lanes) => orders.AuditAsync(snapshot, poolId, lanes);
}

using System.Collections.Concurrent;
using System.Data.Common;
using Dapper;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Pools;

namespace Sluice.Modules.FlashSales;

/// <summary>A claim of a flash sale becomes an order, in the same transaction.</summary>
internal sealed class FlashSaleKind(PlacedOrders orders) : IPoolKind
{
    // What a sale sells at which price never changes, so it is read once. Bounded by the sales that take claims.
    private readonly ConcurrentDictionary<long, OrderTerms> terms = new();

    public string Kind => FlashSale.Kind;

    public async Task WriteAsync(DbTransaction transaction, long poolId, IReadOnlyList<Claim> claims)
    {
        if (!terms.TryGetValue(poolId, out var known))
        {
            var sale = await transaction.Connection!.QuerySingleAsync<FlashSale>($"SELECT {FlashSale.Columns} FROM flash_sales s WHERE s.id = @poolId", new { poolId }, transaction);
            terms[poolId] = known = sale.Terms;
        }

        await orders.PlaceAsync(transaction, known, claims);
    }

    public Task WrittenAsync(IReadOnlyList<Claim> claims) => orders.ShowAsync(claims.Select(claim => claim.UserId));

    public Task<IReadOnlyList<AuditCheck>> AuditAsync(DbConnection snapshot, long poolId, IReadOnlyList<long> lanes) => orders.AuditAsync(snapshot, poolId, lanes);
}

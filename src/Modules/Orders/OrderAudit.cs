using System.Data.Common;
using Dapper;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders;

/// <summary>Proves that each claim of a sale has its order, where both are in one database: on one snapshot.</summary>
internal static class OrderAudit
{
    /// <summary>The checks of a sale's orders. The first check's <c>Found</c> is the number of orders.</summary>
    /// <param name="pools">Where the sale's claims are.</param>
    public static async Task<IReadOnlyList<AuditCheck>> RunAsync(DbConnection snapshot, long saleId, IReadOnlyList<long> pools)
    {
        var parameters = new
        {
            saleId, pools = SqlList.Of(pools), confirmed = ClaimState.Confirmed, released = ClaimState.Released,
            pending = OrderState.Pending, paid = OrderState.Paid, cancelled = OrderState.Cancelled, expired = OrderState.Expired, applied = PaymentOutcome.Applied,
        };
        Task<long> Number(string sql) => snapshot.QuerySingleAsync<long>(sql, parameters);
        return
        [
            AuditCheck.Equal(
                "one-order-per-claim",
                await Number("SELECT COUNT(*) FROM claims c WHERE c.pool_id IN @pools AND c.state IN (@confirmed, @released)"),
                await Number("SELECT COUNT(*) FROM orders o WHERE o.sale_id = @saleId"),
                "As many orders as accepted claims."),
            AuditCheck.Equal(
                "no-claim-without-order", 0,
                await Number(
                    "SELECT COUNT(*) FROM claims c LEFT JOIN orders o ON o.id = c.id AND o.user_id = c.user_id AND o.units = c.units " +
                    "WHERE c.pool_id IN @pools AND c.state IN (@confirmed, @released) AND o.id IS NULL"),
                "Each accepted claim has an order of the same user and units."),
            AuditCheck.Equal(
                "no-order-without-claim", 0,
                await Number("SELECT COUNT(*) FROM orders o LEFT JOIN claims c ON c.id = o.id WHERE o.sale_id = @saleId AND c.id IS NULL"),
                "Each order has its claim."),
            AuditCheck.Equal(
                "orders-and-claims-agree", 0,
                await Number(
                    "SELECT COUNT(*) FROM orders o JOIN claims c ON c.id = o.id WHERE o.sale_id = @saleId AND NOT (" +
                    "(o.state IN (@pending, @paid) AND c.state = @confirmed) OR (o.state IN (@cancelled, @expired) AND c.state = @released))"),
                "Open and paid orders hold their units, cancelled and expired ones gave them back."),
            AuditCheck.Equal(
                "paid-orders-have-their-payment", 0,
                await Number(
                    "SELECT COUNT(*) FROM orders o WHERE o.sale_id = @saleId AND (o.state = @paid) <> " +
                    "(EXISTS (SELECT 1 FROM payments p WHERE p.order_id = o.id AND p.outcome = @applied AND p.amount_cents = o.price_cents * o.units - o.discount_cents))"),
                "An order is paid exactly if a payment of its amount was applied."),
        ];
    }
}

using System.Data.Common;
using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders.Contracts;

/// <summary>What is bought, at which price, and how long the buyer has to pay: the same for every order of a sale.</summary>
/// <param name="PriceCents">For one unit, in minor units of the currency.</param>
public sealed record OrderTerms(long SaleId, string Sku, string Title, long PriceCents, string Currency, TimeSpan PaymentTimeout);

/// <summary>Places orders for claims, and proves that each claim has its order.</summary>
public sealed class PlacedOrders(CacheChanges changes, TimeProvider time)
{
    private readonly BatchInsert insertOrders = new(
        "orders", "id", "sale_id", "user_id", "sku", "title", "units", "price_cents", "currency", "state", "created_at", "pay_by");

    /// <summary>One pending order for each claim; its id is the claim's. In the transaction that writes the claims.</summary>
    public Task PlaceAsync(DbTransaction transaction, OrderTerms terms, IReadOnlyList<Claim> claims)
    {
        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        var payBy = now + (long)terms.PaymentTimeout.TotalMilliseconds;
        return insertOrders.RunAsync(transaction, claims.Count, (row, column) => column switch
        {
            0 => claims[row].Id,
            1 => terms.SaleId,
            2 => claims[row].UserId,
            3 => terms.Sku,
            4 => terms.Title,
            5 => claims[row].Units,
            6 => terms.PriceCents,
            7 => terms.Currency,
            8 => (int)OrderState.Pending,
            9 => now,
            _ => payBy,
        });
    }

    /// <summary>These users have new orders, committed: the next look at their list shows them.</summary>
    /// <exception cref="Platform.Hosting.DependencyUnavailableException">Neither the caches nor SQL could be told: call again.</exception>
    public Task ShowAsync(IEnumerable<string> userIds) => changes.TellUnnotedAsync([.. userIds.Distinct(StringComparer.Ordinal).Select(OrderPages.KeyOf)]);

    /// <summary>This user is about to be told of a new order: their next look at the list shows it. Where the caches cannot be told, the worker that wrote it will do so.</summary>
    public async Task ShowNowAsync(string userId)
    {
        try
        {
            await changes.DropAsync([OrderPages.KeyOf(userId)]);
        }
        catch (Platform.Hosting.DependencyUnavailableException)
        {
            // Redis is away: there is no page in it to be shown.
        }
    }

    /// <summary>One order, or null when there is none (yet).</summary>
    public static async Task<OrderView?> FindAsync(Database database, long orderId) => (await database.ReadAsync(connection =>
        connection.QuerySingleOrDefaultAsync<Order?>($"SELECT {Order.Columns} FROM orders WHERE id = @orderId", new { orderId })))?.ToView();

    /// <summary>The checks of a sale's orders. The first check's <c>Found</c> is the number of orders.</summary>
    /// <param name="pools">Where the sale's claims are.</param>
    public static async Task<IReadOnlyList<AuditCheck>> AuditAsync(DbConnection snapshot, long saleId, IReadOnlyList<long> pools)
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
                    "(EXISTS (SELECT 1 FROM payments p WHERE p.order_id = o.id AND p.outcome = @applied AND p.amount_cents = o.price_cents * o.units))"),
                "An order is paid exactly if a payment of its amount was applied."),
        ];
    }
}

using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders;

/// <summary>Where an order stands. Legal ways: pending → paid, pending → cancelled, pending → expired; nothing else, ever.</summary>
internal enum OrderState
{
    Pending = 0,
    Paid = 1,
    Cancelled = 2,
    Expired = 3,
}

/// <summary>What became of a payment.</summary>
internal enum PaymentOutcome
{
    /// <summary>It paid its order.</summary>
    Applied = 1,

    /// <summary>Its order was cancelled, expired or paid otherwise: the money must go back.</summary>
    RefundDue = 2,
}

/// <summary>The row of <c>orders</c>; times in Unix milliseconds.</summary>
/// <param name="CouponTurns">How often a coupon came to this order or left it: grows with each change, and says of which turn a request that is late is.</param>
[method: Dapper.ExplicitConstructor]
internal sealed record Order(
    long Id, long SaleId, string UserId, string Sku, string Title, long Units, long PriceCents, string Currency, OrderState State, long CreatedAt, long PayBy, long? PaidAt, string Kind,
    long DiscountCents, long? CouponId, long CouponTurns)
{
    /// <summary>Where the pools are beside the orders.</summary>
    public const string Columns = OwnColumns + ", (SELECT kind FROM pools WHERE id = orders.sale_id) AS Kind";

    /// <summary>In the outbox, where an order has not been paid and has no coupon.</summary>
    public const string OutboxColumns = RowColumns + ", NULL AS PaidAt, 0 AS DiscountCents, NULL AS CouponId, 0 AS CouponTurns, (SELECT kind FROM pools WHERE id = order_outbox.sale_id) AS Kind";

    private const string ShardColumns = OwnColumns + ", kind AS Kind";

    private const string OwnColumns = RowColumns + ", paid_at AS PaidAt, discount_cents AS DiscountCents, coupon_id AS CouponId, coupon_turns AS CouponTurns";

    private const string RowColumns =
        "id AS Id, sale_id AS SaleId, user_id AS UserId, sku AS Sku, title AS Title, units AS Units, price_cents AS PriceCents, currency AS Currency, state AS State, created_at AS CreatedAt, pay_by AS PayBy";

    public static string ColumnsAt(Shard shard) => shard.IsMain ? Columns : ShardColumns;

    /// <summary>Price times units.</summary>
    public long FullCents => PriceCents * Units;

    /// <summary>What is to be paid.</summary>
    public long AmountCents => FullCents - DiscountCents;

    public OrderView ToView() => new(
        Names.Id(Id), Names.Id(SaleId), Sku, Title, (int)Units, PriceCents, AmountCents, DiscountCents, Currency, StateName, Kind, Utc(CreatedAt), Utc(PayBy), PaidAt is { } paid ? Utc(paid) : null,
        CouponId is { } coupon ? Names.Id(coupon) : null);

    private string StateName => State switch
    {
        OrderState.Pending => "pending",
        OrderState.Paid => "paid",
        OrderState.Cancelled => "cancelled",
        OrderState.Expired => "expired",
    };

    private static DateTime Utc(long ms) => DateTimeOffset.FromUnixTimeMilliseconds(ms).UtcDateTime;
}

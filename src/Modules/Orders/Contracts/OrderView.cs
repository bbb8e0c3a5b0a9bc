using System.Text.Json.Serialization;

namespace Sluice.Modules.Orders.Contracts;

/// <summary>An order as others see it.</summary>
/// <param name="SaleId">The pool that its units are of: a flash sale's id, or that of a product's stock.</param>
/// <param name="State"><c>pending</c>, <c>paid</c>, <c>cancelled</c>, <c>expired</c>.</param>
/// <param name="Kind">In what it was bought: <c>flash-sale</c>, or <c>stock</c> for a product outside of a sale.</param>
/// <param name="AmountCents">What is to be paid: price times units, less the discount.</param>
/// <param name="DiscountCents">What its coupon takes off, 0 without one.</param>
/// <param name="CouponId">The coupon that was redeemed at it. Of a cancelled or expired order: which it had; it was given back.</param>
public sealed record OrderView(
    string Id,
    string SaleId,
    string Sku,
    string Title,
    int Units,
    long PriceCents,
    long AmountCents,
    long DiscountCents,
    string Currency,
    string State,
    string Kind,
    DateTime CreatedAt,
    DateTime PayBy,
    DateTime? PaidAt,
    string? CouponId)
{
    /// <summary>What happened to it, the earliest first; where one order is asked for, else left out.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] public IReadOnlyList<OrderEvent>? Timeline { get; init; }
}

/// <param name="What"><c>claimed</c>, <c>ordered</c>, <c>paid</c>, <c>cancelled</c>, <c>expired</c>, <c>refund-due</c>.</param>
public sealed record OrderEvent(string What, DateTime At);

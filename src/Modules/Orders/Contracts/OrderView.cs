using System.Text.Json.Serialization;

namespace Sluice.Modules.Orders.Contracts;

/// <summary>An order as others see it.</summary>
/// <param name="SaleId">The pool that its units are of: a flash sale's id, or that of a product's stock.</param>
/// <param name="State"><c>pending</c>, <c>paid</c>, <c>cancelled</c>, <c>expired</c>.</param>
/// <param name="Kind">In what it was bought: <c>flash-sale</c>, or <c>stock</c> for a product outside of a sale.</param>
/// <param name="AmountCents">Price times units.</param>
public sealed record OrderView(
    string Id,
    string SaleId,
    string Sku,
    string Title,
    int Units,
    long PriceCents,
    long AmountCents,
    string Currency,
    string State,
    string Kind,
    DateTime CreatedAt,
    DateTime PayBy,
    DateTime? PaidAt)
{
    /// <summary>What happened to it, the earliest first; where one order is asked for, else left out.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] public IReadOnlyList<OrderEvent>? Timeline { get; init; }
}

/// <param name="What"><c>claimed</c>, <c>ordered</c>, <c>paid</c>, <c>cancelled</c>, <c>expired</c>, <c>refund-due</c>.</param>
public sealed record OrderEvent(string What, DateTime At);

namespace Sluice.Modules.Orders.Contracts;

/// <summary>An order as others see it.</summary>
/// <param name="State"><c>pending</c>, <c>paid</c>, <c>cancelled</c>, <c>expired</c>.</param>
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
    DateTime CreatedAt,
    DateTime PayBy,
    DateTime? PaidAt);

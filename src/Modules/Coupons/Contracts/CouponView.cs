namespace Sluice.Modules.Coupons.Contracts;

/// <summary>A coupon as its owner sees it.</summary>
/// <param name="Id">The claim's by which it was got.</param>
/// <param name="Kind"><c>fixed</c>: <c>AmountOffCents</c> less; <c>percent</c>: <c>PercentOff</c> of the order less, at most <c>MaximumOffCents</c>.</param>
/// <param name="MinimumCents">What an order must come to.</param>
/// <param name="State"><c>usable</c>, <c>used</c>, <c>expired</c>.</param>
/// <param name="OrderId">Of a used one: at which order.</param>
public sealed record CouponView(
    string Id,
    string TemplateId,
    string Title,
    string Kind,
    long? AmountOffCents,
    int? PercentOff,
    long MinimumCents,
    long? MaximumOffCents,
    string Currency,
    DateTime ValidUntil,
    string State,
    string? OrderId);

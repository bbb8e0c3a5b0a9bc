namespace Sluice.Modules.Orders.Contracts;

/// <summary>What became of a claim.</summary>
/// <param name="SaleId">The pool that it is of: a flash sale's id, that of a product's stock, or a coupon template's.</param>
/// <param name="State"><c>held</c>, <c>confirmed</c>, <c>released</c>, <c>rejected</c>.</param>
/// <param name="Reason">Why it was rejected.</param>
/// <param name="Order">Once it is written; null for what becomes no order, as a coupon.</param>
public sealed record ClaimView(string ClaimId, string? SaleId, int Units, string State, string? Reason, OrderView? Order);

/// <summary>The answer 202: the claim is accepted, and what it becomes is on its way.</summary>
/// <param name="State"><c>held</c>.</param>
public sealed record HeldClaim(string ClaimId, string State);

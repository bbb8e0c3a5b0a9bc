namespace Sluice.Modules.Orders.Contracts;

/// <summary>What became of a claim that becomes an order.</summary>
/// <param name="SaleId">The pool that it is of: a flash sale's id, or that of a product's stock.</param>
/// <param name="State"><c>held</c>, <c>confirmed</c>, <c>released</c>, <c>rejected</c>.</param>
/// <param name="Reason">Why it was rejected.</param>
/// <param name="Order">Once it is written.</param>
public sealed record ClaimView(string ClaimId, string? SaleId, int Units, string State, string? Reason, OrderView? Order);

/// <summary>The answer 202: the claim is accepted, and its order is on its way.</summary>
/// <param name="State"><c>held</c>.</param>
public sealed record HeldClaim(string ClaimId, string State);

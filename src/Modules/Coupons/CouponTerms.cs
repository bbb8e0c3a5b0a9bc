namespace Sluice.Modules.Coupons;

/// <summary>What a coupon takes off, in integers of the currency's smallest unit.</summary>
/// <param name="AmountOffCents">A fixed amount, ≥ 1; or null.</param>
/// <param name="PercentOff">A part, 1–100; or null. One of the two there is.</param>
/// <param name="MinimumCents">What an order must come to before the discount, ≥ 0.</param>
/// <param name="MaximumOffCents">The most that a part takes off, ≥ 1; null: no bound.</param>
internal readonly record struct CouponTerms(long? AmountOffCents, long? PercentOff, long MinimumCents, long? MaximumOffCents, string Currency)
{
    /// <summary>
    /// What is taken off an order of this amount: 0 – <paramref name="fullCents"/>, 0 where the coupon is not for it. A part of a cent is the shop's: of 199 cents 10 % are 19.
    /// Never overflows, whatever the amounts are.
    /// </summary>
    /// <param name="fullCents">Price times units, ≥ 0.</param>
    public long DiscountOf(long fullCents, string currency) => currency != Currency || fullCents < MinimumCents ? 0
        : AmountOffCents is { } amount ? Math.Min(amount, fullCents)
        : Math.Min((long)((Int128)fullCents * PercentOff!.Value / 100), Math.Min(MaximumOffCents ?? long.MaxValue, fullCents));
}

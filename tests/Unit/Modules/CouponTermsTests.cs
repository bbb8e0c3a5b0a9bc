using System.Numerics;
using CsCheck;
using Sluice.Modules.Coupons;
using Sluice.Modules.Orders.Contracts;

namespace Sluice.Tests.Unit.Modules;

/// <summary>What a coupon takes off, and whether it may: against plain arithmetic without bounds.</summary>
public sealed class CouponTermsTests
{
    private static readonly Gen<long> Cents = Gen.OneOf(Gen.Long[0, 5], Gen.Long[0, 1_000_000], Gen.Long[0, long.MaxValue]);

    private static readonly Gen<CouponTerms> Terms = Gen.OneOf(
        Gen.Select(Cents, Cents, (amount, minimum) => new CouponTerms(Math.Max(1, amount), null, minimum, null, "EUR")),
        Gen.Select(Gen.Long[1, 100], Cents, Gen.OneOf(Gen.Const((long?)null), Cents.Select(most => (long?)Math.Max(1, most))), (percent, minimum, most) => new CouponTerms(null, percent, minimum, most, "EUR")));

    [Fact]
    public void Discount_OfAnyTermsAndAmount_IsFromNothingToTheWholeAndNeverOverflows() => Gen.Select(Terms, Cents).Sample((terms, full) =>
    {
        var discount = terms.DiscountOf(full, "EUR");
        Assert.InRange(discount, 0, full);
        Assert.True(full >= terms.MinimumCents || discount == 0);
        Assert.True(discount <= (terms.MaximumOffCents ?? long.MaxValue));
        Assert.Equal(0, terms.DiscountOf(full, "USD"));
    });

    [Fact]
    public void Discount_OfAnyTermsAndAmount_IsThatOfArithmeticWithoutBounds() => Gen.Select(Terms, Cents).Sample((terms, full) =>
    {
        var wanted = terms.AmountOffCents is { } amount ? BigInteger.Min(amount, full) : BigInteger.Min((BigInteger)full * terms.PercentOff!.Value / 100, terms.MaximumOffCents ?? full);
        Assert.Equal(full < terms.MinimumCents ? BigInteger.Zero : wanted, terms.DiscountOf(full, "EUR"));
    });

    [Fact]
    public void Discount_OfADearerOrder_IsNotLess() => Gen.Select(Terms, Cents, Cents).Sample((terms, one, other) =>
        Assert.True(terms.DiscountOf(Math.Min(one, other), "EUR") <= terms.DiscountOf(Math.Max(one, other), "EUR")));

    [Theory]
    [InlineData(199, 10, 19)] // a part of a cent is the shop's
    [InlineData(9, 10, 0)]
    [InlineData(4_900, 100, 4_900)]
    public void Discount_OfAPart_IsRoundedDown(long full, int percent, long expected) => Assert.Equal(expected, new CouponTerms(null, percent, 0, null, "EUR").DiscountOf(full, "EUR"));

    [Fact]
    public void Judge_WhateverStandsThere_HasOneAnswer()
    {
        var (terms, now) = (new CouponTerms(500, null, 1_000, null, "EUR"), 100L);
        var order = new CouponOrder(1, "u", 4_900, "EUR", IsPending: true, IsPaid: false, CouponId: null, Turns: 4);
        var coupon = new Coupon(7, 9, "u", ValidUntil: 200, CouponState.Unused, OrderId: null, OrderTurns: 0);

        Assert.Equal((RedeemOutcome.MayGo, 500L), Judge(order, coupon));
        Assert.Equal((RedeemOutcome.Done, 0L), Judge(order with { CouponId = 7 }, coupon with { State = CouponState.Held, OrderId = 1 }));
        Assert.Equal((RedeemOutcome.Done, 0L), Judge(order with { IsPending = false, IsPaid = true, CouponId = 7 }, coupon with { State = CouponState.Used, OrderId = 1 }));
        Assert.Equal((RedeemOutcome.OrderNotPending, 0L), Judge(order with { IsPending = false, IsPaid = true }, coupon));
        Assert.Equal((RedeemOutcome.OrderNotPending, 0L), Judge(order with { IsPending = false, CouponId = 7 }, coupon));
        Assert.Equal((RedeemOutcome.OrderHasCoupon, 0L), Judge(order with { CouponId = 8 }, coupon));
        Assert.Equal((RedeemOutcome.CouponUsed, 0L), Judge(order, coupon with { State = CouponState.Held, OrderId = 2 }));
        Assert.Equal((RedeemOutcome.CouponUsed, 0L), Judge(order, coupon with { State = CouponState.Used, OrderId = 2 }));
        Assert.Equal((RedeemOutcome.CouponExpired, 0L), Judge(order, coupon with { ValidUntil = 100 }));
        Assert.Equal((RedeemOutcome.NotForThisOrder, 0L), Judge(order with { FullCents = 999 }, coupon));
        Assert.Equal((RedeemOutcome.NotForThisOrder, 0L), Judge(order with { Currency = "USD" }, coupon));

        // Taken before, and the order has not got it: it goes on, also after its time; but not for somebody who looked at the order before it was taken.
        var taken = coupon with { State = CouponState.Held, OrderId = 1, OrderTurns = 4, ValidUntil = 1 };
        Assert.Equal((RedeemOutcome.MayGo, 500L), Judge(order, taken));
        Assert.Equal((RedeemOutcome.Late, 0L), Judge(order with { Turns = 3 }, taken));

        (RedeemOutcome, long) Judge(CouponOrder order, Coupon coupon) => (RedeemCoupon.Judge(order, coupon, terms, now, out var discount), discount);
    }
}

using CsCheck;
using Sluice.LoadTester;
using Sluice.LoadTester.Arrivals;
using Xunit;

namespace Sluice.Tests.Unit.LoadTester;

public sealed class ArrivalPlanTests
{
    private static readonly TimeSpan Ten = TimeSpan.FromSeconds(10);
    private static readonly BuyerShares Mixed = new(0.1, 0.05, 0.02, 0.03);

    [Fact]
    public void Make_WithShares_HasExactlySoManyOfEachKind()
    {
        var kinds = ArrivalPlan.Make(20_000, RushShape.Burst, Ten, Mixed, 1).Buyers.CountBy(b => b.Kind).ToDictionary();
        Assert.Equal(2_000, kinds[BuyerKind.DoubleClicker]);
        Assert.Equal(1_000, kinds[BuyerKind.Retrier]);
        Assert.Equal(400, kinds[BuyerKind.Early]);
        Assert.Equal(600, kinds[BuyerKind.Late]);
        Assert.Equal(16_000, kinds[BuyerKind.Plain]);
    }

    [Fact]
    public void Make_WithTheSameSeed_IsTheSamePlan()
    {
        var one = ArrivalPlan.Make(3_000, RushShape.Burst, Ten, Mixed, 42).Buyers;
        Assert.Equal(one, ArrivalPlan.Make(3_000, RushShape.Burst, Ten, Mixed, 42).Buyers);
        Assert.NotEqual(one, ArrivalPlan.Make(3_000, RushShape.Burst, Ten, Mixed, 43).Buyers);
    }

    [Fact]
    public void Make_Steady_SpreadsArrivalsEvenly()
    {
        var buyers = ArrivalPlan.Make(10_000, RushShape.Steady, Ten, new(0, 0, 0, 0), 7).Buyers;
        foreach (var perSecond in buyers.CountBy(b => (int)b.Arrival.TotalSeconds))
        {
            // 1,000 expected, standard deviation 30.
            Assert.InRange(perSecond.Value, 850, 1_150);
        }
    }

    [Fact]
    public void Make_Burst_BringsMostInTheFirstQuarter()
    {
        var buyers = ArrivalPlan.Make(10_000, RushShape.Burst, Ten, new(0, 0, 0, 0), 7).Buyers;
        var quarters = buyers.CountBy(b => (int)(b.Arrival / (Ten / 4))).ToDictionary();
        Assert.InRange(quarters[0], 6_200, 6_700);
        Assert.True(quarters[0] > quarters[1] && quarters[1] > quarters[2] && quarters[2] > quarters[3]);
    }

    [Fact]
    public void Make_AnyPlan_KeepsEveryMomentInItsWindow()
    {
        var plans = Gen.Select(Gen.Int[1, 400], Gen.Int[1, 100_000], Gen.Int[0, 1], Gen.Double[0, 0.25]);
        plans.Sample((buyers, seed, shape, share) =>
        {
            var plan = ArrivalPlan.Make(buyers, (RushShape)shape, Ten, new(share, share, share, share), seed);
            Assert.Equal(buyers, plan.Buyers.Count);
            foreach (var buyer in plan.Buyers)
            {
                Assert.Equal(buyer.Kind == BuyerKind.Early, buyer.Knock is not null);
                Assert.True(buyer.Knock is null || (buyer.Knock < TimeSpan.Zero && buyer.Knock >= -ArrivalPlan.KnockWindow));
                Assert.True(buyer.Kind == BuyerKind.Late ? buyer.Arrival >= Ten : buyer.Arrival >= TimeSpan.Zero && buyer.Arrival <= Ten);
                Assert.True(buyer.Arrival <= plan.LastArrival);
            }
        }, iter: 200);
    }
}

namespace Sluice.LoadTester.Arrivals;

internal enum BuyerKind
{
    Plain,

    /// <summary>Two requests at once, under one key or under two.</summary>
    DoubleClicker,

    /// <summary>Asks again with the same key after the answer.</summary>
    Retrier,

    /// <summary>Knocks before the opening, is refused, and comes back with the crowd.</summary>
    Early,

    /// <summary>Comes after the crowd.</summary>
    Late,
}

/// <param name="Knock">Before the opening, so negative; only early comers knock.</param>
/// <param name="Arrival">After the opening.</param>
/// <param name="SameKey">For a double-clicker: both requests carry one key.</param>
internal readonly record struct PlannedBuyer(int Index, BuyerKind Kind, TimeSpan? Knock, TimeSpan Arrival, bool SameKey);

/// <summary>
/// When every buyer comes, decided before the first request: an open model. A slow server does not slow the crowd down, and latency is
/// measured from these planned moments, so time spent waiting for a free connection is not left out (coordinated omission).
/// The same seed gives the same plan.
/// </summary>
internal sealed class ArrivalPlan
{
    /// <summary>Early comers knock within this time before the opening.</summary>
    public static readonly TimeSpan KnockWindow = TimeSpan.FromSeconds(1);

    // The last tenth of the window stays free, so that a knock is answered before the opening.
    private const double KnockWindowUsed = 0.9;

    // Time constant of the burst as a part of the duration: 63 % of the crowd comes in the first quarter, 98 % until the end.
    private const double BurstDecay = 0.25;

    private ArrivalPlan(PlannedBuyer[] buyers, TimeSpan lastArrival) => (Buyers, LastArrival) = (buyers, lastArrival);

    public IReadOnlyList<PlannedBuyer> Buyers { get; }
    public TimeSpan LastArrival { get; }

    public static ArrivalPlan Make(int buyers, RushShape shape, TimeSpan duration, BuyerShares shares, int seed)
    {
        var random = new Random(seed);
        var kinds = Kinds(buyers, shares, random);
        var lateSpan = TimeSpan.FromSeconds(Math.Clamp(duration.TotalSeconds / 5, 0.5, 2));
        var plan = new PlannedBuyer[buyers];
        var last = TimeSpan.Zero;
        for (var index = 0; index < buyers; index++)
        {
            var kind = kinds[index];
            var arrival = kind == BuyerKind.Late ? duration + (lateSpan * random.NextDouble()) : Arrival(shape, duration, random);
            TimeSpan? knock = kind == BuyerKind.Early ? KnockWindow * ((random.NextDouble() * KnockWindowUsed) - 1) : null;
            plan[index] = new PlannedBuyer(index, kind, knock, arrival, kind == BuyerKind.DoubleClicker && random.Next(2) == 0);
            last = arrival > last ? arrival : last;
        }

        return new ArrivalPlan(plan, last);
    }

    private static TimeSpan Arrival(RushShape shape, TimeSpan duration, Random random)
    {
        var u = random.NextDouble();
        return shape switch
        {
            // Uniform order statistics are what a Poisson process looks like once its count is known.
            RushShape.Steady => duration * u,

            // Inverse of the distribution function of an exponential cut off at the end of the duration.
            RushShape.Burst => duration * (-BurstDecay * Math.Log(1 - (u * (1 - Math.Exp(-1 / BurstDecay))))),
        };
    }

    private static BuyerKind[] Kinds(int buyers, BuyerShares shares, Random random)
    {
        var kinds = new BuyerKind[buyers];
        var next = 0;
        Fill(BuyerKind.DoubleClicker, shares.DoubleClickers);
        Fill(BuyerKind.Retrier, shares.Retriers);
        Fill(BuyerKind.Early, shares.Early);
        Fill(BuyerKind.Late, shares.Late);
        random.Shuffle(kinds);
        return kinds;

        void Fill(BuyerKind kind, double share)
        {
            var count = Math.Min((int)Math.Round(share * buyers), buyers - next);
            Array.Fill(kinds, kind, next, count);
            next += count;
        }
    }
}

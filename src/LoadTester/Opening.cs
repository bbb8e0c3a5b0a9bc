namespace Sluice.LoadTester;

/// <summary>When the sale opens, on the run's clock.</summary>
/// <param name="NotBefore">Before this the server cannot have opened it; null when it was open all along.</param>
/// <param name="ByTester">The load tester opens it itself, once the knocks are answered; <c>At</c> is then the earliest moment.</param>
internal sealed record Opening(TimeSpan At, TimeSpan? NotBefore, bool ByTester)
{
    private static readonly TimeSpan WaitMax = TimeSpan.FromMinutes(10);

    // Answers may arrive this much before the opening without being wrong: scheduling, and clocks that are read one after the other.
    private static readonly TimeSpan ClockTolerance = TimeSpan.FromMilliseconds(100);

    private static readonly TimeSpan Prelude = TimeSpan.FromMilliseconds(100);

    /// <summary>Whether early comers have something to be early for.</summary>
    public bool HasBefore => NotBefore is not null || ByTester;

    /// <exception cref="CannotRunException">The sale is not open and will not open soon enough; the message says what to do.</exception>
    public static async Task<Opening> FindAsync(Sale sale, bool openAtStart, TimeSpan knockWindow, ShopClient shop, RunClock clock,
        TimeProvider time, CancellationToken cancellation)
    {
        switch (sale.State)
        {
            case "open":
                return new Opening(clock.Now + Prelude, null, ByTester: false);
            case "closed":
                throw new CannotRunException($"Sale {sale.Id} is closed for good. Make a new one.");
            case var _ when openAtStart:
                return new Opening(clock.Now + knockWindow + Prelude, null, ByTester: true);
            case "scheduled" when sale.OpensAt is { } opensAt:
                var (offset, uncertainty) = await shop.GetClockOffsetAsync(time, cancellation);
                var wait = opensAt - (time.GetUtcNow() + offset);
                if (wait > WaitMax)
                {
                    throw new CannotRunException($"Sale {sale.Id} opens only at {opensAt:u}. Start within {WaitMax.TotalMinutes:0} minutes of that, or give --open-at-start.");
                }

                var at = clock.Now + wait;
                return new Opening(at, at - uncertainty - ClockTolerance, ByTester: false);
            default:
                throw new CannotRunException($"Sale {sale.Id} is {sale.State}. Open it first, or give --open-at-start.");
        }
    }
}

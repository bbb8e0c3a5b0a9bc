using System.Diagnostics.Metrics;

namespace Sluice.Platform.Admission;

/// <summary>
/// How many claims this node takes on at once. As long as they are answered in time, more and more; when they take longer on average than <see cref="AdmissionOptions.ClaimTimeMax"/>, a fifth less than there were, again and again
/// (additive increase, multiplicative decrease, as TCP does it). Who comes beyond that is told at once to come back: a queue that only grows helps nobody.
/// </summary>
public sealed class ClaimsAtOnce : IDisposable
{
    // Long enough for a mean, short against anybody's patience.
    private static readonly TimeSpan Window = TimeSpan.FromMilliseconds(100);

    private readonly AdmissionOptions options;
    private readonly TimeProvider time;
    private readonly Meter meter = new(Pools.PoolMetrics.MeterName);
    private readonly Counter<long> shed;
    private readonly Lock windowLock = new();
    private readonly int limitMax;
    private int inFlight;
    private int peak;
    private volatile int limit;
    private long windowEnds;
    private long answered;
    private long ticks;

    /// <param name="limitMax">More than this is never taken on.</param>
    public ClaimsAtOnce(AdmissionOptions options, int limitMax, TimeProvider time)
    {
        (this.options, this.limitMax, this.time) = (options, Math.Max(limitMax, options.ClaimsAtOnceMin), time);
        limit = this.limitMax;
        windowEnds = time.GetTimestamp() + WindowTicks;
        shed = meter.CreateCounter<long>("sluice_claims_shed", description: "Claims answered 503 overloaded: the ones before them took too long");
        meter.CreateObservableGauge("sluice_claims_at_once_max", () => limit, description: "Claims that this node takes on at once now");
    }

    /// <summary>How many are taken on at once now.</summary>
    public int Limit => limit;

    private long WindowTicks => (long)(Window.TotalSeconds * time.TimestampFrequency);

    /// <summary>False: not this one. True: call <see cref="Leave"/> with the result when it has its answer.</summary>
    /// <param name="entered">When it came.</param>
    public bool TryEnter(out long entered)
    {
        entered = time.GetTimestamp();
        var now = Interlocked.Increment(ref inFlight);
        if (now > limit)
        {
            Interlocked.Decrement(ref inFlight);
            shed.Add(1);
            return false;
        }

        // A lost update of the peak is put right by the next claim.
        if (now > Volatile.Read(ref peak))
        {
            Volatile.Write(ref peak, now);
        }

        return true;
    }

    /// <summary>It has its answer, of whatever kind.</summary>
    public void Leave(long entered)
    {
        var now = time.GetTimestamp();
        Interlocked.Decrement(ref inFlight);
        Interlocked.Increment(ref answered);
        Interlocked.Add(ref ticks, now - entered);
        if (now >= Volatile.Read(ref windowEnds) && windowLock.TryEnter())
        {
            try
            {
                Turn(now);
            }
            finally
            {
                windowLock.Exit();
            }
        }
    }

    public void Dispose() => meter.Dispose();

    private void Turn(long now)
    {
        if (now < windowEnds)
        {
            return;
        }

        Volatile.Write(ref windowEnds, now + WindowTicks);
        var mean = (double)Interlocked.Exchange(ref ticks, 0) / Math.Max(1, Interlocked.Exchange(ref answered, 0)) / time.TimestampFrequency;
        var had = Interlocked.Exchange(ref peak, Volatile.Read(ref inFlight));
        if (mean > options.ClaimTimeMax.TotalSeconds)
        {
            limit = Math.Max(options.ClaimsAtOnceMin, Math.Min(limit, had) * 4 / 5);
        }
        else if (had * 5L >= limit * 4L)
        {
            // Only where it is what holds them back.
            limit = Math.Min(limitMax, limit + Math.Max(8, limit / 10));
        }
    }
}

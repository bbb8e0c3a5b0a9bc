namespace Sluice.Platform.Admission;

/// <summary>
/// A rate limit for each user (or address) on this node, in constant memory: GCRA (ITU-T I.371) over a table of theoretical arrival times, indexed by a hash of the name.
/// Two names share a place with a chance of one in a million.
/// </summary>
/// <param name="perSecond">In the long run, above 0; less than one is one in several seconds.</param>
/// <param name="burst">At once.</param>
public sealed class LocalRateLimit(double perSecond, int burst, TimeProvider time)
{
    private const int Places = 1 << 20;

    private readonly long[] arrivals = new long[Places];
    private readonly double interval = time.TimestampFrequency / perSecond;

    /// <summary>Null when they may ask now, else how long to wait.</summary>
    /// <param name="part">Which part of the limit is meant: 2 is a half of it, never less than one at once.</param>
    public TimeSpan? Check(string who, int part = 1)
    {
        ref var place = ref arrivals[(uint)string.GetHashCode(who, StringComparison.Ordinal) % Places];
        var step = (long)(interval * part);
        var tolerance = step * (Math.Max(1, burst / part) - 1);
        var now = time.GetTimestamp();
        while (true)
        {
            var seen = Volatile.Read(ref place);
            var due = Math.Max(seen, now);
            if (due - now > tolerance)
            {
                return TimeSpan.FromSeconds((double)(due - now - tolerance) / time.TimestampFrequency);
            }

            if (Interlocked.CompareExchange(ref place, due + step, seen) == seen)
            {
                return null;
            }
        }
    }
}

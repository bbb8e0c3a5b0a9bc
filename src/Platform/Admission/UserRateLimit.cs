using System.ComponentModel.DataAnnotations;

namespace Sluice.Platform.Admission;

/// <summary>How often one user may ask.</summary>
public sealed class AdmissionOptions
{
    /// <summary>Claims a second for one user in the long run, 1–10,000.</summary>
    [Range(1, 10_000)] public int ClaimsPerUserPerSecond { get; init; } = 10;

    /// <summary>Claims that one user may send at once, 1–10,000.</summary>
    [Range(1, 10_000)] public int ClaimsPerUserBurst { get; init; } = 20;
}

/// <summary>
/// A rate limit for each user (or address), in constant memory: GCRA (ITU-T I.371) over a table of theoretical arrival times, indexed by a hash of the user.
/// Two users share a place with a chance of one in a million.
/// </summary>
/// <param name="perSecond">In the long run.</param>
/// <param name="burst">At once.</param>
public sealed class UserRateLimit(int perSecond, int burst, TimeProvider time)
{
    private const int Places = 1 << 20;

    private readonly long[] arrivals = new long[Places];
    private readonly long interval = time.TimestampFrequency / perSecond;
    private readonly long tolerance = time.TimestampFrequency / perSecond * (burst - 1);

    /// <summary>Null when the user may ask now, else how long to wait.</summary>
    public TimeSpan? Check(string userId)
    {
        ref var place = ref arrivals[(uint)string.GetHashCode(userId, StringComparison.Ordinal) % Places];
        var now = time.GetTimestamp();
        while (true)
        {
            var seen = Volatile.Read(ref place);
            var due = Math.Max(seen, now);
            if (due - now > tolerance)
            {
                return TimeSpan.FromSeconds((double)(due - now - tolerance) / time.TimestampFrequency);
            }

            if (Interlocked.CompareExchange(ref place, due + interval, seen) == seen)
            {
                return null;
            }
        }
    }
}

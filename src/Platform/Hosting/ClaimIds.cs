namespace Sluice.Platform.Hosting;

/// <summary>
/// Makes ids that are unique over all nodes, ordered by time, and carry the node and the user's bucket:
/// <c>40 bits ms since 2026-01-01 | 8 bits node | 8 bits bucket | 7 bits sequence</c>, a positive 64-bit integer until the year 2060.
/// Lock-free; 128 ids a millisecond for each bucket, beyond that the id borrows the next millisecond.
/// </summary>
/// <remarks>The bucket says on which SQL shard the user's rows live, so an id alone finds its row.</remarks>
public sealed class ClaimIds(int nodeId, TimeProvider time)
{
    public const int BucketCount = 256;
    private const int SequenceBits = 7, BucketBits = 8, NodeBits = 8;

    /// <summary>2026-01-01T00:00:00Z.</summary>
    private static readonly long EpochMs = new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero).ToUnixTimeMilliseconds();

    // For each bucket the last (ms << 7 | sequence) given out. One step up is always a new id, whatever the clock does meanwhile.
    private readonly long[] last = new long[BucketCount];

    /// <summary>The next id for a user.</summary>
    public long Next(string userId)
    {
        var bucket = Bucket(userId);
        var now = (time.GetUtcNow().ToUnixTimeMilliseconds() - EpochMs) << SequenceBits;
        while (true)
        {
            var seen = Volatile.Read(ref last[bucket]);
            var next = Math.Max(seen + 1, now);
            if (Interlocked.CompareExchange(ref last[bucket], next, seen) == seen)
            {
                var ms = next >> SequenceBits;
                var sequence = next & ((1 << SequenceBits) - 1);
                return (((((ms << NodeBits) | (uint)nodeId) << BucketBits) | (uint)bucket) << SequenceBits) | sequence;
            }
        }
    }

    /// <summary>Never gives out an id at or before the moment of <paramref name="id"/>: called at start with the newest id found, in case the clock was set back.</summary>
    public void StartAfter(long id)
    {
        var floor = (TimeOf(id).ToUnixTimeMilliseconds() + 1 - EpochMs) << SequenceBits;
        for (var bucket = 0; bucket < BucketCount; bucket++)
        {
            last[bucket] = Math.Max(last[bucket], floor);
        }
    }

    /// <summary>When the id was made, by the clock of the node that made it.</summary>
    public static DateTimeOffset TimeOf(long id) =>
        DateTimeOffset.FromUnixTimeMilliseconds((id >> (NodeBits + BucketBits + SequenceBits)) + EpochMs);

    /// <summary>The bucket (0–255) of the user whose id this is.</summary>
    public static int BucketOf(long id) => (int)(id >> SequenceBits) & (BucketCount - 1);

    /// <summary>The bucket (0–255) of a user: FNV-1a of the id's characters, the same on every node and in every version.</summary>
    public static int Bucket(string userId)
    {
        var hash = 2166136261u;
        foreach (var c in userId)
        {
            hash = (hash ^ c) * 16777619u;
        }

        return (int)((hash ^ (hash >> 16)) & (BucketCount - 1));
    }
}

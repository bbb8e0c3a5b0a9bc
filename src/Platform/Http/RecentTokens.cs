using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;

namespace Sluice.Platform.Http;

/// <summary>What was found out about tokens that came twice lately. Bounded, without a lock or a clean-up.</summary>
/// <param name="countMax">Verdicts kept.</param>
internal sealed class RecentTokens<T>(int countMax)
    where T : class
{
    /// <summary>Places in which a token that was seen once leaves its mark.</summary>
    private const int MarksCount = 1 << 16;

    private readonly int[] marks = new int[MarksCount];
    private ConcurrentDictionary<string, T> young = new(StringComparer.Ordinal);
    private int youngCount;
    private ConcurrentDictionary<string, T> old = new(StringComparer.Ordinal);

    public bool TryFind(ReadOnlySpan<char> token, [NotNullWhen(true)] out T? verdict) =>
        young.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(token, out verdict) || old.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(token, out verdict);

    /// <param name="token">At least eight characters.</param>
    public void Keep(ReadOnlySpan<char> token, T verdict)
    {
        // Most buyers of a rush ask once, and what is kept of them costs the collector more than the check: kept is who comes a second time.
        if (IsMarked(token) && young.TryAdd(token.ToString(), verdict) && Interlocked.Increment(ref youngCount) >= countMax / 2)
        {
            // Two generations: when the young one is full it becomes the old one, and the old one is dropped. No clean-up, no lock.
            // Counted beside the dictionary: its own Count takes every lock it has.
            youngCount = 0;
            (old, young) = (young, new(StringComparer.Ordinal));
        }
    }

    public void Forget(ReadOnlySpan<char> token, T verdict)
    {
        young.TryRemove(KeyValuePair.Create(token.ToString(), verdict));
        old.TryRemove(KeyValuePair.Create(token.ToString(), verdict));
    }

    // True when a token like this one left its mark before. Another may have overwritten it or left the same: then a verdict is kept one visit later or sooner.
    private bool IsMarked(ReadOnlySpan<char> token)
    {
        var mark = string.GetHashCode(token[^8..], StringComparison.Ordinal);
        ref var place = ref marks[(uint)mark % MarksCount];
        if (place == mark)
        {
            return true;
        }

        place = mark;
        return false;
    }
}

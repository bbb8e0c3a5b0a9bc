using System.Collections.Concurrent;

namespace Sluice.Platform.Cache;

/// <summary>
/// What this node knows of how new answers are: which changes it has heard of, and what it has shown that others do not have yet. With it nobody sees an older answer after a newer one (README.md in this folder).
/// </summary>
/// <param name="heardAge">What was begun to be read longer ago than this is in no memory any more.</param>
internal sealed class Freshness(TimeSpan heardAge, TimeProvider time)
{
    // Keys of which it is remembered what was shown straight from SQL; while what nodes share is away that is every key.
    private const int AheadMax = 50_000;

    private static readonly TimeSpan AbsentGrace = TimeSpan.FromSeconds(1);

    // When this node heard of a change of a key that it has in memory or is reading: of all others it need not know. Bounded by what is in memory and what is being read.
    private readonly ConcurrentDictionary<string, long> heard = new(StringComparer.Ordinal);

    // The newest answer that came straight from SQL and is not what nodes share: it may show a change that is committed and not told yet, and what is shared or in memory may be from before.
    private readonly ConcurrentDictionary<string, Ahead> ahead = new(StringComparer.Ordinal);

    // How many reads of a key are under way.
    private readonly ConcurrentDictionary<string, int> reading = new(StringComparer.Ordinal);
    private long heardAll, sweptAt;

    // At least as many as there are, about: a lost count is no harm.
    private int aheadCount;

    /// <summary>Whether something changed after this was begun to be read, as far as this node has heard.</summary>
    public bool IsOutdated(CacheKey key, long asOf) => asOf <= Volatile.Read(ref heardAll) || (!heard.IsEmpty && heard.TryGetValue(key.Name, out var at) && asOf <= at);

    /// <summary>Something under this key has changed: what was begun to be read before is outdated.</summary>
    public void Outdate(string key) => heard[key] = time.GetTimestamp();

    /// <summary>Changes may have been missed: everything that was begun to be read before counts as changed.</summary>
    public void HearAll() => Volatile.Write(ref heardAll, time.GetTimestamp());

    /// <summary>Until <see cref="EndReading"/> a change of this key is not missed.</summary>
    public void BeginReading(string key) => reading.AddOrUpdate(key, 1, (_, readers) => readers + 1);

    public bool IsBeingRead(string key) => reading.ContainsKey(key);

    public void EndReading(string key)
    {
        if (reading.AddOrUpdate(key, 0, (_, readers) => readers - 1) == 0)
        {
            // Unless somebody has begun in between.
            reading.TryRemove(new(key, 0));
        }
    }

    /// <summary>Remembers an answer that is shown though nodes do not share it, and returns it.</summary>
    public CachedAnswer ShownAhead(CacheKey key, CachedAnswer answer)
    {
        if (aheadCount < AheadMax)
        {
            aheadCount++;
            ahead.AddOrUpdate(key.Name, _ => new Ahead(answer.Version, time.GetTimestamp()), (_, shown) => answer.Version >= shown.Version ? new Ahead(answer.Version, time.GetTimestamp()) : shown);
        }

        return answer;
    }

    /// <summary>Whether this node has shown a newer one. That there is no such thing has no version: it counts as older for a moment, longer than a change takes to be told.</summary>
    public bool IsBehind(CacheKey key, CachedAnswer answer) =>
        !ahead.IsEmpty && ahead.TryGetValue(key.Name, out var shown) && answer.Version < shown.Version && (answer.Json is not null || time.GetElapsedTime(shown.At) < AbsentGrace);

    /// <summary>Forgets changes of which nothing older can be in memory any more.</summary>
    public void Sweep()
    {
        if (time.GetElapsedTime(sweptAt) < heardAge)
        {
            return;
        }

        sweptAt = time.GetTimestamp();
        foreach (var (key, shown) in ahead)
        {
            if (time.GetElapsedTime(shown.At) > heardAge)
            {
                ahead.TryRemove(new(key, shown));
            }
        }

        aheadCount = ahead.Count;
        foreach (var (key, at) in heard)
        {
            if (time.GetElapsedTime(at) > heardAge)
            {
                heard.TryRemove(new(key, at));
            }
        }
    }

    private sealed record Ahead(long Version, long At);
}

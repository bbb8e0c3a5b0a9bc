using System.Diagnostics.Metrics;
using Microsoft.Extensions.Caching.Memory;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using ZiggyCreatures.Caching.Fusion;

namespace Sluice.Platform.Cache;

/// <summary>
/// Answers from the nearest place that has them: this node's memory (what all users see alike), what nodes share, SQL. However many ask a node for the same at once, one of them reads it.
/// README.md in this folder numbers the steps and says why nobody sees an older answer after a newer one.
/// </summary>
public sealed class TieredCache : IDisposable
{
    /// <summary>An entry's own share of memory, beside its JSON and its key.</summary>
    private const int EntryBytes = 256;

    private const int TriesMax = 3;

    // From this part of its age on, what is asked for is read anew, while everybody still gets the old one: what is often asked for is never missed.
    private const float RefreshFrom = 0.8f;

    // A version that nobody has ever seen does not send every request to SQL.
    private static readonly TimeSpan KnownGrace = TimeSpan.FromMilliseconds(100);

    private readonly CacheTiers tiers;
    private readonly CacheOptions options;
    private readonly TimeProvider time;
    private readonly MemoryCache memory;
    private readonly FusionCache fusion;
    private readonly FusionCacheEntryOptions kept, passing, probed;
    private readonly Turns loads;

    private readonly Meter meter = new(Pools.PoolMetrics.MeterName);
    private readonly TierCounts counts;
    private readonly Freshness fresh;
    private long failures;

    public TieredCache(CacheTiers tiers, CacheOptions options, TimeProvider time)
    {
        (this.tiers, this.options, this.time) = (tiers, options, time);
        fresh = new Freshness(tiers.HeardAge, time);
        memory = new MemoryCache(new MemoryCacheOptions { SizeLimit = options.ProcessMiBMax * 1024L * 1024, TrackStatistics = true });
        kept = new FusionCacheEntryOptions(options.ProcessAge)
        {
            Size = EntryBytes,
            EagerRefreshThreshold = RefreshFrom,
            IsFailSafeEnabled = true,
            FailSafeMaxDuration = options.StaleMax,
            FailSafeThrottleDuration = TimeSpan.FromSeconds(1),
        };
        passing = new FusionCacheEntryOptions(options.ProcessAge) { Size = EntryBytes, SkipMemoryCacheRead = true, SkipMemoryCacheWrite = true };
        probed = new FusionCacheEntryOptions(options.ProcessAge) { Size = EntryBytes };
        fusion = new FusionCache(new FusionCacheOptions { DisableTagging = true, DefaultEntryOptions = kept }, memory);
        loads = new Turns(options.LoadsAtOnceMax, options.LoadsAtOnceMax * 8, "to read what is kept nowhere");
        counts = new TierCounts(meter);
        meter.CreateObservableCounter("sluice_cache_shared_failures", () => Interlocked.Read(ref failures), description: "Times that what nodes share could not be asked");
        meter.CreateObservableCounter("sluice_cache_shared_too_large", () => tiers.Shared?.TooLarge ?? 0, description: "Answers that nodes do not share because the engine takes none of that size");
        meter.CreateObservableGauge("sluice_cache_process_bytes", () => memory.GetCurrentStatistics()?.CurrentEstimatedSize ?? 0, unit: "By", description: "Memory for answers");
    }

    /// <summary>The answer under a key.</summary>
    /// <param name="load">Reads it from SQL, as it is at this moment or later: at the writer or with <see cref="ReadFrom.Reader"/>. May run more than once.</param>
    /// <param name="known">The version that the caller has seen, 0 = none: what is older than that is not given.</param>
    /// <exception cref="DependencyUnavailableException">It is kept nowhere, and SQL cannot be asked now or too many ask.</exception>
    public ValueTask<CachedAnswer> GetAsync(CacheKey key, Func<Task<CachedAnswer>> load, long known = 0) => key.IsPrivate ? FindOrReadAsync(key, load, known) : GetOrReadAsync(key, load, known);

    /// <summary>Several answers of one user. One round trip when all of them are kept; what is not goes its own way, as in <see cref="GetAsync"/>.</summary>
    /// <param name="parts">Keys of one user.</param>
    /// <inheritdoc cref="GetAsync"/>
    public async ValueTask<IReadOnlyList<CachedAnswer>> GetManyAsync(params IReadOnlyList<CachePart> parts)
    {
        var found = await FindAsync([.. parts.Select(part => part.Key)]);
        return await Task.WhenAll(parts.Select(async (part, i) => found[i] is { } there && there.Version >= part.Known ? there : await GetOrReadAsync(part.Key, part.Load, part.Known)));
    }

    private async ValueTask<CachedAnswer> FindOrReadAsync(CacheKey key, Func<Task<CachedAnswer>> load, long known) =>
        (await FindAsync([key]))[0] is { } there && there.Version >= known ? there : await GetOrReadAsync(key, load, known);

    // What is there of one user, who is most often alone in asking: only looked at, without a lease and without waiting for others. It is read for this caller, so nothing that was told before it asked is missing.
    private async ValueTask<CachedAnswer?[]> FindAsync(CacheKey[] keys)
    {
        if (SharedOf(keys[0]) is { } shared)
        {
            try
            {
                var found = await shared.FindAsync(Array.ConvertAll(keys, key => key.Name));
                for (var i = 0; i < found.Length; i++)
                {
                    if (found[i] is { } answer && fresh.IsBehind(keys[i], answer))
                    {
                        found[i] = null;
                    }
                    else if (found[i] is not null)
                    {
                        Told(found[i]!, Tier.Shared);
                    }
                }

                return found;
            }
            catch (DependencyUnavailableException)
            {
                Interlocked.Increment(ref failures);
            }
        }

        return new CachedAnswer?[keys.Length];
    }

    private async ValueTask<CachedAnswer> GetOrReadAsync(CacheKey key, Func<Task<CachedAnswer>> load, long known)
    {
        var inMemory = !key.IsPrivate || tiers.IsAlone;
        for (var tries = 1; tries <= TriesMax; tries++)
        {
            // Step 1: this node's memory. What will soon be too old goes the longer way, which shows it and has it read anew meanwhile.
            if (inMemory && await fusion.TryGetAsync<CachedAnswer>(key.Name, kept) is { HasValue: true, Value: var near } &&
                time.GetElapsedTime(near.AsOf) < options.ProcessAge * RefreshFrom && IsGood(near))
            {
                return Near(near);
            }

            // Steps 2 and 3, by one for all who ask meanwhile. Until the answer is in memory a change of it must not be missed.
            var asked = time.GetTimestamp();
            CachedAnswer answer;
            fresh.BeginReading(key.Name);
            try
            {
                answer = await fusion.GetOrSetAsync<CachedAnswer>(key.Name, (context, _) => ReadAsync(key, load, context), inMemory ? kept : passing);
            }
            finally
            {
                fresh.EndReading(key.Name);
            }

            // Step 4: something has changed since it was begun to be read. Whoever comes now must not see it, so it goes, and is read again.
            if (IsGood(answer))
            {
                return answer.AsOf < asked ? Near(answer) : answer;
            }

            await fusion.ExpireAsync(key.Name, kept);
        }

        return fresh.ShownAhead(key, await LoadAsync(load));

        bool IsGood(CachedAnswer answer) => !fresh.IsOutdated(key, answer.AsOf) && !fresh.IsBehind(key, answer) && (answer.Version >= known || time.GetElapsedTime(answer.AsOf) < KnownGrace);
    }

    /// <summary>True when these versions are still the newest, found out in one round trip and without loading the answers. False: they are not, or it takes a look at the answers to know.</summary>
    /// <param name="parts">Keys of one user, each with the version that the caller has.</param>
    public async ValueTask<bool> AreUnchangedAsync(params IReadOnlyList<(CacheKey Key, long Version)> parts)
    {
        if (SharedOf(parts[0].Key) is { } shared)
        {
            try
            {
                if ((await shared.VersionsAsync([.. parts.Select(part => part.Key.Name)])).SequenceEqual(parts.Select(part => (long?)part.Version)))
                {
                    counts.Count(Tier.Version, 0);
                    return true;
                }
            }
            catch (DependencyUnavailableException)
            {
                Interlocked.Increment(ref failures);
            }
        }

        return false;
    }

    /// <summary>
    /// True when this version is still the newest, found out without loading the answer. False: it is not, or it takes a look at the answer to know. What one user alone sees costs a round trip; what everybody sees costs one
    /// for all who ask this node within <see cref="CacheOptions.ProcessAge"/>, and none where its memory has the answer.
    /// </summary>
    public ValueTask<bool> IsUnchangedAsync(CacheKey key, long version) => key.IsPrivate ? AreUnchangedAsync((key, version)) : IsNewestAsync(key, version);

    private async ValueTask<bool> IsNewestAsync(CacheKey key, long version)
    {
        if (tiers.Shared is null)
        {
            return false;
        }

        if (await fusion.TryGetAsync<CachedAnswer>(key.Name, kept) is { HasValue: true, Value: var near } && time.GetElapsedTime(near.AsOf) < options.ProcessAge * RefreshFrom)
        {
            if (near.Version != version || !Stands(near))
            {
                return false;
            }

            Near(near);
            return true;
        }

        // A change that is heard of meanwhile must not be missed, as with an answer. While the engine is away nothing old stands in: the way of the answers knows what to do then.
        var name = ProbeOf(key.Name);
        CachedAnswer probe;
        fresh.BeginReading(key.Name);
        try
        {
            probe = await fusion.GetOrSetAsync<CachedAnswer>(name, (context, _) => ReadVersionAsync(key, context), probed);
        }
        finally
        {
            fresh.EndReading(key.Name);
        }

        if (!Stands(probe))
        {
            await fusion.ExpireAsync(name, probed);
            return false;
        }

        if (probe.Version != version)
        {
            return false;
        }

        counts.Count(Tier.Version, 0);
        return true;

        bool Stands(CachedAnswer answer) => !fresh.IsOutdated(key, answer.AsOf) && !fresh.IsBehind(key, answer);
    }

    // Version 0, which nobody asks for: it is not there, or somebody reads it just now, or the engine is away. That is remembered for a moment only, so that a crowd does not ask one by one.
    private async Task<CachedAnswer> ReadVersionAsync(CacheKey key, FusionCacheFactoryExecutionContext<CachedAnswer> context)
    {
        var asOf = time.GetTimestamp();
        long? version = null;
        try
        {
            version = (await tiers.Shared!.VersionsAsync([key.Name]))[0];
        }
        catch (DependencyUnavailableException)
        {
            Interlocked.Increment(ref failures);
        }

        if (version is null && KnownGrace < options.ProcessAge)
        {
            context.Options.SetDuration(KnownGrace);
        }

        return new CachedAnswer(version ?? 0, []) { AsOf = asOf };
    }

    // Where in memory the version alone is.
    private static string ProbeOf(string key) => "v" + key;

    /// <inheritdoc cref="Freshness.IsOutdated"/>
    internal bool IsOutdated(CacheKey key, long asOf) => fresh.IsOutdated(key, asOf);

    /// <summary>Something under this key has changed, and what nodes share of it is dropped: nothing that was begun to be read before is shown from now on.</summary>
    internal void Hear(string key)
    {
        // In this order: what is not being read any more is in memory by then.
        if (fresh.IsBeingRead(key) || memory.TryGetValue(key, out _) || memory.TryGetValue(ProbeOf(key), out _))
        {
            fresh.Outdate(key);
        }
    }

    /// <inheritdoc cref="Freshness.HearAll"/>
    internal void HearAll() => fresh.HearAll();

    /// <inheritdoc cref="Freshness.Sweep"/>
    internal void Sweep() => fresh.Sweep();

    public void Dispose()
    {
        fusion.Dispose();
        memory.Dispose();
        loads.Dispose();
        meter.Dispose();
    }

    // May go on after its caller has the old answer: then that one is in memory, and a change of the key is heard for it.
    private async Task<CachedAnswer> ReadAsync(CacheKey key, Func<Task<CachedAnswer>> load, FusionCacheFactoryExecutionContext<CachedAnswer> context)
    {
        var asOf = time.GetTimestamp();

        // Step 2: what nodes share.
        string? lease = null;
        CachedAnswer? answer = null;
        if (tiers.Shared is { } shared)
        {
            try
            {
                (answer, lease) = await shared.TakeAsync(key.Name);
                if (answer is not null && fresh.IsBehind(key, answer))
                {
                    // This node has shown a newer one: what is shared is from before a change that nobody has told yet.
                    await shared.DropAsync([key.Name]);
                    (answer, lease) = await shared.TakeAsync(key.Name);
                }
            }
            catch (DependencyUnavailableException)
            {
                Interlocked.Increment(ref failures);
            }
        }

        if (answer is not null)
        {
            answer = answer with { AsOf = asOf };
            Told(answer, Tier.Shared);
        }
        else
        {
            // Step 3: SQL.
            answer = await LoadAsync(load) with { AsOf = asOf };
            if (!await KeepAsync(key, lease, answer))
            {
                fresh.ShownAhead(key, answer);
            }
        }

        var duration = answer.Json is null && options.AbsentAge < options.ProcessAge ? options.AbsentAge : options.ProcessAge;
        duration = answer.Lasts is { } lasts && lasts < duration ? lasts : duration;
        context.Options.SetDuration(duration).SetSize(EntryBytes + (2 * key.Name.Length) + (answer.Json?.Length ?? 0));
        if (context is { HasStaleValue: true, StaleValue.Value.Reads: var shown } && shown >= options.HotReadsMin)
        {
            context.Options.SetPriority(CacheItemPriority.NeverRemove);
        }

        return answer;
    }

    // False: it is not what nodes share.
    private async Task<bool> KeepAsync(CacheKey key, string? lease, CachedAnswer answer)
    {
        if (lease is null)
        {
            return tiers.Shared is null;
        }

        try
        {
            var whole = answer.Json is null ? options.AbsentAge : options.SharedAge;
            var age = whole * (1 + (Random.Shared.NextDouble() / 10));
            return await tiers.Shared!.KeepAsync(key.Name, lease, answer, answer.Lasts is { } lasts && lasts < age ? lasts : age);
        }
        catch (DependencyUnavailableException)
        {
            Interlocked.Increment(ref failures);
            return false;
        }
    }

    // Where what is of one user is kept; null where this node's memory does it.
    private SharedAnswers? SharedOf(CacheKey key) => key.IsPrivate && !tiers.IsAlone ? tiers.Shared : null;

    private async Task<CachedAnswer> LoadAsync(Func<Task<CachedAnswer>> load)
    {
        await loads.TakeAsync(CancellationToken.None);
        try
        {
            var answer = await load();
            Told(answer, Tier.Sql);
            return answer;
        }
        finally
        {
            loads.Release();
        }
    }

    // Read by an earlier caller, or by one who asked a moment before.
    private CachedAnswer Near(CachedAnswer answer)
    {
        answer.Count();
        Told(answer, Tier.Process);
        counts.Age(answer.Reads, time.GetElapsedTime(answer.AsOf));
        return answer;
    }

    private void Told(CachedAnswer answer, Tier tier) => counts.Count(tier, answer.Json?.Length ?? 0);
}

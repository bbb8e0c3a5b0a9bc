using System.Diagnostics.Metrics;

namespace Sluice.Platform.Cache;

/// <summary>Where answers came from.</summary>
internal enum Tier
{
    /// <summary>This node's memory.</summary>
    Process,

    /// <summary>What nodes share.</summary>
    Shared,

    Sql,

    /// <summary>Found unchanged; nothing was loaded.</summary>
    Version,
}

/// <summary>Counts answers and their bytes. Plain numbers that are read when somebody asks for the metrics: a counter of the metrics library costs more than finding the answer in memory.</summary>
internal sealed class TierCounts
{
    // An answer in so many has its age recorded.
    private const int AgeOneIn = 16;

    private static readonly KeyValuePair<string, object?>[] Tags = [.. Enum.GetNames<Tier>().Select(name => new KeyValuePair<string, object?>("tier", name.ToLowerInvariant()))];

    private readonly Histogram<double> age;
    private readonly long[] reads = new long[Tags.Length], bytes = new long[Tags.Length];

    public TierCounts(Meter meter)
    {
        meter.CreateObservableCounter("sluice_cache_reads", () => Measured(reads), description: "Answers, by the tier they came from: process, shared, sql, version (unchanged, nothing loaded)");
        meter.CreateObservableCounter("sluice_cache_bytes", () => Measured(bytes), unit: "By", description: "JSON bytes of these answers");
        age = meter.CreateHistogram<double>("sluice_cache_age_seconds", unit: "s", description: "How long ago an answer from memory was read; one in 16 is looked at");
    }

    public void Count(Tier tier, int length)
    {
        Interlocked.Increment(ref reads[(int)tier]);
        Interlocked.Add(ref bytes[(int)tier], length);
    }

    /// <param name="nth">How often it was shown before.</param>
    public void Age(int nth, TimeSpan old)
    {
        if (nth % AgeOneIn == 0)
        {
            age.Record(old.TotalSeconds);
        }
    }

    private static IEnumerable<Measurement<long>> Measured(long[] counts) => Tags.Select((tag, tier) => new Measurement<long>(Interlocked.Read(ref counts[tier]), tag));
}

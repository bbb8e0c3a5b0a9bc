namespace Sluice.LoadTester.Measurements;

internal sealed record PoolSample(TimeSpan At, long LeftUnits, long QueueDepth, double OldestAgeMs);

/// <summary>
/// Looks at the pool five times a second, on a connection of its own so that it never waits behind the crowd. A look that fails
/// leaves a gap: a server that is away has no stock to show.
/// </summary>
internal sealed class PoolSampler(ShopClient shop, string poolId, RunClock clock, TimeProvider time)
{
    public static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);

    // About three hours.
    private const int SamplesMax = 54_000;

    private readonly Lock _gate = new();
    private readonly List<PoolSample> _samples = [];

    public PoolSample? Latest
    {
        get
        {
            lock (_gate)
            {
                return _samples.Count > 0 ? _samples[^1] : null;
            }
        }
    }

    public IReadOnlyList<PoolSample> Samples
    {
        get
        {
            lock (_gate)
            {
                return [.. _samples];
            }
        }
    }

    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            using var timer = new PeriodicTimer(Interval, time);
            do
            {
                if (await shop.TryGetPoolAsync(poolId, stop) is { } pool)
                {
                    lock (_gate)
                    {
                        if (_samples.Count < SamplesMax)
                        {
                            _samples.Add(new PoolSample(clock.Now, pool.LeftUnits, pool.QueueDepth, pool.OldestAgeMs));
                        }
                    }
                }
            }
            while (await timer.WaitForNextTickAsync(stop));
        }
        catch (OperationCanceledException)
        {
            // Stopping is the ordinary end.
        }
    }

    /// <summary>The 99th percentile and maximum of the oldest entry's age over all samples; zeros without samples.</summary>
    public static (double P99Ms, double MaxMs) QueueAge(IReadOnlyList<PoolSample> samples)
    {
        if (samples.Count == 0)
        {
            return (0, 0);
        }

        var ages = samples.Select(sample => sample.OldestAgeMs).Order().ToArray();
        return (ages[Math.Max(0, (int)Math.Ceiling(ages.Length * 0.99) - 1)], ages[^1]);
    }
}

using System.Text.Json.Serialization;

namespace Sluice.Bench.Runner;

/// <summary>One round of one contender. CPU times are per request (claim, order, row) and come from the operating system's account of each process.</summary>
/// <param name="PerSecond">What counts, per second.</param>
/// <param name="Count">How many there were.</param>
/// <param name="AppCpuMicros">CPU microseconds of the server's process for each; all of its threads, background work included.</param>
/// <param name="EngineCpuMicros">The same of the Redis server; null where the engine runs inside the app's process.</param>
/// <param name="ClientCpuMicros">The same of wrk, or of what else sends.</param>
/// <param name="P99Ms">Client-side: how long 99 % of the answers took at most; in a closed loop, or in an open one where the scenario says so.</param>
/// <param name="OtherCpuMicros">The same of each further kind of process, where there are more (a cluster); <paramref name="AppCpuMicros"/> then is that of the API nodes.</param>
internal sealed record Sample(
    double PerSecond, long Count, double AppCpuMicros, double? EngineCpuMicros, double? ClientCpuMicros, double? P99Ms, IReadOnlyDictionary<string, double>? OtherCpuMicros = null)
{
    /// <summary>What the serving side spends on each, all of its processes together.</summary>
    [JsonIgnore] public double ServerCpuMicros => AppCpuMicros + (EngineCpuMicros ?? 0) + (OtherCpuMicros?.Values.Sum() ?? 0);

    public static Sample Of(WrkSummary wrk, TimeSpan appCpu, TimeSpan? engineCpu = null) => new(
        wrk.PerSecond, wrk.Requests, appCpu.TotalMicroseconds / wrk.Requests, engineCpu?.TotalMicroseconds / wrk.Requests, wrk.CpuSeconds * 1e6 / wrk.Requests, wrk.P99Ms);
}

/// <summary>Something that is measured once in every round.</summary>
internal sealed record Contender(string Name, Func<CancellationToken, Task<Sample>> MeasureAsync);

/// <summary>What a scenario wants to know: the throughput (or the CPU) of one contender as a multiple of another's in the same round.</summary>
/// <param name="Goal">For throughput the least, for CPU and p99 the most that is wanted; null where none is set.</param>
/// <param name="P99Goal">p99 is compared only where this is set: of a closed loop it says little.</param>
internal sealed record Comparison(string Of, string To, double? Goal = null, double? CpuGoal = null, double? P99Goal = null);

internal sealed record Plan(string Name, string Says, IReadOnlyList<Contender> Contenders, IReadOnlyList<Comparison> Comparisons)
{
    /// <summary>What was weighed or counted once, beside the rounds; null where nothing was.</summary>
    public IReadOnlyDictionary<string, double>? Facts { get; init; }
}

/// <summary>Measures in turn, A B C A B C …, so that whatever else the machine does meets everyone alike; only ratios inside one round are compared.</summary>
internal static class Paired
{
    public static async Task<IReadOnlyDictionary<string, IReadOnlyList<Sample>>> RunAsync(Plan plan, int rounds, CancellationToken cancel)
    {
        var samples = plan.Contenders.ToDictionary(contender => contender.Name, _ => new List<Sample>(rounds), StringComparer.Ordinal);
        // Two rounds warm everything up, the JIT's second tier above all, and do not count.
        for (var round = -1; round <= rounds; round++)
        {
            foreach (var contender in plan.Contenders)
            {
                var sample = await contender.MeasureAsync(cancel);
                if (round > 0) samples[contender.Name].Add(sample);
                Console.Error.WriteLine(
                    $"  {(round < 1 ? "warm-up" : $"round {round}"),-8} {contender.Name,-28} {sample.PerSecond,10:N0}/s  app {sample.AppCpuMicros,7:F1} µs"
                    + (sample.EngineCpuMicros is { } engine ? $"  redis {engine,5:F1} µs" : "")
                    + (sample.ClientCpuMicros is { } client ? $"  client {client,5:F1} µs" : "")
                    + (sample.P99Ms is { } p99 ? $"  p99 {p99,7:F1} ms" : ""));
            }
        }

        return samples.ToDictionary(pair => pair.Key, pair => (IReadOnlyList<Sample>)pair.Value, StringComparer.Ordinal);
    }
}

internal static class Median
{
    public static double Of(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        var middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}

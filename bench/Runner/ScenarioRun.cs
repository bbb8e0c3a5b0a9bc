using Sluice.Bench.Runner.Scenarios;

namespace Sluice.Bench.Runner;

/// <summary>Runs scenarios one after the other and keeps what they found.</summary>
internal static class ScenarioRun
{
    public static readonly IReadOnlyDictionary<string, Func<Rig, CancellationToken, Task<Plan>>> All = new Dictionary<string, Func<Rig, CancellationToken, Task<Plan>>>(StringComparer.Ordinal)
    {
        ["claims"] = Claims.PlanAsync,
        ["claims-on-redis"] = ClaimsOnRedis.PlanAsync,
        ["half-rate"] = HalfRate.PlanAsync,
        ["sold-out"] = SoldOut.PlanAsync,
        ["durable-orders"] = DurableOrders.PlanAsync,
        ["drain"] = Drain.PlanAsync,
        ["queues"] = Queues.PlanAsync,
        ["reads"] = Reads.PlanAsync,
        ["cached-reads"] = CachedReads.PlanAsync,
        ["through-nginx"] = ThroughNginx.PlanAsync,
        ["lanes"] = Lanes.PlanAsync,
    };

    /// <returns>0; goals that were missed are reported, not punished: a slow machine is no defect.</returns>
    public static async Task<int> RunAsync(string[] names, BenchOptions options, bool writeResults, string command, CancellationToken cancel)
    {
        var layout = Layout.Find();
        var versions = await Surroundings.VersionsAsync(layout, cancel);
        foreach (var name in names)
        {
            await Console.Error.WriteLineAsync($"== {name}");
            var startedAt = TimeProvider.System.GetUtcNow();
            await using var rig = new Rig(layout, options);
            var plan = await All[name](rig, cancel);
            var samples = await Paired.RunAsync(plan, options.Rounds, cancel);
            var result = new ScenarioResult(
                options.Users == UserOrder.Ordered ? $"{plan.Name}-ordered-users" : plan.Name, plan.Says, startedAt, command.TrimEnd(), Surroundings.Machine(), versions,
                new Settings(options.Rounds, options.Seconds, options.Connections, options.Threads, options.Users == UserOrder.Ordered ? "ordered" : "scattered"),
                [.. plan.Contenders.Select(contender => Results.Summarise(contender.Name, samples[contender.Name]))],
                Results.Ratios(plan, samples), plan.Facts);

            foreach (var ratio in result.Ratios)
            {
                Console.WriteLine($"{result.Scenario}: {ratio.What} of {ratio.Of} to {ratio.To}: {ratio.Median:0.00} [{ratio.Min:0.00}–{ratio.Max:0.00}]"
                    + (ratio.Goal is null ? "" : $" (goal {ratio.Goal:0.##}: {(ratio.Reached == true ? "reached" : "missed")})"));
            }

            foreach (var fact in result.Facts ?? new Dictionary<string, double>()) Console.WriteLine($"{result.Scenario}: {fact.Key}: {fact.Value:0.#}");
            if (writeResults) await Results.WriteAsync(layout.Results, result);
        }

        return 0;
    }
}

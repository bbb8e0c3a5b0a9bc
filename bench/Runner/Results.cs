using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sluice.Bench.Runner;

internal sealed record Versions(string Sluice, string DotNet, string Wrk);
internal sealed record Machine(string Cpu, int Cores, double MemoryGiB, string Os);
internal sealed record Settings(int Rounds, double SecondsPerRound, int Connections, int WrkThreads, string UserIds);
internal sealed record ContenderResult(string Name, double PerSecond, double AppCpuMicros, double? EngineCpuMicros, double? ClientCpuMicros, double? P99Ms, IReadOnlyList<Sample> Rounds, IReadOnlyDictionary<string, double>? OtherCpuMicros = null);

/// <param name="What"><c>throughput</c>: more is better; <c>server CPU</c> (app and engine) and <c>p99</c>: less is better.</param>
internal sealed record RatioResult(string What, string Of, string To, double Median, double Min, double Max, double? Goal, bool? Reached, IReadOnlyList<double> Rounds);

/// <summary>One scenario's outcome, as it is kept in bench/results. Every figure is a median over the rounds; the rounds are there too.</summary>
internal sealed record ScenarioResult(
    string Scenario, string Says, DateTimeOffset StartedAt, string Command, Machine Machine, Versions Versions, Settings Settings,
    IReadOnlyList<ContenderResult> Contenders, IReadOnlyList<RatioResult> Ratios, IReadOnlyDictionary<string, double>? Facts = null);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = true, NewLine = "\n")]
[JsonSerializable(typeof(ScenarioResult))]
internal sealed partial class ResultsJson : JsonSerializerContext
{
    public static ResultsJson Readable { get; } = new(new JsonSerializerOptions(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}

internal static class Results
{
    public static IReadOnlyList<RatioResult> Ratios(Plan plan, IReadOnlyDictionary<string, IReadOnlyList<Sample>> samples)
    {
        var ratios = new List<RatioResult>();
        foreach (var comparison in plan.Comparisons)
        {
            Add("throughput", sample => sample.PerSecond, comparison.Goal, median => median >= comparison.Goal);
            Add("server CPU", sample => sample.ServerCpuMicros, comparison.CpuGoal, median => median <= comparison.CpuGoal);
            if (comparison.P99Goal is not null)
            {
                Add("p99", sample => sample.P99Ms!.Value, comparison.P99Goal, median => median <= comparison.P99Goal);
            }

            void Add(string what, Func<Sample, double> value, double? goal, Func<double, bool> reached)
            {
                // Only rounds are compared with each other: what the machine did meanwhile met both.
                var rounds = samples[comparison.Of].Zip(samples[comparison.To], (of, to) => Math.Round(value(of) / value(to), 4)).ToArray();
                var median = Median.Of(rounds);
                ratios.Add(new RatioResult(what, comparison.Of, comparison.To, median, rounds.Min(), rounds.Max(), goal, goal is null ? null : reached(median), rounds));
            }
        }

        return ratios;
    }

    public static ContenderResult Summarise(string name, IReadOnlyList<Sample> rounds) => new(
        name,
        Math.Round(Median.Of(rounds.Select(round => round.PerSecond))),
        Math.Round(Median.Of(rounds.Select(round => round.AppCpuMicros)), 2),
        rounds[0].EngineCpuMicros is null ? null : Math.Round(Median.Of(rounds.Select(round => round.EngineCpuMicros!.Value)), 2),
        rounds[0].ClientCpuMicros is null ? null : Math.Round(Median.Of(rounds.Select(round => round.ClientCpuMicros!.Value)), 2),
        rounds[0].P99Ms is null ? null : Math.Round(Median.Of(rounds.Select(round => round.P99Ms!.Value)), 2),
        [.. rounds.Select(round => round with
        {
            PerSecond = Math.Round(round.PerSecond),
            AppCpuMicros = Math.Round(round.AppCpuMicros, 2),
            EngineCpuMicros = round.EngineCpuMicros is { } engine ? Math.Round(engine, 2) : null,
            ClientCpuMicros = round.ClientCpuMicros is { } cpu ? Math.Round(cpu, 2) : null,
        })],
        rounds[0].OtherCpuMicros?.Keys.ToDictionary(kind => kind, kind => Math.Round(Median.Of(rounds.Select(round => round.OtherCpuMicros![kind])), 2), StringComparer.Ordinal));

    /// <summary>Writes bench/results/&lt;date&gt;-&lt;scenario&gt;.json and the table of all scenarios again.</summary>
    public static async Task WriteAsync(string folder, ScenarioResult result)
    {
        Directory.CreateDirectory(folder);
        var name = string.Create(CultureInfo.InvariantCulture, $"{result.StartedAt:yyyy-MM-dd}-{result.Scenario}.json");
        await File.WriteAllTextAsync(Path.Combine(folder, name), JsonSerializer.Serialize(result, ResultsJson.Readable.ScenarioResult) + "\n");
        await File.WriteAllTextAsync(Path.Combine(folder, "README.md"), await TableAsync(folder));
    }

    private static async Task<string> TableAsync(string folder)
    {
        var newest = new SortedDictionary<string, (string File, ScenarioResult Result)>(StringComparer.Ordinal);
        foreach (var file in Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal))
        {
            var result = JsonSerializer.Deserialize(await File.ReadAllTextAsync(file), ResultsJson.Readable.ScenarioResult)!;
            newest[result.Scenario] = (Path.GetFileName(file), result);   // names begin with the date, so the last one is the newest
        }

        var page = new StringBuilder();
        page.Append("""
            # What was measured

            **Everything runs on one machine at the same time (load generator, server, database), so only ratios inside one round mean anything.**
            This page is written by `bench/run` from the newest file of each scenario beside it; the files have every round.
            Medians over the rounds, ranges in brackets. CPU is the operating system's account of each process, background work included; server CPU is the app's and, where it is a process of its own, the engine's.

            | scenario | ratio of | to | throughput | server CPU | p99 | goal |
            |---|---|---|---|---|---|---|

            """);
        foreach (var (file, result) in newest.Values)
        {
            foreach (var pair in result.Ratios.GroupBy(ratio => (ratio.Of, ratio.To)))
            {
                var throughput = pair.First(ratio => ratio.What == "throughput");
                var cpu = pair.First(ratio => ratio.What == "server CPU");
                var p99 = pair.FirstOrDefault(ratio => ratio.What == "p99");
                page.Append(CultureInfo.InvariantCulture,
                    $"| [{result.Scenario}]({file}) | {pair.Key.Of} | {pair.Key.To} | {Show(throughput)} | {Show(cpu)} | {(p99 is null ? "–" : Show(p99))} | {Goal(throughput, "≥")}{Goal(cpu, "CPU ≤")}{(p99 is null ? "" : Goal(p99, "p99 ≤"))} |\n");
            }
        }

        foreach (var (_, result) in newest.Values)
        {
            page.Append(CultureInfo.InvariantCulture, $"\n## {result.Scenario}\n\n{result.Says}\n\n| | per second | app CPU µs | Redis CPU µs | wrk CPU µs | p99 ms |\n|---|---|---|---|---|---|\n");
            foreach (var contender in result.Contenders)
            {
                page.Append(CultureInfo.InvariantCulture,
                    $"| {contender.Name} | {contender.PerSecond:N0} [{contender.Rounds.Min(round => round.PerSecond):N0}–{contender.Rounds.Max(round => round.PerSecond):N0}] | {contender.AppCpuMicros:F1} | {Optional(contender.EngineCpuMicros)} | {Optional(contender.ClientCpuMicros)} | {Optional(contender.P99Ms)} |\n");
            }

            foreach (var contender in result.Contenders.Where(contender => contender.OtherCpuMicros is not null))
            {
                page.Append(CultureInfo.InvariantCulture, $"\n{contender.Name}: app is both API nodes; besides {string.Join(", ", contender.OtherCpuMicros!.Select(kind => string.Create(CultureInfo.InvariantCulture, $"{kind.Key} {kind.Value:F1}")))} µs.\n");
            }

            foreach (var fact in result.Facts ?? new Dictionary<string, double>())
            {
                page.Append(CultureInfo.InvariantCulture, $"\n- {fact.Key}: **{fact.Value:0.#}**");
            }

            page.Append(result.Facts is null ? "" : "\n").Append(CultureInfo.InvariantCulture,
                $"\n`{result.Command}` on {result.StartedAt:yyyy-MM-dd}: {result.Settings.Rounds} rounds of {result.Settings.SecondsPerRound} s, {result.Settings.Connections} connections, user ids {result.Settings.UserIds}. {result.Machine.Cpu}, {result.Machine.Cores} cores, {result.Machine.MemoryGiB:F0} GiB, {result.Machine.Os}; Sluice {result.Versions.Sluice}, .NET {result.Versions.DotNet}, wrk {result.Versions.Wrk}.\n");
        }

        return page.ToString();

        static string Show(RatioResult ratio) => string.Create(CultureInfo.InvariantCulture, $"**{ratio.Median:0.00}** [{ratio.Min:0.00}–{ratio.Max:0.00}]");
        static string Optional(double? value) => value?.ToString("F1", CultureInfo.InvariantCulture) ?? "–";
        static string Goal(RatioResult ratio, string word) => ratio.Goal is null
            ? "" : string.Create(CultureInfo.InvariantCulture, $"{word} {ratio.Goal:0.##} {(ratio.Reached == true ? "reached" : "**missed**")} ");
    }
}

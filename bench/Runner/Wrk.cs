using System.Globalization;
using System.Text.Json;

namespace Sluice.Bench.Runner;

/// <summary>Runs wrk with a script of bench/wrk and reads the line of JSON that it prints.</summary>
internal sealed class Wrk(Layout layout, int threads, int connections)
{
    public int Threads => threads;

    public int Connections => connections;

    public async Task<WrkSummary> RunAsync(string script, string url, double seconds, CancellationToken cancel, params string[] arguments)
    {
        var duration = (int)Math.Ceiling(seconds);
        var output = await Child.RunAsync("wrk", "wrk",
            [
                $"-t{threads.ToString(CultureInfo.InvariantCulture)}", $"-c{connections.ToString(CultureInfo.InvariantCulture)}",
                $"-d{duration.ToString(CultureInfo.InvariantCulture)}s", "--timeout", "20s",
                "-s", Path.Combine(layout.Scripts, script), url, "--", .. arguments,
            ],
            TimeSpan.FromSeconds(duration + 60), cancel);
        var json = output.Split('\n').LastOrDefault(line => line.StartsWith('{'))
            ?? throw new BenchException($"wrk printed no summary:\n{output}");
        return JsonSerializer.Deserialize(json, Wire.Default.WrkSummary)!;
    }
}

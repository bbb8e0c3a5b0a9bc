using System.Globalization;
using System.Text.Json;

namespace Sluice.Bench.Runner;

/// <summary>Runs wrk with a script of bench/wrk and reads the line of JSON that it prints.</summary>
internal sealed class Wrk(Layout layout, int threads, int connections)
{
    public int Threads => threads;

    public int Connections => connections;

    public Task<WrkSummary> RunAsync(string script, string url, double seconds, CancellationToken cancel, params string[] arguments) =>
        RunAsync(script, url, seconds, interruptWhen: null, arguments, cancel);

    /// <summary>Runs claims.lua until every buyer is answered, or <paramref name="secondsMax"/> are over.</summary>
    public Task<WrkSummary> RunAllAsync(string url, double secondsMax, TempFolder folder, CancellationToken cancel, params string[] arguments)
    {
        var finished = Enumerable.Range(0, threads).Select(thread => folder.File(string.Create(CultureInfo.InvariantCulture, $"finished-{thread}.txt"))).ToArray();
        foreach (var file in finished) File.Delete(file);
        return RunAsync("claims.lua", url, secondsMax, () => finished.All(File.Exists),
            ["answers=1", $"finished={folder.File("finished-")}", .. arguments], cancel);
    }

    private async Task<WrkSummary> RunAsync(
        string script, string url, double seconds, Func<bool>? interruptWhen, string[] arguments, CancellationToken cancel)
    {
        var duration = (int)Math.Ceiling(seconds);
        var output = await ProgramRun.ToEndAsync("wrk", "wrk",
            [
                $"-t{threads.ToString(CultureInfo.InvariantCulture)}", $"-c{connections.ToString(CultureInfo.InvariantCulture)}",
                $"-d{duration.ToString(CultureInfo.InvariantCulture)}s", "--timeout", "20s",
                "-s", Path.Combine(layout.Scripts, script), url, "--", .. arguments,
            ],
            TimeSpan.FromSeconds(duration + 60), cancel, interruptWhen: interruptWhen);
        var json = output.Split('\n').LastOrDefault(line => line.StartsWith('{'))
            ?? throw new BenchException($"wrk printed no summary:\n{output}");
        return JsonSerializer.Deserialize(json, Wire.Default.WrkSummary)!;
    }
}

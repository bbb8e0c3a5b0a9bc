using System.Globalization;

namespace Sluice.Bench.Runner;

/// <summary>The machine and the programs of a run: without them a figure means nothing.</summary>
internal static class Surroundings
{
    public static Machine Machine() => new(
        Value("/proc/cpuinfo", "model name", ':') ?? "unknown CPU",
        Environment.ProcessorCount,
        Math.Round(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / Math.Pow(2, 30), 1),
        string.Create(CultureInfo.InvariantCulture,
            $"{Value("/etc/os-release", "PRETTY_NAME", '=') ?? "Linux"}, Linux {Environment.OSVersion.Version.Major}.{Environment.OSVersion.Version.Minor}"));

    public static async Task<Versions> VersionsAsync(Layout layout, CancellationToken cancel)
    {
        var limit = TimeSpan.FromSeconds(10);
        var commit = (await ProgramRun.ToEndAsync("git", "git", ["-C", layout.Root, "describe", "--always", "--dirty"], limit, cancel)).Trim();
        // "wrk -v" prints its version and ends with 1, as if it had been asked wrongly.
        var wrk = (await ProgramRun.ToEndAsync("wrk", "wrk", ["-v"], limit, cancel, otherGoodExitCode: 1)).Split('\n')[0].Split(' ');
        return new Versions(commit, Environment.Version.ToString(), wrk.Length > 1 ? wrk[1] : "unknown");
    }

    private static string? Value(string file, string name, char separator) => !File.Exists(file)
        ? null
        : File.ReadLines(file).FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal))?.Split(separator, 2)[1].Trim().Trim('"');
}

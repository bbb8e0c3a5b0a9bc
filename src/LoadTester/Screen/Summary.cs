using System.Globalization;
using Spectre.Console;

namespace Sluice.LoadTester.Screen;

/// <summary>What a person reads when it is over: the verdict first, then figures, then checks, then where the report lies.</summary>
internal static class Summary
{
    private const int WidthMin = 200;

    public static void Write(RushResult result, IAnsiConsole console)
    {
        // A pipe has no width; wrapping at 80 would tear the lines that people search in logs.
        console.Profile.Width = Math.Max(console.Profile.Width, WidthMin);
        console.MarkupLine($"[bold {(result.Held ? "green" : "red")}]{Markup.Escape(result.Says)}[/]");
        console.WriteLine();
        foreach (var (name, value) in Figures(result))
        {
            console.WriteLine($"  {name,-20}{value}");
        }

        console.WriteLine();
        foreach (var check in result.Checks)
        {
            var line = string.Create(CultureInfo.InvariantCulture, $"{check.Name,-36}{check.Found,10:N0} of {check.Expected,8:N0}");
            console.MarkupLine($"  [{(check.Holds ? "green" : "red")}]{(check.Holds ? "holds " : "BROKEN")}[/]  {Markup.Escape(line)}");
            if (!check.Holds)
            {
                console.WriteLine($"          {check.Says}{(check.ClaimIds.Count > 0 ? " Not so: " + string.Join(", ", check.ClaimIds) : "")}");
            }
        }

        foreach (var note in result.Notes)
        {
            console.WriteLine();
            console.WriteLine($"  Note: {note}");
        }

        if (result.ReportPath is { } report)
        {
            console.WriteLine();
            console.WriteLine($"  Report: {report}");
        }
    }

    internal static IEnumerable<(string Name, string Value)> Figures(RushResult r)
    {
        yield return ("requests", F($"{r.Requests:N0} in {r.Seconds:0.0} s, {r.RequestsPerSecond:N0}/s over {r.Connections} connections"));
        yield return ("accepted", F($"{r.Accepted:N0} in {r.AcceptedSeconds:0.00} s, {r.AcceptedPerSecond:N0}/s; told again {r.Repeated:N0}"));
        yield return ("refused", F($"{r.SoldOut:N0} sold out, {r.Limited:N0} limit reached, {r.NotOpen:N0} not open, {r.RateLimited:N0} rate limited, {r.OtherRefusals:N0} other"));
        yield return ("errors", F($"{r.Errors5xx:N0} with 5xx, {r.ConnectionErrors:N0} without an answer; {r.InDoubt:N0} left in doubt"));
        yield return ("latency", F($"p50 {r.P50Ms:0.0}, p90 {r.P90Ms:0.0}, p99 {r.P99Ms:0.0}, p99.9 {r.P999Ms:0.0}, max {r.MaxMs:0.0} ms"));
        yield return ("queue", F($"at most {r.QueueDepthMax:N0} deep, oldest p99 {r.QueueAgeP99Ms:0} ms, max {r.QueueAgeMaxMs:0} ms; settled after {r.SettleSeconds:0.0} s"));
        yield return ("seed", F($"{r.Seed} ({r.Shape})"));
    }

    private static string F(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

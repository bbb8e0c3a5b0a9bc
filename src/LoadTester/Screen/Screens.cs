using System.Globalization;
using Sluice.LoadTester.Measurements;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Sluice.LoadTester.Screen;

/// <summary>What a screen shows of a rush in progress.</summary>
internal sealed record Progress(string Title, long StockUnits, string Phase, TimeSpan Elapsed, int Buyers, Score Score, PoolSample? Pool);

/// <summary>Shows progress while the rush runs; always on standard error, so that standard output stays the result's.</summary>
internal interface IScreen
{
    /// <summary>Runs until cancelled; never throws for being cancelled.</summary>
    Task RunAsync(Func<Progress> look, CancellationToken stop);
}

internal static class Screens
{
    public static IScreen Choose(RushOptions options, TimeProvider time)
    {
        if (!Console.IsErrorRedirected && !options.Quiet)
        {
            return new LiveTable(time);
        }

        return options.Quiet || options.Json ? new NoScreen() : new PlainLines(time);
    }
}

internal sealed class NoScreen : IScreen
{
    public Task RunAsync(Func<Progress> look, CancellationToken stop) => Task.CompletedTask;
}

/// <summary>A line every two seconds, for logs and pipes.</summary>
internal sealed class PlainLines(TimeProvider time) : IScreen
{
    public async Task RunAsync(Func<Progress> look, CancellationToken stop)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(2), time);
        try
        {
            while (await timer.WaitForNextTickAsync(stop))
            {
                var p = look();
                var c = p.Score.Counts;
                await Console.Error.WriteLineAsync(string.Create(CultureInfo.InvariantCulture,
                    $"{p.Elapsed.TotalSeconds,6:0.0} s  {p.Phase}: {c.Total:N0} answers, {c.Accepted:N0} accepted, {c.SoldOut:N0} sold out, {c.Errors:N0} errors, p50 {p.Score.Latency.P50Ms:0.0} ms, p99 {p.Score.Latency.P99Ms:0.0} ms{Pool(p.Pool)}"));
            }
        }
        catch (OperationCanceledException)
        {
            // Stopping is the ordinary end.
        }
    }

    private static string Pool(PoolSample? pool) => pool is null ? ""
        : string.Create(CultureInfo.InvariantCulture, $", {pool.LeftUnits:N0} left, queue {pool.QueueDepth:N0} / {pool.OldestAgeMs:0} ms");
}

/// <summary>A table that refreshes in place, four times a second. Spectre honours NO_COLOR.</summary>
internal sealed class LiveTable(TimeProvider time) : IScreen
{
    private static readonly TimeSpan Refresh = TimeSpan.FromMilliseconds(250);

    public async Task RunAsync(Func<Progress> look, CancellationToken stop)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        await console.Live(Render(look())).AutoClear(true).StartAsync(async live =>
        {
            using var timer = new PeriodicTimer(Refresh, time);
            try
            {
                while (await timer.WaitForNextTickAsync(stop))
                {
                    live.UpdateTarget(Render(look()));
                }
            }
            catch (OperationCanceledException)
            {
                // Stopping is the ordinary end.
            }
        });
    }

    internal static IRenderable Render(Progress p)
    {
        var c = p.Score.Counts;
        var table = new Table().Border(TableBorder.Rounded).BorderColor(Color.Grey).Title(Markup.Escape($"{p.Title}: {p.Phase}"))
            .AddColumn("").AddColumn(new TableColumn("").RightAligned()).AddColumn("").AddColumn(new TableColumn("").RightAligned()).HideHeaders();
        Row("buyers", N(p.Buyers), "time", $"{p.Elapsed.TotalSeconds:0.0} s");
        Row("answers", N(c.Total), "p50", $"{p.Score.Latency.P50Ms:0.0} ms");
        Row("accepted", $"[teal]{N(c.Accepted)}[/]", "p99", $"{p.Score.Latency.P99Ms:0.0} ms");
        Row("sold out", N(c.SoldOut), "stock left", p.Pool is { } pool ? $"{N(pool.LeftUnits)} of {N(p.StockUnits)}" : "–");
        Row("limited", N(c.Limited + c.RateLimited), "queue depth", p.Pool is { } q ? N(q.QueueDepth) : "–");
        Row("errors", c.Errors > 0 ? $"[red]{N(c.Errors)}[/]" : "0", "queue lag", p.Pool is { } age ? $"{age.OldestAgeMs:0} ms" : "–");
        return table;

        void Row(string a, string b, string d, string e) => table.AddRow($"[grey]{a}[/]", $"{b,14}", $"   [grey]{d}[/]", $"{e,14}");
    }

    private static string N(long value) => value.ToString("N0", CultureInfo.InvariantCulture);
}

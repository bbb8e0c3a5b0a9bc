using System.Globalization;
using System.Net;
using System.Text;

namespace Sluice.LoadTester.Report;

/// <summary>
/// The report of a rush: one file, no outside request, light and dark, two pages of A4. The verdict comes first; then five figures,
/// four plots, every check, and how it was run.
/// </summary>
internal static class RushReport
{
    private const string Gate = """<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" aria-hidden="true"><path d="M5 3v18M19 3v18M5 7h14M9 7v5h6V7M8 17c1.3-1 2.7-1 4 0s2.7 1 4 0"/></svg>""";
    private const string Tick = """<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><circle cx="12" cy="12" r="9.5" stroke-width="1.8"/><path d="m7.8 12.4 2.9 2.9 5.6-6"/></svg>""";
    private const string Cross = """<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" aria-hidden="true"><path d="M8.3 2.5h7.4l5.8 5.8v7.4l-5.8 5.8H8.3l-5.8-5.8V8.3z" stroke-width="1.8"/><path d="m8.8 8.8 6.4 6.4m0-6.4-6.4 6.4"/></svg>""";

    public static string Render(RushResult result, RushTimeline timeline)
    {
        var page = new StringBuilder(256 * 1024);
        page.Append($"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>{E(result.Says)} – Sluice</title>
            <style>
            {Css()}</style>
            </head>
            <body>
            <main>
            <header>{Gate}<span><b>Sluice</b> · report of a rush on {E(result.Title)} (sale {E(result.SaleId)})</span><time datetime="{result.StartedAt:O}">{F($"{result.StartedAt:d MMMM yyyy, HH:mm:ss} UTC")}</time></header>
            <h1 class="{(result.Held ? "held" : "broken")}">{(result.Held ? Tick : Cross)}<span>{E(result.Says)}</span></h1>
            <p class="lead">{E(Lead(result))}</p>

            """);
        foreach (var note in result.Notes)
        {
            page.Append($"<p class=\"note\">Note: {E(note)}</p>\n");
        }

        Figures(page, result);
        Plots(page, new RushPlots(result, timeline).Figures());
        Checks(page, result);
        Pair(page, result);
        page.Append("""
            </main>
            </body>
            </html>

            """);
        return page.ToString();
    }

    private static string Lead(RushResult r) => F($"{r.Requests:N0} requests in {r.Seconds:0.0} seconds; {(r.AcceptedSeconds < 1 ? F($"{r.AcceptedSeconds * 1000:0} ms") : F($"{r.AcceptedSeconds:0.0} s"))} from the opening to the last unit taken. ")
        + (r.InDoubt > 0 ? F($"{r.InDoubt:N0} claims were never answered for certain.") : "Every buyer got a definite answer.");

    private static void Figures(StringBuilder page, RushResult r)
    {
        var errors = r.Errors5xx + r.ConnectionErrors;
        page.Append("<dl class=\"figures\">\n");
        Figure("Accepted", F($"{r.AcceptedPerSecond:N0}"), "/s", F($"{r.Accepted:N0} of {r.Buyers:N0} buyers"));
        Figure("Wait, p50", Ms(r.P50Ms), "ms", "half of all answers came sooner");
        Figure("Wait, p99", Ms(r.P99Ms), "ms", F($"slowest {Ms(r.MaxMs)} ms"));
        Figure("Errors", F($"{errors:N0}"), "", F($"{r.Errors5xx:N0} with 5xx, {r.ConnectionErrors:N0} cut off"), errors > 0);
        Figure("Queue age", F($"{r.QueueAgeP99Ms:N0}"), "ms", F($"p99 of the oldest; at most {r.QueueDepthMax:N0} waiting"));
        page.Append("</dl>\n");

        void Figure(string name, string value, string unit, string under, bool warn = false) => page.Append(
            $"<div><dt>{name}</dt><dd{(warn ? " class=\"warn\"" : "")}>{value}{(unit.Length > 0 ? $" <small>{unit}</small>" : "")}</dd><dd class=\"under\">{under}</dd></div>\n");
    }

    private static void Plots(StringBuilder page, IReadOnlyList<Figure> figures)
    {
        page.Append("<div class=\"plots\">\n");
        foreach (var figure in figures)
        {
            page.Append($"<figure>\n<figcaption><h3>{E(figure.Title)} <small>{E(figure.Unit)}</small></h3><ul>");
            foreach (var series in figure.Legend)
            {
                page.Append($"<li><i style=\"background:var(--{series.Token})\"></i>{E(series.Name)}</li>");
            }

            page.Append($"</ul></figcaption>\n{figure.Svg}\n</figure>\n");
        }

        page.Append("""
            </div>
            <p class="small">Waiting counts from the planned moment of each click to its definite answer, so queueing for a connection and asking again are in it.</p>

            """);
    }

    private static void Checks(StringBuilder page, RushResult result)
    {
        page.Append("<section class=\"second\">\n<h2>Checks</h2>\n<div class=\"card\"><table class=\"checks\">\n<thead><tr><th>Result</th><th>What must be so</th><th class=\"n\">Expected</th><th class=\"n\">Found</th></tr></thead>\n<tbody>\n");
        foreach (var check in result.Checks)
        {
            var ids = check.ClaimIds.Count > 0 ? $"<code class=\"ids\">Not so: {E(string.Join(", ", check.ClaimIds))}</code>" : "";
            page.Append($"<tr{(check.Holds ? "" : " class=\"fails\"")}><td class=\"state\">{(check.Holds ? Tick + "holds" : Cross + "broken")}</td><td>{E(check.Says)}<code>{E(check.Name)}</code>{ids}</td>")
                .Append(F($"<td class=\"n expected\">{check.Expected:N0}</td><td class=\"n found\">{check.Found:N0}</td></tr>\n"));
        }

        page.Append("</tbody>\n</table></div>\n</section>\n");
    }

    private static void Pair(StringBuilder page, RushResult r)
    {
        page.Append("<div class=\"pair\">\n<section>\n<h2>All answers</h2>\n<div class=\"card\"><table>\n");
        (string Name, long Count)[] told =
        [
            ("accepted", r.Accepted), ("you have it already", r.Repeated), ("sold out", r.SoldOut), ("limit reached", r.Limited), ("not open yet", r.NotOpen),
            ("rate limited", r.RateLimited), ("other refusals", r.OtherRefusals), ("server errors (5xx)", r.Errors5xx), ("no answer", r.ConnectionErrors),
        ];
        foreach (var (name, count) in told)
        {
            Row(name, F($"{count:N0}"), "n");
        }

        Row("all requests", F($"<b>{r.Requests:N0}</b>"), "n");
        page.Append("</table></div>\n</section>\n<section>\n<h2>How it was run</h2>\n<div class=\"card\"><table>\n");
        Row("Command", $"<code>{E(r.Command)}</code>");
        Row("Crowd", F($"{r.Buyers:N0} buyers, {r.Shape}, seed {r.Seed}, {r.Connections} connections{(r.Interrupted ? ", stopped early" : "")}"));
        Row("Books", r.Exclusive ? "the sale was this run's alone" : "others bought in the same sale");
        Row("Load tester's own lag", F($"p99 {r.StartLagP99Ms:0.0} ms from planned to sent"));
        Row("Settled", F($"{r.SettleSeconds:0.0} s after the last answer"));
        Row("Machine", F($"{E(r.Machine.Os)}, {r.Machine.Architecture}, {r.Machine.Cores} cores, {r.Machine.MemoryGb:0.0} GB"));
        Row("Versions", E($"{r.Machine.LoadTester}, {r.Machine.Runtime}"));
        page.Append("</table></div>\n</section>\n</div>\n");

        void Row(string name, string html, string style = "") =>
            page.Append($"<tr><th scope=\"row\">{name}</th><td{(style.Length > 0 ? $" class=\"{style}\"" : "")}>{html}</td></tr>\n");
    }

    private static string Css()
    {
        using var reader = new StreamReader(typeof(RushReport).Assembly.GetManifestResourceStream("report.css")
            ?? throw new InvalidOperationException("report.css is not embedded."));
        return reader.ReadToEnd();
    }

    private static string Ms(double value) => value.ToString(value < 100 ? "0.0" : "N0", CultureInfo.InvariantCulture);

    private static string E(string text) => WebUtility.HtmlEncode(text);

    private static string F(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using Sluice.LoadTester.Audit;
using Sluice.LoadTester.Measurements;

namespace Sluice.LoadTester;

/// <summary>Turns what was measured and judged into the one object that the JSON, the summary and the report show.</summary>
internal static class Verdict
{
    public static RushResult Make(RushOptions options, Sale sale, AuditEvidence evidence, Score score, RushTimeline timeline,
        DateTimeOffset startedAt, TimeSpan lastAnswer, TimeSpan settled, bool interrupted, IReadOnlyList<string> notes)
    {
        var checks = RushAudit.Judge(evidence);
        var held = checks.All(check => check.Holds);
        var counts = score.Counts;
        var seconds = Math.Max(0.001, (lastAnswer - timeline.Opening).TotalSeconds);
        var acceptedSeconds = score.LastAcceptedAt is { } last ? Math.Max(0.001, (last - timeline.Opening).TotalSeconds) : 0;
        var (ageP99, ageMax) = PoolSampler.QueueAge(timeline.Samples);
        return new RushResult
        {
            Verdict = held ? "held" : "broken",
            Says = held ? Held(options, evidence, interrupted) : Broken(checks),
            SaleId = sale.Id,
            PoolId = sale.PoolId,
            Title = sale.Title,
            StartedAt = startedAt,
            Interrupted = interrupted,
            Exclusive = evidence.Exclusive,
            Shape = options.Shape == RushShape.Burst ? "burst" : "steady",
            Seed = options.Seed,
            Connections = options.Connections,
            Buyers = options.Buyers,
            Requests = counts.Total,
            Accepted = counts.Accepted,
            Repeated = counts.Repeated,
            SoldOut = counts.SoldOut,
            Limited = counts.Limited,
            NotOpen = counts.NotOpen,
            RateLimited = counts.RateLimited,
            OtherRefusals = counts.OtherRefusals,
            Errors5xx = counts.Errors5xx,
            ConnectionErrors = counts.ConnectionErrors,
            InDoubt = evidence.InDoubt,
            Seconds = Math.Round(seconds, 3),
            RequestsPerSecond = Math.Round(counts.Total / seconds, 1),
            AcceptedSeconds = Math.Round(acceptedSeconds, 3),
            AcceptedPerSecond = acceptedSeconds > 0 ? Math.Round(counts.Accepted / acceptedSeconds, 1) : 0,
            P50Ms = score.Latency.P50Ms,
            P90Ms = score.Latency.P90Ms,
            P99Ms = score.Latency.P99Ms,
            P999Ms = score.Latency.P999Ms,
            MaxMs = score.Latency.MaxMs,
            StartLagP99Ms = score.StartLagP99Ms,
            QueueAgeP99Ms = ageP99,
            QueueAgeMaxMs = ageMax,
            QueueDepthMax = timeline.Samples.Count > 0 ? timeline.Samples.Max(sample => sample.QueueDepth) : 0,
            SettleSeconds = Math.Round(settled.TotalSeconds, 3),
            Checks = checks,
            Notes = notes,
            Certificate = evidence.Certificate.Received,
            ReportPath = options.ReportFile is null ? null : Path.GetFullPath(options.ReportFile),
            LedgerPath = options.LedgerFile is null ? null : Path.GetFullPath(options.LedgerFile),
            Command = options.CommandLine,
            Machine = ThisMachine(),
        };
    }

    private static string Held(RushOptions options, AuditEvidence evidence, bool interrupted)
    {
        var certificate = evidence.Certificate;
        var doubt = evidence.InDoubt > 0 ? string.Create(CultureInfo.InvariantCulture, $", {evidence.InDoubt:N0} left in doubt") : "";
        return string.Create(CultureInfo.InvariantCulture,
            $"Held: {certificate.SoldUnits:N0} of {certificate.CapacityUnits:N0} sold, {options.Buyers:N0} buyers, nothing lost{doubt}.")
            + (interrupted ? " Stopped early." : "");
    }

    private static string Broken(IReadOnlyList<Check> checks)
    {
        var failing = checks.Where(check => !check.Holds).ToList();
        var first = failing[0];
        var claims = first.ClaimIds.Count > 0 ? $" (claims {string.Join(", ", first.ClaimIds.Take(3))}{(first.ClaimIds.Count > 3 ? ", …" : "")})" : "";
        var more = failing.Count > 1 ? $" And {failing.Count - 1} more {(failing.Count == 2 ? "check fails" : "checks fail")}." : "";
        return string.Create(CultureInfo.InvariantCulture,
            $"Broken: {first.Name}, expected {first.Expected:N0}, found {first.Found:N0}{claims}.{more}");
    }

    private static Machine ThisMachine() => new(
        RuntimeInformation.OSDescription, RuntimeInformation.ProcessArchitecture.ToString(), Environment.ProcessorCount,
        Math.Round(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 1e9, 1), RuntimeInformation.FrameworkDescription,
        "sluice-rush " + (typeof(Verdict).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "?"));
}

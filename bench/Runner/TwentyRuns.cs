using System.Globalization;
using System.Text.Json;

namespace Sluice.Bench.Runner;

/// <summary>
/// A crowd for a small stock, again and again, each time a new sale: exactly the stock is sold, nobody has more than the limit, every claim
/// that was acknowledged has its order, and no answer is a 5xx. What the crowd was told is checked against what the server's books say.
/// </summary>
internal static class TwentyRuns
{
    private const int PerUserLimit = 1;
    private const int WrkThreads = 2;
    private const int WrkConnections = 128;
    private const double WrkSecondsMax = 120;
    private const string RushSeconds = "2";

    private sealed record Outcome(string Tool, long Requests, long Acknowledged, long SoldUnits, long Orders, long ServerErrors, IReadOnlyList<string> Violations);

    /// <returns>0 when everything held in every run, else 1.</returns>
    public static async Task<int> RunAsync(int runs, int buyers, int stockUnits, string tool, CancellationToken cancel)
    {
        var layout = Layout.Find();
        using var folder = new TempFolder();
        await using var sluice = await SluiceServer.StartAsync(layout, folder.File("data"), cancel);
        Crowd? crowd = null;
        if (tool != "rush")
        {
            // Every buyer asks twice, through both threads at about the same time: the limit of one has something to do.
            crowd = await Crowd.MakeAsync(sluice, folder, buyers, WrkThreads, UserOrder.Scattered, cancel, everybodyInEachThread: true);
        }

        Console.WriteLine($"{buyers:N0} buyers for {stockUnits:N0} units, limit {PerUserLimit}, {runs} runs in a row");
        Console.WriteLine(" run  by    requests  acknowledged   sold  orders   5xx  holds");
        var violations = 0;
        for (var run = 1; run <= runs; run++)
        {
            foreach (var by in tool == "both" ? ["wrk", "rush"] : new[] { tool })
            {
                var outcome = by == "wrk"
                    ? await WrkAsync(layout, sluice, folder, crowd!, run, stockUnits, cancel)
                    : await RushAsync(layout, sluice, folder, buyers, stockUnits, cancel);
                violations += outcome.Violations.Count;
                Console.WriteLine($"{run,4}  {outcome.Tool,-4} {outcome.Requests,9:N0} {outcome.Acknowledged,13:N0} {outcome.SoldUnits,6:N0} {outcome.Orders,7:N0} {outcome.ServerErrors,5:N0}  {(outcome.Violations.Count == 0 ? "yes" : "NO")}");
                foreach (var violation in outcome.Violations) Console.WriteLine($"      {violation}");
            }
        }

        Console.WriteLine(violations == 0 ? "Everything held in every run." : $"{violations} violations.");
        return violations == 0 ? 0 : 1;
    }

    private static async Task<Outcome> WrkAsync(
        Layout layout, SluiceServer sluice, TempFolder folder, Crowd crowd, int run, int stockUnits, CancellationToken cancel)
    {
        var sale = await sluice.OpenSaleAsync(stockUnits, cancel, PerUserLimit);
        var wrk = new Wrk(layout, WrkThreads, WrkConnections);
        var acks = folder.File("acks-");
        var summary = await wrk.RunAllAsync(sluice.Url, WrkSecondsMax, folder, cancel,
            $"path=/v1/flash-sales/{sale.Id}/claims", $"tokens={crowd.TokenPrefix}", $"acks={acks}",
            string.Create(CultureInfo.InvariantCulture, $"idempotency=run-{run:D6}-wrk"));

        var violations = new List<string>();
        var asked = (long)crowd.Users * WrkThreads;
        if (summary.Count("answered") != asked) violations.Add($"{asked} requests should be answered, {summary.Count("answered")} were");
        if (summary is not { SocketErrors: 0, Timeouts: 0 }) violations.Add($"{summary.SocketErrors} socket errors, {summary.Timeouts} timeouts");

        var claimIds = Enumerable.Range(0, WrkThreads)
            .SelectMany(thread => File.ReadLines(string.Create(CultureInfo.InvariantCulture, $"{acks}{thread}.txt"))).ToList();
        var serverErrors = summary.Statuses.Where(pair => pair.Key.StartsWith('5')).Sum(pair => pair.Value);
        return await AuditAsync("wrk", sluice, sale, stockUnits, summary.Count("answered"), claimIds, serverErrors, violations, cancel);
    }

    private static async Task<Outcome> RushAsync(
        Layout layout, SluiceServer sluice, TempFolder folder, int buyers, int stockUnits, CancellationToken cancel)
    {
        // Opened by the load tester itself: some of its buyers knock too early.
        var sale = await sluice.DraftSaleAsync(stockUnits, cancel, PerUserLimit);
        var ledger = folder.File("ledger.csv");
        var output = await ProgramRun.ToEndAsync("rush", "dotnet",
            [
                layout.Rush, "--url", sluice.Url, "--sale", sale.Id, "--api-key-file", folder.File("data/admin.key"), "--open-at-start",
                "--buyers", buyers.ToString(CultureInfo.InvariantCulture), "--duration", RushSeconds, "--ledger", ledger, "--json", "--quiet",
            ],
            TimeSpan.FromMinutes(5), cancel, otherGoodExitCode: 1);
        var rush = JsonSerializer.Deserialize(output, Wire.Default.RushSummary)!;

        var violations = new List<string>();
        if (rush.Verdict != "held") violations.Add($"the load tester says: {rush.Verdict}: {rush.Says}");
        if (rush.ConnectionErrors > 0) violations.Add($"{rush.ConnectionErrors} connection errors");

        // user,key,claimId,status,atMs,repeat
        var claimIds = File.ReadLines(ledger).Skip(1).Select(line => line.Split(',')[2]).ToList();
        return await AuditAsync("rush", sluice, sale, stockUnits, rush.Requests, claimIds, rush.Errors5xx, violations, cancel);
    }

    /// <summary>The same questions for both tools, asked of the certificate and of every acknowledged claim.</summary>
    private static async Task<Outcome> AuditAsync(
        string tool, SluiceServer sluice, Sale sale, int stockUnits, long requests, IReadOnlyList<string> acknowledged, long serverErrors,
        List<string> violations, CancellationToken cancel)
    {
        var certificate = await sluice.SettledCertificateAsync(sale.PoolId, cancel);
        if (certificate.Verdict != "holds")
        {
            violations.Add($"the certificate's verdict is {certificate.Verdict}: {string.Join("; ", certificate.Checks.Where(check => !check.Holds).Select(check => check.Name))}");
        }

        if (certificate.SoldUnits != stockUnits) violations.Add($"{certificate.SoldUnits} units are sold, not {stockUnits}");
        if (certificate.Orders != stockUnits) violations.Add($"there are {certificate.Orders} orders, not {stockUnits}");
        if (certificate is not { LeftUnits: 0, HeldUnits: 0, QueueDepth: 0, DeadLetters: 0 }) violations.Add($"something is left over: {certificate}");
        if (serverErrors > 0) violations.Add($"{serverErrors} answers were 5xx");

        var distinct = acknowledged.Distinct(StringComparer.Ordinal).ToList();
        var unreadable = distinct.RemoveAll(id => !id.All(char.IsAsciiDigit));
        if (unreadable > 0) violations.Add($"{unreadable} acknowledgements had no claim id");
        if (distinct.Count != stockUnits) violations.Add($"{distinct.Count} claims were acknowledged, not {stockUnits}");

        var found = new List<LookedUp>(distinct.Count);
        foreach (var some in distinct.Chunk(SluiceServer.LookupIdsMax)) found.AddRange(await sluice.LookupAsync(some, cancel));
        if (found.Count != distinct.Count) violations.Add($"{distinct.Count - found.Count} acknowledged claims are unknown to the server");
        var withoutOrder = found.Count(claim => claim.State != "confirmed" || claim.OrderId is null);
        if (withoutOrder > 0) violations.Add($"{withoutOrder} acknowledged claims have no order");

        // All that is sold was acknowledged (above), so these are all the holders.
        var greedy = found.GroupBy(claim => claim.UserId, StringComparer.Ordinal).Count(claims => claims.Sum(claim => claim.Units) > PerUserLimit);
        if (greedy > 0) violations.Add($"{greedy} users have more than {PerUserLimit}");
        return new Outcome(tool, requests, distinct.Count, certificate.SoldUnits, certificate.Orders, serverErrors, violations);
    }
}

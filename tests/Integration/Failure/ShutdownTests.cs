using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>A server that is asked to stop finishes what it accepted; a folder belongs to one server.</summary>
[Collection(Drills.Name)]
public sealed class ShutdownTests(ITestOutputHelper output)
{
    private const int Stock = 2_000, Buyers = 3_000;

    [Fact]
    public async Task Server_TerminatedInMidRush_WritesWhatItAcceptedBeforeItEnds()
    {
        var random = new Random(Drills.Seed);
        await using var server = await SluiceServer.StartAsync(Drills.NoRateLimit);
        var buyers = await Rush.BuyersAsync(server, Buyers);
        var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
        using var rush = new Rush(server, ledger, buyers);
        using var stop = new CancellationTokenSource();
        var enough = ledger.WhenCountIs(1 + random.Next(Stock - 500));
        var pressing = rush.PressAsync(stop.Token);
        await enough.WaitAsync(TimeSpan.FromMinutes(3));
        var exit = await server.Process.TerminateAsync();
        await stop.CancelAsync();
        await pressing;
        Assert.True(exit == 0, $"exit code {exit}: {server.Process.Output}");

        // Nothing runs now. What SQL has is what it had when the server ended.
        var (rows, lost) = await ledger.CompareAsync(server);
        Assert.True(lost.Count == 0, $"{lost.Count} of {ledger.Count} acknowledged claims were not written before the end, such as {string.Join(", ", lost.Take(3))}; SQL has {rows.Count}; {server.Process.Output}");
        var (auditExit, audit, says) = await SluiceCommand.RunAsync("audit", "--data", server.Data, "--json");
        Assert.True(auditExit == 0, says);
        Assert.Equal("holds", (string?)Assert.Single(JsonNode.Parse(audit)!.AsArray())!["verdict"]);

        await server.BeginAsync();
        await rush.SettleAsync();
        Assert.Equal(Stock, (await ledger.AuditAsync(server)).Sold);
        output.WriteLine($"seed {Drills.Seed}: SIGTERM in mid-rush, exit 0, {ledger.Count} acknowledged in the end, 0 lost");
    }

    [Fact]
    public async Task SecondServer_OnTheSameFolder_RefusesToStart()
    {
        await using var server = await SluiceServer.StartAsync();
        var (exit, text, says) = await SluiceCommand.RunAsync("serve", "--data", server.Data, "--urls", $"http://127.0.0.1:{FreePort.Next()}");
        Assert.Equal(3, exit);
        Assert.Empty(text);
        Assert.Contains(server.Data, says, StringComparison.Ordinal);
        Assert.Contains($"in use by another sluice at http://127.0.0.1:{server.Port}", says, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", says, StringComparison.Ordinal);

        // The first one did not notice.
        Assert.Equal(202, (await server.ClaimAsync(await server.OpenSaleAsync(1), await server.TokenAsync("u-1"))).Status);
    }
}

using System.Text.Json;
using Sluice.LoadTester;
using Sluice.LoadTester.Audit;
using Sluice.LoadTester.Measurements;
using Sluice.LoadTester.Report;
using Xunit;

namespace Sluice.Tests.Unit.LoadTester;

public sealed class RushResultTests
{
    // What demo, the capacity book and people's scripts read: a name that changes here breaks them.
    private static readonly string[] Fields =
    [
        "verdict", "says", "saleId", "poolId", "title", "startedAt", "interrupted", "exclusive", "shape", "seed", "connections", "buyers", "requests",
        "accepted", "repeated", "soldOut", "limited", "notOpen", "rateLimited", "otherRefusals", "errors5xx", "connectionErrors", "inDoubt", "seconds",
        "requestsPerSecond", "acceptedSeconds", "acceptedPerSecond", "p50Ms", "p90Ms", "p99Ms", "p999Ms", "maxMs", "startLagP99Ms", "queueAgeP99Ms",
        "queueAgeMaxMs", "queueDepthMax", "settleSeconds", "checks", "notes", "certificate", "reportPath", "ledgerPath", "command", "machine",
    ];

    [Fact]
    public void ToJson_AnyResult_HasTheDocumentedFieldsOnOneLine()
    {
        var text = Result(RushAuditTests.Honest()).ToJson();
        var json = JsonDocument.Parse(text).RootElement;
        Assert.Equal(Fields, Names(json));
        Assert.DoesNotContain('\n', text);
        Assert.Equal("a.b.c", json.GetProperty("certificate").GetProperty("jws").GetString());
        Assert.Equal(["name", "holds", "expected", "found", "says", "claimIds"], Names(json.GetProperty("checks")[0]));
    }

    [Fact]
    public void Make_Counts_AddUpToTheRequests()
    {
        var r = Result(RushAuditTests.Honest());
        Assert.Equal(r.Requests, r.Accepted + r.Repeated + r.SoldOut + r.Limited + r.NotOpen + r.RateLimited + r.OtherRefusals + r.Errors5xx + r.ConnectionErrors);
        Assert.Equal((4, 1, 1, 1, 1), (r.Requests, r.Accepted, r.SoldOut, r.NotOpen, r.Errors5xx));
    }

    [Fact]
    public void Make_HonestBooks_SaysHeldWithFigures() =>
        Assert.Equal("Held: 3 of 5 sold, 20,000 buyers, nothing lost.", Result(RushAuditTests.Honest()).Says);

    [Fact]
    public void Make_ClaimsInDoubt_AreSaid() =>
        Assert.Equal("Held: 3 of 5 sold, 20,000 buyers, nothing lost, 2 left in doubt.", Result(RushAuditTests.Honest() with { InDoubt = 2 }).Says);

    [Fact]
    public void Make_LostClaims_SaysBrokenWithTheirIds()
    {
        var r = Result(RushAuditTests.Honest() with { Found = new Dictionary<string, FoundClaim>(StringComparer.Ordinal) });
        Assert.False(r.Held);
        Assert.Equal("Broken: acknowledged-exist, expected 3, found 0 (claims 101, 102, 103).", r.Says);
    }

    [Fact]
    public void Make_AcceptedPerSecond_CountsToTheLastAcceptance()
    {
        var r = Result(RushAuditTests.Honest());
        Assert.Equal((0.5, 2, 0.9), (r.AcceptedSeconds, r.AcceptedPerSecond, r.Seconds));
    }

    [Fact]
    public void Restart_AtTheOpening_StartsANewSlotThere()
    {
        var grid = new SlotGrid(TimeSpan.FromMilliseconds(250));
        Assert.True(grid.IsOver(TimeSpan.FromSeconds(0.25)));
        grid.Next();
        grid.Restart(TimeSpan.FromSeconds(0.33));
        Assert.False(grid.IsOver(TimeSpan.FromSeconds(0.57)));
        Assert.True(grid.IsOver(TimeSpan.FromSeconds(0.58)));
        Assert.Equal(TimeSpan.FromSeconds(0.33), grid.From);
    }

    [Fact]
    public void Align_ToAnOpeningToCome_LeadsUpToItInWholeSlots()
    {
        var grid = new SlotGrid(TimeSpan.FromMilliseconds(250));
        var opening = TimeSpan.FromSeconds(1.1);
        grid.Align(opening);
        Assert.InRange(grid.From, TimeSpan.Zero, TimeSpan.FromMilliseconds(249));
        while (grid.From < opening)
        {
            grid.Next();
        }

        Assert.Equal(opening, grid.From);
    }

    [Fact]
    public void Render_Report_IsOneFileThatEscapesWhatItShows()
    {
        var html = RushReport.Render(Result(RushAuditTests.Honest()), Timeline());
        Assert.Contains("Held: 3 of 5 sold", html, StringComparison.Ordinal);
        Assert.Contains("&lt;b&gt;Kettle&lt;/b&gt;", html, StringComparison.Ordinal);
        Assert.DoesNotContain("<b>Kettle</b>", html, StringComparison.Ordinal);
        Assert.Equal(4, html.Split("<svg class=\"plot\"").Length - 1);
        Assert.DoesNotContain("src=", html, StringComparison.Ordinal);
        Assert.DoesNotContain("href=", html, StringComparison.Ordinal);
        Assert.DoesNotContain("url(http", html, StringComparison.Ordinal);
    }

    private static string[] Names(JsonElement json) => json.EnumerateObject().Select(field => field.Name).ToArray();

    private static Score Score()
    {
        var counts = new OutcomeCounts { Accepted = 1, NotOpen = 1, Errors5xx = 1, SoldOut = 1 };
        return new Score(counts, new Percentiles(10, 20, 30, 40, 50), 1, TimeSpan.FromSeconds(1.7), TimeSpan.FromSeconds(1.6));
    }

    private static RushTimeline Timeline() => new(TimeSpan.FromSeconds(1.1), TimeSpan.FromSeconds(1.7), TimeSpan.FromSeconds(0.25),
        [
            new(TimeSpan.FromSeconds(0.85), new OutcomeCounts { NotOpen = 1 }, 5, 5, 5),
            new(TimeSpan.FromSeconds(1.1), new OutcomeCounts { Accepted = 1, Errors5xx = 1 }, 10, 10, 10),
            new(TimeSpan.FromSeconds(1.35), default, null, null, null),
            new(TimeSpan.FromSeconds(1.6), new OutcomeCounts { SoldOut = 1 }, 40, 40, 40),
        ],
        [new(TimeSpan.FromSeconds(1), 5, 0, 0), new(TimeSpan.FromSeconds(2), 2, 7, 30)]);

    private static RushResult Result(AuditEvidence evidence) => Verdict.Make(
        new RushOptions { Url = new Uri("http://127.0.0.1:8080"), SaleId = "7", ApiKey = "secret" },
        new Sale("7", "7", "<b>Kettle</b>", 5, 1, "open", null), evidence, Score(), Timeline(), DateTimeOffset.UnixEpoch, TimeSpan.FromSeconds(2),
        TimeSpan.FromSeconds(0.5), interrupted: false, []);
}

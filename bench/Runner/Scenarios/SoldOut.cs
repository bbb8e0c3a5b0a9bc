using System.Net;
using System.Net.Http.Headers;
using System.Text;

namespace Sluice.Bench.Runner.Scenarios;

/// <summary>The answer most of a crowd gets.</summary>
internal static class SoldOut
{
    // Everybody asks a few times a second at most, below the limit per user. Tokens of the small crowd can be remembered by the server; of the big one, not all.
    private const int Users = 20_000;
    private const int ManyUsers = 200_000;
    private const int Probes = 20;

    public static async Task<Plan> PlanAsync(Rig rig, CancellationToken cancel)
    {
        var sluice = await rig.SluiceAsync(cancel);
        var bare = await rig.BareAsync(cancel);
        var crowd = await rig.CrowdAsync(sluice, Users, cancel);
        var bigCrowd = await rig.CrowdAsync(sluice, ManyUsers, cancel, "big-crowd");
        var sale = await sluice.OpenSaleAsync(stockUnits: 1, cancel);
        var holder = await sluice.TokensAsync(["the-holder"], cancel);
        Rig.Require(await AskAsync(sluice, sale, holder[0], cancel) is (HttpStatusCode.Accepted, _), "the only unit could not be claimed.");

        return new Plan("sold-out", "A claim on a sold-out sale, token checked: 409.",
            [
                new Contender("sold-out", token => MeasureAsync(rig, sluice, sale, crowd, token)),
                new Contender("sold-out, 200,000 users", token => MeasureAsync(rig, sluice, sale, bigCrowd, token)),
                rig.BarePostSameBytes(bare, crowd),
                rig.BarePost(bare),
                rig.BareGet(bare),
            ],
            [
                new Comparison("sold-out", "bare POST, a claim's bytes"),
                new Comparison("sold-out", "bare POST", Goal: 1.0),
                new Comparison("sold-out", "bare GET"),
                new Comparison("sold-out, 200,000 users", "bare POST"),
            ]);
    }

    private static async Task<Sample> MeasureAsync(Rig rig, SluiceServer sluice, Sale sale, Crowd crowd, CancellationToken cancel)
    {
        var before = sluice.Process.CpuTime();
        var wrk = await rig.Wrk.RunAsync("sold-out.lua", sluice.Url, rig.Options.Seconds, cancel,
            $"path=/v1/flash-sales/{sale.Id}/claims", $"tokens={crowd.TokenPrefix}");
        var cpu = sluice.Process.CpuTime() - before;
        Rig.Require(wrk.ErrorStatuses == wrk.Requests && wrk is { SocketErrors: 0, Timeouts: 0 }, $"not every answer was a refusal: {wrk}");

        // wrk only knows that a status was an error. These few say which.
        foreach (var token in File.ReadLines(crowd.TokenPrefix + "0.txt").Take(Probes))
        {
            var (status, body) = await AskAsync(sluice, sale, token, cancel);
            Rig.Require(status == HttpStatusCode.Conflict && body.Contains("\"sold-out\"", StringComparison.Ordinal), $"the sold-out sale answered {(int)status} {body}");
        }

        return Sample.Of(wrk, cpu);
    }

    private static async Task<(HttpStatusCode Status, string Body)> AskAsync(SluiceServer sluice, Sale sale, string token, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/v1/flash-sales/{sale.Id}/claims")
        {
            Content = new StringContent("""{"units":1}""", Encoding.UTF8, "application/json"),
        };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using var answer = await sluice.Http.SendAsync(request, cancel);
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync(cancel));
    }
}

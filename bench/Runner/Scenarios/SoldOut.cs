using System.Net;
using System.Net.Http.Headers;
using System.Text;

namespace Sluice.Bench.Runner.Scenarios;

/// <summary>The answer most of a crowd gets.</summary>
internal static class SoldOut
{
    private const int Users = 100_000;   // each asks less than once a second: nobody meets the limit per user
    private const int Probes = 20;

    public static async Task<Plan> PlanAsync(Rig rig, CancellationToken cancel)
    {
        var sluice = await rig.SluiceAsync(cancel);
        var bare = await rig.BareAsync(cancel);
        var crowd = await rig.CrowdAsync(sluice, Users, cancel);
        var sale = await sluice.OpenSaleAsync(stockUnits: 1, cancel);
        await ProbeAsync(sluice, sale, crowd, expectSale: true, cancel);

        return new Plan("sold-out", "A claim on a sold-out sale, token checked: 409.",
            [
                new Contender("sold-out", token => MeasureAsync(rig, sluice, sale, crowd, token)),
                rig.BarePostSameBytes(bare, crowd),
                rig.BarePost(bare),
                rig.BareGet(bare),
            ],
            [
                new Comparison("sold-out", "bare POST, a claim's bytes"),
                new Comparison("sold-out", "bare POST", Goal: 1.0),
                new Comparison("sold-out", "bare GET"),
            ]);
    }

    private static async Task<Sample> MeasureAsync(Rig rig, SluiceServer sluice, Sale sale, Crowd crowd, CancellationToken cancel)
    {
        var before = sluice.Child.CpuTime();
        var wrk = await rig.Wrk.RunAsync("sold-out.lua", sluice.Url, rig.Options.Seconds, cancel,
            $"path=/v1/flash-sales/{sale.Id}/claims", $"tokens={crowd.TokenPrefix}");
        var cpu = sluice.Child.CpuTime() - before;
        Rig.Require(wrk.ErrorStatuses == wrk.Requests && wrk is { SocketErrors: 0, Timeouts: 0 }, $"not every answer was a refusal: {wrk}");
        await ProbeAsync(sluice, sale, crowd, expectSale: false, cancel);
        return Sample.Of(wrk, cpu);
    }

    // wrk only knows that a status was an error. These few say which.
    private static async Task ProbeAsync(SluiceServer sluice, Sale sale, Crowd crowd, bool expectSale, CancellationToken cancel)
    {
        var tokens = File.ReadLines(crowd.TokenPrefix + "0.txt").Take(Probes).ToArray();
        for (var index = 0; index < tokens.Length; index++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, $"/v1/flash-sales/{sale.Id}/claims")
            {
                Content = new StringContent("""{"units":1}""", Encoding.UTF8, "application/json"),
            };
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", tokens[index]);
            using var answer = await sluice.Http.SendAsync(request, cancel);
            var body = await answer.Content.ReadAsStringAsync(cancel);

            // The first user has the only unit.
            var good = index == 0
                ? answer.StatusCode == (expectSale ? HttpStatusCode.Accepted : HttpStatusCode.OK) || (!expectSale && answer.StatusCode == HttpStatusCode.Conflict)
                : answer.StatusCode == HttpStatusCode.Conflict && body.Contains("\"sold-out\"", StringComparison.Ordinal);
            Rig.Require(good, $"the sold-out sale answered {(int)answer.StatusCode} {body}");
        }
    }
}

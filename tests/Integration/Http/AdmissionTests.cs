using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Servers;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Http;

/// <summary>Who asks too fast, and what a node does that has too much to do: real nodes on a real Redis.</summary>
public sealed class AdmissionTests
{
    [Fact]
    public async Task Claims_OfOneUserThroughTwoNodes_AreLimitedTogether()
    {
        const int Burst = 4;
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        string[] settings = [$"Redis:Connection={redis.Connection}", "Admission:ClaimsPerUserPerSecond=1", $"Admission:ClaimsPerUserBurst={Burst}"];
        await using var one = await SluiceServer.StartAsync([.. settings, "NodeId=1"], folder.Path);
        await using var other = await SluiceServer.StartAsync([.. settings, "NodeId=2"], folder.Path);
        var sale = await one.OpenSaleAsync(1_000);

        // Each hears of the other within a second or two; until then each has the whole limit for itself.
        await Eventually.TrueAsync(async () => await AdmittedAsync() < 2 * Burst, "the nodes know of each other");
        for (var i = 0; i < 3; i++)
        {
            Assert.InRange(await AdmittedAsync(), 1, (2 * Burst) - 1); // Not twice as many. Some for the time that it takes.
        }

        async Task<int> AdmittedAsync()
        {
            var token = await one.TokenAsync($"u-{Guid.NewGuid():N}");
            var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => (i % 2 == 0 ? one : other).ClaimAsync(sale, token)));
            return answers.Count(answer => answer.Status != 429);
        }
    }

    [Fact]
    public async Task Requests_OfOneAddress_AreLimitedAndTheShopsServersAreNot()
    {
        await using var server = await SluiceServer.StartAsync(["Admission:RequestsPerAddressPerSecond=1", "Admission:RequestsPerAddressBurst=5"]);
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => server.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, "/v1/flash-sales"))));
        Assert.InRange(answers.Count(answer => answer.Status == 200), 5, 7);
        Assert.All(answers.Where(answer => answer.Status != 200), answer => Assert.Equal((429, "rate-limited", true), (answer.Status, answer.Code, answer.RetryAfter > TimeSpan.Zero)));

        // A key that is none does not help; the right one does, and pages are no API.
        var forged = new HttpRequestMessage(HttpMethod.Get, "/v1/flash-sales");
        forged.Headers.Add("X-Api-Key", "guessed");
        Assert.Equal(429, (await server.AnswerAsync(forged)).Status);
        for (var i = 0; i < 10; i++)
        {
            await server.ServerGetAsync("/v1/flash-sales");
        }

        Assert.Equal(200, (await server.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, "/"))).Status);
    }

    [Fact]
    public async Task Claims_ThatTakeTooLong_AreShedWhileReadsGoOn()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var server = await SluiceServer.StartAsync([$"Redis:Connection={redis.Connection}", "Admission:ClaimTimeMax=00:00:00.05", "Admission:ClaimsAtOnceMin=2"]);
        await using var control = await ConnectionMultiplexer.ConnectAsync($"{redis.Connection},allowAdmin=true");
        var sale = await server.OpenSaleAsync(100_000);
        var tokens = await server.TokensAsync([.. Enumerable.Range(0, 400).Select(user => $"u-{user}")]);
        var acknowledged = new List<string>();
        var shed = 0;
        var next = 0;

        // Redis answers, but each time a fifth of a second late: what comes meanwhile would only wait.
        await Eventually.TrueAsync(
            async () =>
            {
                await control.GetDatabase().ExecuteAsync("CLIENT", "PAUSE", 200, "WRITE");
                var claims = Task.WhenAll(Enumerable.Range(0, 20).Select(_ => server.ClaimAsync(sale, tokens[next++ % tokens.Count])));
                Assert.Equal(200, (await server.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, $"/v1/flash-sales/{sale}"))).Status);
                foreach (var answer in await claims)
                {
                    if (answer.Status == 503)
                    {
                        Assert.True(answer.RetryAfter > TimeSpan.Zero);
                        shed += answer.Code == "overloaded" ? 1 : 0;
                    }
                    else
                    {
                        acknowledged.Add(answer.ClaimId);
                    }
                }

                return shed >= 20;
            },
            "claims are shed");

        // Redis is quick again: everybody is taken on.
        await Eventually.TrueAsync(
            async () => (await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => server.ClaimAsync(sale, tokens[next++ % tokens.Count])))).All(answer => answer.Status is 200 or 202),
            "nobody is shed any more");
        foreach (var claim in acknowledged.Distinct())
        {
            var seen = (JsonObject)await server.ServerGetAsync($"/v1/claims/{claim}");
            Assert.Contains((string?)seen["state"], new[] { "held", "confirmed" });
        }
    }
}

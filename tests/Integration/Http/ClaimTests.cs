using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>What a buyer is told.</summary>
[Collection(nameof(HttpShop))]
public sealed class ClaimTests(HttpShop shop)
{
    [Fact]
    public async Task Claim_SentFiftyTimesAtOnce_IsOneClaim()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 100);
        var token = await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}");

        var answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => shop.Server.ClaimAsync(sale, token)));

        Assert.Single(answers, answer => answer.Status == 202);
        Assert.Equal(49, answers.Count(answer => answer.Status == 200));
        Assert.Single(answers.Select(answer => answer.ClaimId).Distinct());
        Assert.Equal(1, (long)(await shop.Server.SettledCertificateAsync(sale))["soldUnits"]!);
    }

    [Fact]
    public async Task Claim_WithTheSameKeyFiftyTimes_IsOneClaimWhateverTheLimit()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 100, perUserLimit: 50);
        var token = await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}");
        var key = Guid.NewGuid().ToString("N");

        var answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => shop.Server.ClaimAsync(sale, token, key, units: 2)));

        Assert.Single(answers.Select(answer => answer.ClaimId).Distinct());
        var reused = await shop.Server.ClaimAsync(sale, token, key, units: 3);
        Assert.Equal((422, "idempotency-key-reused"), (reused.Status, reused.Code));
        Assert.Equal(2, (long)(await shop.Server.SettledCertificateAsync(sale))["soldUnits"]!);
    }

    [Fact]
    public async Task Claim_AgainAtLimitOne_IsTheSameClaim()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 10);
        var token = await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}");
        var first = await shop.Server.ClaimAsync(sale, token, Guid.NewGuid().ToString("N"));

        var second = await shop.Server.ClaimAsync(sale, token, Guid.NewGuid().ToString("N"));

        Assert.Equal((200, first.ClaimId), (second.Status, second.ClaimId));
    }

    [Fact]
    public async Task Claim_BeyondTheLimit_ListsTheClaimsThereAre()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 10, perUserLimit: 3);
        var token = await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}");
        var first = await shop.Server.ClaimAsync(sale, token, units: 2);
        var tooMany = await shop.Server.ClaimAsync(sale, token, units: 2);
        var second = await shop.Server.ClaimAsync(sale, token);

        var third = await shop.Server.ClaimAsync(sale, token);

        Assert.Equal((202, 409, 202, 409), (first.Status, tooMany.Status, second.Status, third.Status));
        Assert.Equal([first.ClaimId], ClaimIds(tooMany));
        Assert.Equal("limit-reached", third.Code);
        Assert.Equal([first.ClaimId, second.ClaimId], ClaimIds(third));
    }

    [Fact]
    public async Task Claim_OfMoreThanIsLeft_SaysHowManyAre()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 3, perUserLimit: 5);
        var token = await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}");

        var four = await shop.Server.ClaimAsync(sale, token, units: 4);
        var three = await shop.Server.ClaimAsync(sale, token, units: 3);
        var one = await shop.Server.ClaimAsync(sale, token, units: 1);

        Assert.Equal(("sold-out", 3L), (four.Code, (long)four.Json["leftUnits"]!));
        Assert.NotNull(four.RetryAfter);
        Assert.Equal(202, three.Status);
        Assert.Equal(("sold-out", 0L), (one.Code, (long)one.Json["leftUnits"]!));
    }

    [Fact]
    public async Task Claim_WithoutABody_IsOneUnit()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 4, perUserLimit: 3);

        foreach (var body in new[] { null, "", "{}", """{"units":null}""" })
        {
            var token = await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}");
            var answer = await shop.SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/claims", $"Bearer {token}", body, new Dictionary<string, string> { ["Prefer"] = "wait=20" });
            Assert.Equal((201, 1), (answer.Status, (int)answer.Json["order"]!["units"]!));
            Assert.Equal($"/v1/claims/{answer.Json["claimId"]}", answer.Headers.Location?.ToString());
        }
    }

    [Fact]
    public async Task Claim_AfterItsOrderWasCancelled_IsReleasedAndStillHasItsOrder()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 1);
        var token = await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}");
        var claim = (await shop.Server.ClaimAsync(sale, token, prefer: "wait=20")).ClaimId;

        var first = await shop.Server.UserAsync(HttpMethod.Post, $"/v1/orders/{claim}/cancel", token);
        var second = await shop.Server.UserAsync(HttpMethod.Post, $"/v1/orders/{claim}/cancel", token);

        Assert.Equal((200, first.Text), (second.Status, second.Text));
        var after = (await shop.Server.UserAsync(HttpMethod.Get, $"/v1/claims/{claim}", token)).Json;
        Assert.Equal(("released", "cancelled"), ((string?)after["state"], (string?)after["order"]!["state"]));
    }

    [Fact]
    public async Task Orders_OnPages_ListEachOnceNewestFirst()
    {
        var token = await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}");
        var made = new List<string>();
        for (var i = 0; i < 3; i++)
        {
            made.Add((await shop.Server.ClaimAsync(await shop.Server.OpenSaleAsync(stock: 1), token, prefer: "wait=20")).ClaimId);
        }

        var listed = new List<string>();
        string? cursor = null;
        do
        {
            var page = (await shop.Server.UserAsync(HttpMethod.Get, $"/v1/orders?limit=2{(cursor is null ? "" : $"&cursor={cursor}")}", token)).Json;
            listed.AddRange(page["items"]!.AsArray().Select(item => (string)item!["id"]!));
            cursor = (string?)page["nextCursor"];
        }
        while (cursor is not null);

        Assert.Equal(made.AsEnumerable().Reverse(), listed);
    }

    [Fact]
    public async Task Amount_AtTheHighestPriceAndUnits_DoesNotOverflow()
    {
        var sale = (string)(await shop.SendAsync(
            HttpMethod.Post, "/v1/flash-sales", "server",
            """{"sku":"k","title":"K","priceCents":1000000000000,"currency":"EUR","stockUnits":1000000000,"perUserLimit":1000}""")).Json["id"]!;
        await shop.SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/open", "server");

        var claim = await shop.Server.ClaimAsync(sale, await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}"), units: 1_000, prefer: "wait=20");

        Assert.Equal(1_000_000_000_000_000, (long)claim.Json["order"]!["amountCents"]!);
    }

    [Fact]
    public async Task User_WhoAsksTooFast_IsToldWhenToAskAgain()
    {
        await using var server = await SluiceServer.StartAsync(["Admission:ClaimsPerUserPerSecond=1", "Admission:ClaimsPerUserBurst=3"]);
        var sale = await server.OpenSaleAsync(stock: 10);
        var (fast, other) = (await server.TokenAsync("fast"), await server.TokenAsync("other"));

        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => server.ClaimAsync(sale, fast)));

        Assert.All(answers.Where(answer => answer.Status == 429), answer => Assert.Equal(("rate-limited", true), (answer.Code, answer.RetryAfter >= TimeSpan.FromSeconds(1))));
        Assert.InRange(answers.Count(answer => answer.Status is 200 or 202), 3, 19);
        Assert.Equal(202, (await server.ClaimAsync(sale, other)).Status);
    }

    [Fact]
    public async Task Guest_UnlessTheShopWantsThem_IsRefused()
    {
        Assert.Null((await shop.SendAsync(HttpMethod.Post, "/v1/guest-sessions", "public")).WrongAsRefusal("guests-off"));

        await using var demo = await SluiceServer.StartAsync(["Accounts:GuestSessions=true", "Accounts:GuestsPerSecondMax=1"]);
        var answers = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => demo.AnswerAsync(new HttpRequestMessage(HttpMethod.Post, "/v1/guest-sessions"))));
        Assert.Contains(answers, answer => answer.Status == 201);
        Assert.All(answers.Where(answer => answer.Status != 201), answer => Assert.Equal((429, "rate-limited", true), (answer.Status, answer.Code, answer.RetryAfter is not null)));
        var guest = answers.First(answer => answer.Status == 201).Json;
        Assert.Equal(202, (await demo.ClaimAsync(await demo.OpenSaleAsync(stock: 1), (string)guest["token"]!)).Status);
    }

    [Fact]
    public async Task TestPayment_UnlessTheShopWantsThem_IsRefused()
    {
        await using var server = await SluiceServer.StartAsync();
        var token = await server.TokenAsync("u-1");
        var claim = await server.ClaimAsync(await server.OpenSaleAsync(stock: 1), token, prefer: "wait=20");

        var answer = await server.UserAsync(HttpMethod.Post, $"/v1/orders/{claim.ClaimId}/test-payment", token);

        Assert.Equal((404, "test-payments-off"), (answer.Status, answer.Code));
    }

    private static IEnumerable<string?> ClaimIds(Answer answer) => answer.Json["claimIds"]!.AsArray().Select(id => (string?)id);

    // Most refusals of a rush never reach Redis, so only the request metrics can show an operator the crowd.
    [Fact]
    public async Task Claim_ThatIsRefusedFromMemory_IsCountedForTheOperator()
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 1);
        Assert.Equal(202, (await shop.Server.ClaimAsync(sale, await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}"))).Status);
        var before = await RefusedAsync();

        var answers = new List<int>();
        for (var asked = 0; asked < 20; asked++)
        {
            answers.Add((await shop.Server.ClaimAsync(sale, await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}"))).Status);
        }

        Assert.All(answers, status => Assert.Equal(409, status));
        await Eventually.TrueAsync(async () => await RefusedAsync() >= before + answers.Count, "the refusals are in /metrics");
    }

    private async Task<long> RefusedAsync()
    {
        var metrics = await shop.Server.Http.GetStringAsync("/metrics");
        return metrics.Split('\n')
            .Where(line => line.StartsWith("http_server_request_duration_seconds_count{", StringComparison.Ordinal) &&
                line.Contains("/claims\"", StringComparison.Ordinal) && line.Contains("http_response_status_code=\"409\"", StringComparison.Ordinal))
            .Sum(line => long.Parse(line.Split("} ")[1].Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture));
    }
}

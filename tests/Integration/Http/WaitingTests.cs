using System.Diagnostics;
using Dapper;
using Microsoft.Data.Sqlite;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>Three ways to hear what became of a claim: <c>Prefer: wait</c>, <c>?wait=</c>, and a stream.</summary>
[Collection(nameof(HttpShop))]
public sealed class WaitingTests(HttpShop shop)
{
    [Fact]
    public async Task LongPoll_OfAClaimOnItsWay_AnswersWhenItIsWritten()
    {
        var (claim, token) = await ClaimAsync(shop.Server);

        var answer = await shop.Server.UserAsync(HttpMethod.Get, $"/v1/claims/{claim}?wait=20", token);

        Assert.Equal(("confirmed", "pending"), ((string?)answer.Json["state"], (string?)answer.Json["order"]!["state"]));
    }

    [Fact]
    public async Task Stream_OfAClaim_EndsWithItsOrder()
    {
        var (claim, token) = await ClaimAsync(shop.Server);

        var answer = await shop.SendAsync(HttpMethod.Get, $"/v1/claims/{claim}", $"Bearer {token}", (string?)null, new Dictionary<string, string> { ["Accept"] = "text/event-stream" });

        Assert.Equal("text/event-stream", answer.ContentType);
        var events = answer.Text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.InRange(events.Length, 1, 2);
        Assert.All(events, one => Assert.StartsWith("event: claim\ndata: {", one, StringComparison.Ordinal));
        Assert.Contains("\"state\":\"confirmed\"", events[^1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Wait_WhileNobodyWrites_EndsWithHeld()
    {
        // A node that takes claims and has no worker: what it accepts stays held.
        await using var server = await SluiceServer.StartAsync(["Roles=Api"]);
        var (claim, token) = await ClaimAsync(server);
        var sale = await server.OpenSaleAsync(stock: 1);

        var started = Stopwatch.GetTimestamp();
        var polled = await server.UserAsync(HttpMethod.Get, $"/v1/claims/{claim}?wait=1", token);
        var claimed = await server.ClaimAsync(sale, token, prefer: "wait=1");
        var took = Stopwatch.GetElapsedTime(started);

        Assert.Equal((200, "held"), (polled.Status, (string?)polled.Json["state"]));
        Assert.Equal((202, "held"), (claimed.Status, (string?)claimed.Json["state"]));
        Assert.InRange(took, TimeSpan.FromSeconds(1.9), TimeSpan.FromSeconds(15));
        var stranger = await server.UserAsync(HttpMethod.Get, $"/v1/claims/{claim}", await server.TokenAsync("stranger"));
        Assert.Equal((404, "not-found"), (stranger.Status, stranger.Code));
    }

    [Fact]
    public async Task Wait_ForAClaimThatSqlRefuses_IsToldSo()
    {
        await using var server = await SluiceServer.StartAsync();
        var sale = await server.OpenSaleAsync(stock: 1);
        var token = await server.TokenAsync("u-1");

        // As if Redis had forgotten that the unit is sold: it still has one, and SQL has none.
        await using (var database = new SqliteConnection($"Data Source={Path.Combine(server.Data, "sluice.db")};Pooling=False"))
        {
            await database.ExecuteAsync("UPDATE pools SET claimed_units = capacity_units");
        }

        var answer = await server.ClaimAsync(sale, token, key: "the-key-of-one-request", prefer: "wait=20");

        Assert.Equal((409, "claim-rejected"), (answer.Status, answer.Code));
        var claim = await server.UserAsync(HttpMethod.Get, $"/v1/claims/{answer.ClaimId}", token);
        Assert.Equal((200, "rejected", "refused-by-sql"), (claim.Status, (string?)claim.Json["state"], (string?)claim.Json["reason"]));
    }

    [Fact]
    public async Task Stream_OfAClaimOfSomebodyElse_IsNotFound()
    {
        var answer = await shop.SendAsync(HttpMethod.Get, $"/v1/claims/{shop.Order}", "stranger", (string?)null, new Dictionary<string, string> { ["Accept"] = "text/event-stream" });

        Assert.Null(answer.WrongAsRefusal("not-found"));
    }

    private static async Task<(string Claim, string Token)> ClaimAsync(SluiceServer server)
    {
        var sale = await server.OpenSaleAsync(stock: 1);
        var token = await server.TokenAsync($"u-{Guid.NewGuid():N}");
        var answer = await server.ClaimAsync(sale, token);
        Assert.Equal((202, "held"), (answer.Status, (string?)answer.Json["state"]));
        return (answer.ClaimId, token);
    }
}

using System.Text.Json.Nodes;
using Dapper;
using Sluice.Tests.Integration.Contract;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>Check-ins and points over HTTP.</summary>
[Collection(nameof(HttpShop))]
public sealed class RewardsTests(HttpShop shop) : IAsyncLifetime
{
    private readonly string user = $"u-{Guid.NewGuid():N}";
    private string token = "";

    public async ValueTask InitializeAsync() => token = await shop.Server.TokenAsync(user);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    [Fact]
    public async Task CheckIn_IsMadeOnceADay_AndShowsInMeAtOnce()
    {
        var before = await GetAsync("/v1/me");
        Assert.Equal("""{"balance":0,"lastCheckIn":null,"streakDays":0}""", before.Json["points"]!.ToJsonString());

        var first = await SendAsync(HttpMethod.Post, "/v1/check-ins");
        Assert.Equal((201, 10L, 1), (first.Status, (long)first.Json["points"]!, (int)first.Json["streakDays"]!));
        var me = await GetAsync("/v1/me", before.Headers.ETag!.ToString());
        Assert.Equal((200, "\"0-0-1-0\""), (me.Status, me.Headers.ETag?.ToString()));
        Assert.Equal($$"""{"balance":10,"lastCheckIn":"{{first.Json["date"]}}","streakDays":1}""", me.Json["points"]!.ToJsonString());

        for (var i = 0; i < 3; i++)
        {
            var again = await SendAsync(HttpMethod.Post, "/v1/check-ins");
            Assert.Equal((200, first.Text, first.ContentType), (again.Status, again.Text, again.ContentType));
        }

        Assert.Equal(304, (await GetAsync("/v1/me", "\"0-0-1-0\"")).Status);
    }

    [Fact]
    public async Task Month_HasItsDays_AndSaysHowTheUserStandsToday()
    {
        var empty = await GetAsync("/v1/check-ins");
        var today = (string)empty.Json["today"]!;
        Assert.Equal($$"""{"month":"{{today[..7]}}","items":[],"today":"{{today}}","checkedInToday":false,"streakDays":0}""", empty.Text);

        // The days before, as they were written then.
        var date = DateOnly.Parse(today, System.Globalization.CultureInfo.InvariantCulture);
        await using var database = shop.Server.OpenDatabase();
        for (var ago = 1; ago <= 40; ago++)
        {
            await database.ExecuteAsync(
                "INSERT INTO check_ins (user_id, business_date, points, streak_days, checked_in_at) VALUES (@user, @day, 1, @streak, 1)", new { user, day = $"{date.AddDays(-ago):yyyy-MM-dd}", streak = 41 - ago });
        }

        Assert.Equal((false, 40), await StandsAsync());
        Assert.Equal(41, (int)(await SendAsync(HttpMethod.Post, "/v1/check-ins")).Json["streakDays"]!);
        Assert.Equal((true, 41), await StandsAsync());
        var first = new DateOnly(date.Year, date.Month, 1);
        var thisMonth = await GetAsync($"/v1/check-ins?month={today[..7]}");
        Assert.Equal(date.Day, thisMonth.Json["items"]!.AsArray().Count);
        Assert.Equal(today, (string?)thisMonth.Json["items"]![date.Day - 1]!["date"]);
        var last = (await GetAsync($"/v1/check-ins?month={first.AddDays(-1):yyyy-MM}")).Json["items"]!.AsArray();
        Assert.Equal(Math.Min(first.AddDays(-1).Day, 40 - date.Day + 1), last.Count);
        Assert.Equal($"{first.AddDays(-1):yyyy-MM-dd}", (string?)last[^1]!["date"]);
        Assert.Empty((await GetAsync($"/v1/check-ins?month={first.AddMonths(3):yyyy-MM}")).Json["items"]!.AsArray());

        async Task<(bool, int)> StandsAsync() => (await GetAsync("/v1/check-ins")).Json is var month ? ((bool)month["checkedInToday"]!, (int)month["streakDays"]!) : default;
    }

    [Fact]
    public async Task Points_AwardedAndSpent_AreListedNewestFirstInPages()
    {
        await SendAsync(HttpMethod.Post, "/v1/check-ins");
        foreach (var points in new[] { 100, -30, -80, 5 })
        {
            Assert.Equal(201, (await ChangeAsync(points, $"Change of {points}")).Status);
        }

        var all = await GetAsync("/v1/points");
        Assert.Equal((5L, "\"5\""), ((long)all.Json["balance"]!, all.Headers.ETag?.ToString()));
        Assert.Equal(
            [("shop", 5L, 5L, "Change of 5"), ("shop", -80L, 0L, "Change of -80"), ("shop", -30L, 80L, "Change of -30"), ("shop", 100L, 110L, "Change of 100"), ("check-in", 10L, 10L, null)],
            all.Json["items"]!.AsArray().Select(item => ((string)item!["cause"]!, (long)item["points"]!, (long)item["balance"]!, (string?)item["reason"])));
        Assert.Equal(304, (await GetAsync("/v1/points", "\"5\"")).Status);

        var pages = new List<string>();
        string? cursor = null;
        do
        {
            var page = await GetAsync($"/v1/points?limit=2{(cursor is null ? "" : $"&cursor={cursor}")}");
            pages.AddRange(page.Json["items"]!.AsArray().Select(item => item!.ToJsonString()));
            cursor = (string?)page.Json["nextCursor"];
            Assert.True(pages.Count <= 5);
        }
        while (cursor is not null);
        Assert.Equal(all.Json["items"]!.AsArray().Select(item => item!.ToJsonString()), pages);

        await ChangeAsync(1, "One more");
        var changed = await GetAsync("/v1/points", "\"5\"");
        Assert.Equal((200, 6L), (changed.Status, (long)changed.Json["balance"]!));
        Assert.Equal(6, (long)(await GetAsync("/v1/me")).Json["points"]!["balance"]!);
    }

    [Fact]
    public async Task Points_ThatAreNotThere_AreNotSpent()
    {
        var none = await ChangeAsync(-1, "Too much");
        await ChangeAsync(10, "Some");
        var more = await ChangeAsync(-11, "Too much");

        Assert.Equal((409, "not-enough-points", 0L), (none.Status, none.Code, (long)none.Json["balance"]!));
        Assert.Equal((409, "not-enough-points", 10L), (more.Status, more.Code, (long)more.Json["balance"]!));
        Assert.Equal((10L, 1), (await GetAsync("/v1/points")).Json is var page ? ((long)page["balance"]!, page["items"]!.AsArray().Count) : default);
        Assert.Equal(201, (await ChangeAsync(-10, "All")).Status);
    }

    [Fact]
    public async Task Change_WithTheSameKey_IsOneEntryForGood()
    {
        var key = $"{Guid.NewGuid():N}";
        var first = await ChangeAsync(50, "Once", key);
        var second = await ChangeAsync(50, "Once", key);
        Assert.Equal((201, 200, first.Text), (first.Status, second.Status, second.Text));
        Assert.Equal("idempotency-key-reused", (await ChangeAsync(51, "Once", key)).Code);

        // As after a month, when the request itself is forgotten.
        await using var database = shop.Server.OpenDatabase();
        Assert.Equal(1, await database.ExecuteAsync("DELETE FROM idempotency WHERE idempotency_key = @key", new { key }));
        Assert.Equal("idempotency-key-reused", (await ChangeAsync(51, "Once", key)).Code);
        Assert.Equal("idempotency-key-reused", (await ChangeAsync(50, "Twice", key)).Code);
        Assert.Equal(first.Text, (await ChangeAsync(50, "Once", key)).Text);
        Assert.Equal(50, (long)(await GetAsync("/v1/points")).Json["balance"]!);
    }

    [Fact]
    public async Task Change_WithTheSameKeyFiftyTimesAtOnce_IsOneEntry()
    {
        var key = $"{Guid.NewGuid():N}";

        var answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => ChangeAsync(50, "Once", key)));

        Assert.Single(answers, answer => answer.Status == 201);
        Assert.Single(answers.Select(answer => answer.Text).Distinct());
        Assert.Equal(50, (long)(await GetAsync("/v1/points")).Json["balance"]!);
    }

    [Fact]
    public async Task Points_OfSomebodyElse_AreNotShown()
    {
        await ChangeAsync(50, "Mine");
        var other = await shop.SendAsync(HttpMethod.Get, "/v1/points", $"Bearer {await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}")}");

        Assert.Equal("""{"balance":0,"items":[],"nextCursor":null}""", other.Text);
        Assert.Equal("forbidden", (await SendAsync(HttpMethod.Post, "/v1/points", """{"userId":"me","points":5,"reason":"For me"}""")).Code);
        Assert.Equal("forbidden", (await shop.SendAsync(HttpMethod.Post, "/v1/check-ins", "server")).Code);
    }

    [Fact]
    public async Task Ledger_OfTheWholeShop_IsRight()
    {
        await SendAsync(HttpMethod.Post, "/v1/check-ins");
        await ChangeAsync(-3, "A pen");

        // Rows that the test above wrote by hand have no entries.
        await using var database = shop.Server.OpenDatabase();
        Assert.DoesNotContain(await RewardsNode.FaultsAsync(database), fault => fault.StartsWith(user, StringComparison.Ordinal) || fault.EndsWith("balance", StringComparison.Ordinal));
    }

    [Fact]
    public async Task CheckIns_SentTooFast_AreRefusedWithATimeToComeBack()
    {
        await using var server = await SluiceServer.StartAsync(["Rewards:CheckInsPerUserBurst=3", "Rewards:CheckInPerUserEvery=01:00:00", "Rewards:PointsPerCheckIn=7", Noon.Setting]);
        var (one, other) = (await server.TokenAsync("u-1"), await server.TokenAsync("u-2"));
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(i == 0 ? 201 : 200, (await server.UserAsync(HttpMethod.Post, "/v1/check-ins", one)).Status);
        }

        var refused = await server.UserAsync(HttpMethod.Post, "/v1/check-ins", one);

        Assert.True(refused is { Status: 429, Code: "rate-limited", RetryAfter: { } wait } && wait > TimeSpan.FromMinutes(30), refused.Text);
        var made = await server.UserAsync(HttpMethod.Post, "/v1/check-ins", other);
        Assert.Equal((201, 7L), (made.Status, (long)made.Json["points"]!));
    }

    private Task<HttpAnswer> GetAsync(string path, string? known = null) => shop.SendAsync(
        HttpMethod.Get, path, $"Bearer {token}", (string?)null, known is null ? null : new Dictionary<string, string> { ["If-None-Match"] = known });

    private Task<HttpAnswer> SendAsync(HttpMethod method, string path, string? body = null) => shop.SendAsync(method, path, $"Bearer {token}", body);

    private Task<HttpAnswer> ChangeAsync(long points, string reason, string? key = null) => shop.SendAsync(
        HttpMethod.Post, "/v1/points", "server", new JsonObject { ["userId"] = user, ["points"] = points, ["reason"] = reason }.ToJsonString(), key is null ? null : new Dictionary<string, string> { ["Idempotency-Key"] = key });
}

using System.Text.Json.Nodes;
using Dapper;
using Sluice.Tests.Integration.Contract;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>Two processes on one Redis and one MariaDB: a check-in is the same through both, also without the Redis.</summary>
public sealed class RewardsOnTwoNodesTests(Engines engines)
{
    private const int AtOnce = 50;

    [Fact]
    public async Task CheckIn_SentFiftyTimesToTwoNodes_IsMadeOnceAndSeenThroughBoth()
    {
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        var settings = await SettingsAsync(redis);
        await using var one = await SluiceServer.StartAsync([.. settings, "NodeId=1"], folder.Path);
        await using var other = await SluiceServer.StartAsync([.. settings, "NodeId=2"], folder.Path);
        foreach (var token in await one.TokensAsync(["u-1", "u-2", "u-3"]))
        {
            // What both keep of the user would live for an hour.
            Assert.All(await SendAsync(HttpMethod.Get, "/v1/me", token, one, other), me => Assert.Equal(0, (long)me.Json["points"]!["balance"]!));
            Assert.All(await SendAsync(HttpMethod.Get, "/v1/points", token, one, other), page => Assert.Equal(0, (long)page.Json["balance"]!));

            var answers = await SendAsync(HttpMethod.Post, "/v1/check-ins", token, [.. Enumerable.Range(0, AtOnce).Select(i => i % 2 == 0 ? one : other)]);

            Assert.Single(answers, answer => answer.Status == 201);
            Assert.Equal(AtOnce - 1, answers.Count(answer => answer.Status == 200));
            var date = (string)JsonNode.Parse(Assert.Single(answers.Select(answer => answer.Text).Distinct()))!["date"]!;
            Assert.All(await SendAsync(HttpMethod.Get, "/v1/me", token, one, other), me => Assert.Equal((10L, date), ((long)me.Json["points"]!["balance"]!, (string?)me.Json["points"]!["lastCheckIn"])));
            Assert.All(await SendAsync(HttpMethod.Get, "/v1/points", token, one, other), page => Assert.Single(page.Json["items"]!.AsArray()));
        }

        await AssertRightAsync(one, users: 3);
    }

    [Fact]
    public async Task CheckIns_WhileRedisIsAway_AreMadeOnceFromSql()
    {
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        var settings = await SettingsAsync(redis);
        await using var one = await SluiceServer.StartAsync([.. settings, "NodeId=1"], folder.Path);
        await using var other = await SluiceServer.StartAsync([.. settings, "NodeId=2"], folder.Path);
        var tokens = await one.TokensAsync(["u-1", "u-2", "u-3", "u-4"]);
        Assert.Equal(201, (await one.UserAsync(HttpMethod.Post, "/v1/check-ins", tokens[0])).Status);
        await redis.KillAsync();

        // Who has checked in before, and who does it now, through both nodes at once.
        Assert.All(await SendAsync(HttpMethod.Post, "/v1/check-ins", tokens[0], one, other), answer => Assert.Equal(200, answer.Status));
        foreach (var token in tokens.Skip(1))
        {
            var answers = await SendAsync(HttpMethod.Post, "/v1/check-ins", token, one, other, one, other, one, other);
            Assert.True(answers.Count(answer => answer.Status == 201) == 1 && answers.Count(answer => answer.Status == 200) == 5, string.Join(' ', answers.Select(answer => $"{answer.Status} {answer.Text}")));
            Assert.All(await SendAsync(HttpMethod.Get, "/v1/me", token, one, other), me => Assert.Equal(10, (long)me.Json["points"]!["balance"]!));
        }

        var spent = await one.ServerPostAsync("/v1/points", new JsonObject { ["userId"] = "u-1", ["points"] = -4, ["reason"] = "A pen" });
        Assert.Equal(6, (long)spent["balance"]!);
        Assert.All(await SendAsync(HttpMethod.Get, "/v1/points", tokens[0], one, other), page => Assert.Equal(6, (long)page.Json["balance"]!));

        // What Redis kept from before is not shown when it is back: the notes of the changes are told then.
        await redis.BeginAsync();
        await Eventually.TrueAsync(
            async () => (await SendAsync(HttpMethod.Get, "/v1/points", tokens[0], one, other)).All(page => page.Status == 200 && (long)page.Json["balance"]! == 6) && await one.ChangesToTellAsync() == 0, "the changes are told");
        Assert.All(await SendAsync(HttpMethod.Post, "/v1/check-ins", tokens[1], one, other), answer => Assert.Equal(200, answer.Status));
        await AssertRightAsync(one, users: 4);
    }

    private async Task<string[]> SettingsAsync(RedisServer redis) =>
    [
        $"Redis:Connection={redis.Connection}", $"Sql:Connection={await (await engines.MariaDbAsync()).NewDatabaseAsync()}", "Cache:SharedAge=01:00:00", "Cache:AbsentAge=00:01:00",
        "Rewards:CheckInsPerUserBurst=1000", Noon.Setting,
    ];

    private static async Task<Answer[]> SendAsync(HttpMethod method, string path, string token, params SluiceServer[] nodes) =>
        await Task.WhenAll(nodes.Select(node => node.UserAsync(method, path, token)));

    private static async Task AssertRightAsync(SluiceServer node, int users)
    {
        await using var database = node.OpenDatabase();
        Assert.Equal((users, users), await database.QuerySingleAsync<(long, long)>("SELECT (SELECT COUNT(*) FROM check_ins), (SELECT COUNT(*) FROM points_entries WHERE cause_kind = 'check-in')"));
        Assert.Empty(await RewardsNode.FaultsAsync(database));
    }
}

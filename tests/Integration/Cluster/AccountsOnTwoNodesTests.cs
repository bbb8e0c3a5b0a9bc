using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Contract;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>Two nodes on one Redis and one MariaDB.</summary>
public sealed class TwoAccountNodes(Engines engines) : IAsyncLifetime
{
    public const int TriesMax = 4;

    private readonly TempFolder folder = new();
    private RedisServer? redis;

    public SluiceServer One { get; private set; } = null!;

    public SluiceServer Other { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        redis = await RedisServer.StartAsync();

        // What is kept lives for long: what is new was dropped, not forgotten.
        string[] settings =
        [
            $"Redis:Connection={redis.Connection}", $"Sql:Connection={await (await engines.MariaDbAsync()).NewDatabaseAsync()}", "Cache:SharedAge=01:00:00",
            $"Accounts:LogInsPerAccountBurst={TriesMax}", "Accounts:LogInPerAccountEvery=01:00:00", "Accounts:LogInsPerAddressBurst=100000", "Accounts:PasswordsWaitingMax=500", "Accounts:PasswordIterations=100000",
        ];
        One = await SluiceServer.StartAsync([.. settings, "NodeId=1"], folder.Path);
        Other = await SluiceServer.StartAsync([.. settings, "NodeId=2"], folder.Path);

        // A node that does not know the other one yet admits the whole limit.
        foreach (var node in new[] { One, Other })
        {
            await Eventually.TrueAsync(async () => await TriedAsync($"{Guid.NewGuid():N}@example.org", node) < TriesMax, "the nodes know each other");
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var each in new IAsyncDisposable?[] { One, Other, redis })
        {
            await (each?.DisposeAsync() ?? ValueTask.CompletedTask);
        }

        folder.Dispose();
    }

    /// <summary>How many of twice as many tries as may be were looked at.</summary>
    public static async Task<int> TriedAsync(string email, params SluiceServer[] nodes)
    {
        var answers = await Task.WhenAll(Enumerable.Range(0, TriesMax * 2 * nodes.Length).Select(i =>
            SendAsync(nodes[i % nodes.Length], HttpMethod.Post, "/v1/sessions", body: new JsonObject { ["email"] = email, ["password"] = $"guess {i}" })));
        Assert.All(answers, answer => Assert.True(answer.Status == 401 || answer is { Status: 429, Code: "rate-limited", RetryAfter: not null }, answer.Text));
        return answers.Count(answer => answer.Status == 401);
    }

    public static Task<Answer> RegisterAsync(SluiceServer node, string email) =>
        SendAsync(node, HttpMethod.Post, "/v1/accounts", body: new JsonObject { ["email"] = email, ["password"] = "correct horse", ["name"] = "Ann" });

    public static Task<Answer> SendAsync(SluiceServer node, HttpMethod method, string path, string? token = null, JsonObject? body = null, string? known = null)
    {
        var request = new HttpRequestMessage(method, path) { Content = body is null ? null : JsonContent.Create(body) };
        foreach (var (name, value) in new[] { ("Authorization", token is null ? null : $"Bearer {token}"), ("If-None-Match", known) })
        {
            if (value is not null)
            {
                request.Headers.Add(name, value);
            }
        }

        return node.AnswerAsync(request);
    }
}

/// <summary>Accounts are the same through each of two nodes.</summary>
public sealed class AccountsOnTwoNodesTests(TwoAccountNodes nodes) : IClassFixture<TwoAccountNodes>
{
    private readonly string email = $"u-{Guid.NewGuid():N}@example.org";

    [Fact]
    public async Task Email_RegisteredThroughBothNodesAtOnce_HasOneAccount()
    {
        var answers = await Task.WhenAll(Enumerable.Range(0, 16).Select(i => TwoAccountNodes.RegisterAsync(i % 2 == 0 ? nodes.One : nodes.Other, i % 3 == 0 ? email.ToUpperInvariant() : email)));

        Assert.Single(answers, answer => answer.Status == 201);
        Assert.Equal(15, answers.Count(answer => answer is { Status: 409, Code: "email-taken" }));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Passwords_TriedThroughBothNodes_AreNoMoreThanTheLimit(bool isKnown)
    {
        if (isKnown)
        {
            Assert.Equal(201, (await TwoAccountNodes.RegisterAsync(nodes.One, email)).Status);
        }

        Assert.InRange(await TwoAccountNodes.TriedAsync(email, nodes.One, nodes.Other), 1, TwoAccountNodes.TriesMax);
    }

    [Fact]
    public async Task Account_ChangedThroughOneNode_IsNewThroughTheOtherAtOnce()
    {
        var token = (string)(await TwoAccountNodes.RegisterAsync(nodes.One, email)).Json["token"]!;
        foreach (var (one, other) in new[] { (nodes.One, nodes.Other), (nodes.Other, nodes.One) })
        {
            var (profile, addresses) = (await GetAsync(other, "profile"), await GetAsync(other, "addresses"));
            Assert.Equal(304, (await TwoAccountNodes.SendAsync(other, HttpMethod.Get, "/v1/me/profile", token, known: profile.ETag)).Status);

            var name = $"{Guid.NewGuid():N}";
            Assert.Equal(200, (await TwoAccountNodes.SendAsync(one, HttpMethod.Patch, "/v1/me/profile", token, new JsonObject { ["name"] = name })).Status);
            var me = await GetAsync(other, "");
            Assert.Equal(name, (string?)me.Json["profile"]!["name"]);
            Assert.Equal(304, (await TwoAccountNodes.SendAsync(other, HttpMethod.Get, "/v1/me", token, known: me.ETag)).Status);
            var changed = await TwoAccountNodes.SendAsync(other, HttpMethod.Get, "/v1/me/profile", token, known: profile.ETag);
            Assert.Equal((200, name), (changed.Status, (string?)changed.Json["name"]));

            var added = await TwoAccountNodes.SendAsync(one, HttpMethod.Post, "/v1/me/addresses", token, new JsonObject
            {
                ["name"] = name, ["line1"] = "1 Road", ["city"] = "Bonn", ["postalCode"] = "53111", ["country"] = "DE",
            });
            Assert.Equal(201, added.Status);
            var seen = await GetAsync(other, "addresses");
            Assert.Equal(added.Text, seen.Json["items"]!.AsArray()[^1]!.ToJsonString());
            Assert.NotEqual(addresses.ETag, seen.ETag);
        }

        async Task<Answer> GetAsync(SluiceServer node, string what)
        {
            var answer = await TwoAccountNodes.SendAsync(node, HttpMethod.Get, $"/v1/me/{what}".TrimEnd('/'), token);
            Assert.Equal(200, answer.Status);
            return answer;
        }
    }
}

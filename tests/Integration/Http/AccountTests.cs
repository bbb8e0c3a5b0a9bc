using System.Text.Json.Nodes;
using Dapper;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>Registering, logging in, another password, the own profile.</summary>
[Collection(nameof(HttpShop))]
public sealed class AccountTests(HttpShop shop)
{
    // As the server writes it: without escapes for what needs none.
    private static readonly System.Text.Json.JsonSerializerOptions Plain = new() { WriteIndented = false };

    private readonly string email = $"u-{Guid.NewGuid():N}@example.org";

    [Fact]
    public async Task Account_ThatWasRegistered_CanLogInWhateverTheCaseOfItsEmail()
    {
        var (user, token) = await shop.RegisterAsync($"  {email.ToUpperInvariant()} ", name: "Ann");
        var login = await LogInAsync(email, HttpShop.BuyerPassword);

        Assert.Equal((200, user), (login.Status, (string?)login.Json["userId"]));
        Assert.Equal("no-store", login.Headers.CacheControl?.ToString());
        foreach (var each in new[] { token, (string)login.Json["token"]! })
        {
            var profile = (await SendAsync(HttpMethod.Get, "/v1/me/profile", each)).Json;
            Assert.Equal((user, email.ToUpperInvariant(), "Ann", 1L), ((string?)profile["userId"], (string?)profile["email"], (string?)profile["name"], (long)profile["version"]!));
        }

        Assert.DoesNotContain(email.Split('@')[0], user, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Email_RegisteredByManyAtOnce_HasOneAccount()
    {
        var answers = await Task.WhenAll(Enumerable.Range(0, 12).Select(i => PostAsync("/v1/accounts", new JsonObject
        {
            ["email"] = i % 2 == 0 ? email : email.ToUpperInvariant(), ["password"] = HttpShop.BuyerPassword, ["name"] = $"{i}",
        })));

        Assert.Equal(11, answers.Count(answer => answer is { Status: 409, Code: "email-taken" }));
        var winner = Assert.Single(answers, answer => answer.Status == 201);
        Assert.Equal((string?)winner.Json["userId"], (string?)(await LogInAsync(email, HttpShop.BuyerPassword)).Json["userId"]);
    }

    [Fact]
    public async Task LogIn_WithAWrongPassword_IsAnsweredAsForAnEmailThatNobodyHas()
    {
        await shop.RegisterAsync(email);
        var (wrong, unknown) = (await LogInAsync(email, "not the password"), await LogInAsync("x" + email, "not the password"));

        Assert.Equal((401, "wrong-credentials"), (wrong.Status, wrong.Code));
        Assert.Equal(wrong.Text, unknown.Text);
        Assert.Equal(wrong.Headers.WwwAuthenticate.ToString(), unknown.Headers.WwwAuthenticate.ToString());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task LogIn_TriedTooOften_IsRefusedWhetherTheEmailIsKnownOrNot(bool isKnown)
    {
        if (isKnown)
        {
            await shop.RegisterAsync(email);
        }

        var answers = new List<HttpAnswer>();
        for (var i = 0; i < 7; i++)
        {
            answers.Add(await LogInAsync(i % 2 == 0 ? email : email.ToUpperInvariant(), $"wrong {i}"));
        }

        // Five at once, and one more if it took ten seconds.
        Assert.All(answers.Take(5), answer => Assert.Equal(401, answer.Status));
        Assert.Equal((429, "rate-limited"), (answers[^1].Status, answers[^1].Code));
        Assert.InRange(answers[^1].Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 10);

        // The right password is not tried either: who guesses learns nothing.
        Assert.Equal(429, (await LogInAsync(email, HttpShop.BuyerPassword)).Status);
        Assert.NotEqual(429, (await LogInAsync("other" + email, HttpShop.BuyerPassword)).Status);
    }

    [Theory]
    [InlineData("1234567", 400)]
    [InlineData("12345678", 422)]
    [InlineData("PassWord1", 422)]
    [InlineData(" ", 400)]
    [InlineData("        ", 201)]
    [InlineData("пароль-ещё", 201)]
    public async Task Password_IsTakenByItsCharactersAndHowManyOthersHaveIt(string password, int status) => Assert.Equal(status, (await RegisterAsync(email, password)).Status);

    [Fact]
    public async Task Password_OfManyUnitsEach_IsCountedInCharacters()
    {
        var key = string.Concat(Enumerable.Repeat("\U0001F511", 128));
        Assert.Equal(201, (await RegisterAsync(email, key)).Status);
        Assert.Equal(200, (await LogInAsync(email, key)).Status);
        Assert.Equal(400, (await RegisterAsync("x" + email, key + "!")).Status);
        Assert.Equal((422, "weak-password"), await RegisterAsync("y" + email, $"Y{email}") is var own ? (own.Status, own.Code) : default);
    }

    [Fact]
    public async Task Password_Changed_LogsInWhereTheOldOneDoesNotAnyMore()
    {
        var (_, token) = await shop.RegisterAsync(email);
        Assert.Equal((403, "wrong-password"), await ChangeAsync("not this one", "another password") is var wrong ? (wrong.Status, wrong.Code) : default);
        Assert.Equal((422, "weak-password"), await ChangeAsync(HttpShop.BuyerPassword, "password123") is var weak ? (weak.Status, weak.Code) : default);
        Assert.Equal(204, (await ChangeAsync(HttpShop.BuyerPassword, "another password")).Status);

        Assert.Equal(401, (await LogInAsync(email, HttpShop.BuyerPassword)).Status);
        Assert.Equal(200, (await LogInAsync(email, "another password")).Status);

        // What the page says: a token is good until it expires.
        Assert.Equal(200, (await SendAsync(HttpMethod.Get, "/v1/me/profile", token)).Status);

        Task<HttpAnswer> ChangeAsync(string current, string to) => SendAsync(HttpMethod.Post, "/v1/me/password", token, new JsonObject { ["current"] = current, ["new"] = to });
    }

    [Fact]
    public async Task Passwords_ChangedByTwoAtOnce_AreOneInTheEnd()
    {
        var (_, token) = await shop.RegisterAsync(email);
        string[] wanted = ["the first password", "the second password"];
        var answers = await Task.WhenAll(wanted.Select(to => SendAsync(HttpMethod.Post, "/v1/me/password", token, new JsonObject { ["current"] = HttpShop.BuyerPassword, ["new"] = to })));

        Assert.Equal([204, 403], answers.Select(answer => answer.Status).Order());
        var kept = wanted[Array.FindIndex(answers, answer => answer.Status == 204)];
        Assert.Equal(200, (await LogInAsync(email, kept)).Status);
    }

    [Fact]
    public async Task Profile_Changed_HasANewVersionAndWhoHasTheOldOneMayNotChangeIt()
    {
        var (_, token) = await shop.RegisterAsync(email, name: "Ann");
        var first = (await SendAsync(HttpMethod.Get, "/v1/me/profile", token)).Headers.ETag!.ToString();
        Assert.Equal(304, (await SendAsync(HttpMethod.Get, "/v1/me/profile", token, null, ("If-None-Match", first))).Status);

        var changed = await SendAsync(HttpMethod.Patch, "/v1/me/profile", token, new JsonObject { ["name"] = "Ann B.", ["locale"] = "de-AT" }, ("If-Match", first));
        Assert.Equal((200, "Ann B.", "de-AT", 2L), (changed.Status, (string?)changed.Json["name"], (string?)changed.Json["locale"], (long)changed.Json["version"]!));
        Assert.Equal((412, "changed-meanwhile"), await SendAsync(HttpMethod.Patch, "/v1/me/profile", token, new JsonObject { ["name"] = "Eve" }, ("If-Match", first)) is var late ? (late.Status, late.Code) : default);

        // What is not said stays, null takes away; without If-Match the last one wins.
        Assert.Null((await SendAsync(HttpMethod.Patch, "/v1/me/profile", token, new JsonObject { ["locale"] = null })).Json["locale"]);
        var now = await SendAsync(HttpMethod.Get, "/v1/me/profile", token, null, ("If-None-Match", first));
        Assert.Equal((200, "Ann B.", "\"3\""), (now.Status, (string?)now.Json["name"], now.Headers.ETag?.ToString()));
    }

    [Fact]
    public async Task Me_ShowsProfileAndNewestOrdersAsTheirOwnRoutesDo_UntilOneOfThemChanges()
    {
        var (_, token) = await shop.RegisterAsync(email);
        var claim = await shop.Server.ClaimAsync(await shop.Server.OpenSaleAsync(stock: 2), token, prefer: "wait=20");
        Assert.Equal(201, claim.Status);
        var me = await SendAsync(HttpMethod.Get, "/v1/me", token);
        Assert.Equal((await SendAsync(HttpMethod.Get, "/v1/me/profile", token)).Text, me.Json["profile"]!.ToJsonString(Plain));
        Assert.Equal((await SendAsync(HttpMethod.Get, "/v1/orders", token)).Text, me.Json["orders"]!.ToJsonString(Plain));
        Assert.Equal(claim.ClaimId, (string?)me.Json["orders"]!["items"]![0]!["id"]);

        var tag = me.Headers.ETag!.ToString();
        Assert.Equal("\"1-1-0-0\"", tag);
        Assert.Equal(304, (await GetAsync(tag)).Status);

        await SendAsync(HttpMethod.Patch, "/v1/me/profile", token, new JsonObject { ["name"] = "Bob" });
        var renamed = await GetAsync(tag);
        Assert.Equal((200, "Bob", "\"2-1-0-0\""), (renamed.Status, (string?)renamed.Json["profile"]!["name"], renamed.Headers.ETag?.ToString()));

        await SendAsync(HttpMethod.Post, $"/v1/orders/{claim.ClaimId}/cancel", token);
        var cancelled = await GetAsync("\"2-1-0-0\"");
        Assert.Equal((200, "cancelled", "\"2-2-0-0\""), (cancelled.Status, (string?)cancelled.Json["orders"]!["items"]![0]!["state"], cancelled.Headers.ETag?.ToString()));
        Assert.Equal(304, (await GetAsync("\"2-2-0-0\"")).Status);

        Task<HttpAnswer> GetAsync(string known) => SendAsync(HttpMethod.Get, "/v1/me", token, null, ("If-None-Match", known));
    }

    [Fact]
    public async Task Me_OfAUserWithoutAnAccount_HasNoProfile()
    {
        var me = await SendAsync(HttpMethod.Get, "/v1/me", await shop.Server.TokenAsync($"u-{Guid.NewGuid():N}"));
        Assert.Equal((200, """{"profile":null,"orders":{"items":[],"nextCursor":null},"points":{"balance":0,"lastCheckIn":null,"streakDays":0},"coupons":[]}"""), (me.Status, me.Text));
    }

    [Fact]
    public async Task User_WithoutAnAccount_IsToldSo()
    {
        foreach (var (method, path, body) in new (HttpMethod, string, string?)[]
        {
            (HttpMethod.Get, "/v1/me/profile", null), (HttpMethod.Get, "/v1/me/addresses", null), (HttpMethod.Patch, "/v1/me/profile", """{"name":"Ann"}"""),
            (HttpMethod.Post, "/v1/me/password", """{"current":"a","new":"another password"}"""),
            (HttpMethod.Post, "/v1/me/addresses", """{"name":"A","line1":"1 Road","city":"Bonn","postalCode":"53111","country":"DE"}"""),
        })
        {
            var answer = await shop.SendAsync(method, path, "stranger", body);
            Assert.Equal((404, "no-account"), (answer.Status, answer.Code));
        }
    }

    [Fact]
    public async Task TokenKeys_Rotated_AreListedWithoutSecretsAndTokensAreGoodAsBefore()
    {
        var made = await shop.SendAsync(HttpMethod.Post, "/v1/operations/token-keys", "server", """{"endOthers":false}""");
        Assert.Equal(201, made.Status);
        var items = (await shop.SendAsync(HttpMethod.Get, "/v1/operations/token-keys", "server")).Json["items"]!.AsArray();

        Assert.Equal((string?)made.Json["id"], (string?)items[^1]!["id"]);
        Assert.StartsWith("file-", (string?)items[0]!["id"], StringComparison.Ordinal);
        Assert.All(items, item => Assert.Equal(["id", "signsFrom", "checksUntil"], item!.AsObject().Select(field => field.Key)));
        Assert.Equal(200, (await shop.SendAsync(HttpMethod.Get, "/v1/me/profile", "user")).Status);
    }

    [Fact]
    public async Task Secrets_OfAnAccount_AreInNoLogAndInNoPlainColumn()
    {
        const string secret = "tr0ub4dor and three";
        var (_, token) = await shop.RegisterAsync(email, secret);
        await LogInAsync(email, "wrong " + secret);
        await SendAsync(HttpMethod.Post, "/v1/me/password", token, new JsonObject { ["current"] = secret, ["new"] = secret + " more" });

        Assert.DoesNotContain(secret, shop.Server.Process.Output, StringComparison.Ordinal);
        Assert.DoesNotContain(email, shop.Server.Process.Output, StringComparison.OrdinalIgnoreCase);
        await using var database = shop.Server.OpenDatabase();
        var row = string.Join('|', (IDictionary<string, object?>)await database.QuerySingleAsync("SELECT * FROM accounts WHERE email_key = @email", new { email }));
        Assert.DoesNotContain(secret, row, StringComparison.Ordinal);
    }

    private Task<HttpAnswer> RegisterAsync(string address, string password) => PostAsync("/v1/accounts", new JsonObject { ["email"] = address, ["password"] = password, ["name"] = "Somebody" });

    private Task<HttpAnswer> LogInAsync(string address, string password) => PostAsync("/v1/sessions", new JsonObject { ["email"] = address, ["password"] = password });

    private Task<HttpAnswer> PostAsync(string path, JsonObject body) => shop.SendAsync(HttpMethod.Post, path, "public", body.ToJsonString());

    private Task<HttpAnswer> SendAsync(HttpMethod method, string path, string token, JsonObject? body = null, params (string Name, string Value)[] headers) =>
        shop.SendAsync(method, path, $"Bearer {token}", body?.ToJsonString(), headers.ToDictionary(header => header.Name, header => header.Value));
}

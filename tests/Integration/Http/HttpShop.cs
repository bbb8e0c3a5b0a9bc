using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>A server with a sale, a buyer who has an account, an address and an order, and a stranger whom the shop signs in itself and who has nothing.</summary>
public sealed class HttpShop : IAsyncLifetime
{
    public const string BuyerEmail = "Buyer@Example.org", BuyerPassword = "correct horse battery";

    private static readonly UriCreationOptions AsWritten = new() { DangerousDisablePathAndQueryCanonicalization = true };

    public SluiceServer Server { get; private set; } = null!;

    public string Sale { get; private set; } = "";

    public string Order { get; private set; } = "";

    /// <summary>Issues coupons; nobody here has one.</summary>
    public string Template { get; private set; } = "";

    public string Address { get; private set; } = "";

    public string BuyerId { get; private set; } = "";

    public string Buyer { get; private set; } = "";

    public string Stranger { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        Server = await SluiceServer.StartAsync(["Orders:TestPayments=true", "Admission:ClaimsPerUserPerSecond=10000", "Admission:ClaimsPerUserBurst=10000", "Accounts:LogInsPerAddressBurst=100000", "Accounts:PasswordsWaitingMax=500",
            "Rewards:CheckInsPerUserBurst=1000", Noon.Setting, "Coupons:GiveBackRound=00:01:00"]);
        Sale = await Server.OpenSaleAsync(stock: 10);
        Template = await Server.OpenTemplateAsync(units: 10);
        (BuyerId, Buyer) = await RegisterAsync(BuyerEmail, BuyerPassword);
        Stranger = await Server.TokenAsync("stranger");
        Order = (await Server.ClaimAsync(Sale, Buyer, prefer: "wait=20")).ClaimId;
        await SendAsync(HttpMethod.Put, "/v1/categories/kitchen", "server", """{"title":"Kitchen"}""");
        await SendAsync(HttpMethod.Put, "/v1/products/kettle", "server", """{"title":"Kettle"}""");
        Address = (string)(await SendAsync(HttpMethod.Post, "/v1/me/addresses", "user", """{"name":"B","line1":"1 Road","city":"Bonn","postalCode":"53111","country":"DE"}""")).Json["id"]!;
    }

    /// <summary>A new account, logged in.</summary>
    public async Task<(string UserId, string Token)> RegisterAsync(string email, string password = BuyerPassword, string name = "Somebody")
    {
        var answer = await SendAsync(HttpMethod.Post, "/v1/accounts", "public", new JsonObject { ["email"] = email, ["password"] = password, ["name"] = name }.ToJsonString());
        Assert.True(answer.Status == 201, answer.Text);
        return ((string)answer.Json["userId"]!, (string)answer.Json["token"]!);
    }

    public ValueTask DisposeAsync() => Server?.DisposeAsync() ?? ValueTask.CompletedTask;

    /// <summary>Puts the shop's own ids in for <c>{sale}</c>, <c>{template}</c>, <c>{claim}</c>, <c>{order}</c>, <c>{sku}</c>, <c>{address}</c>.</summary>
    public string Fill(string path) => path
        .Replace("{sale}", Sale, StringComparison.Ordinal).Replace("{template}", Template, StringComparison.Ordinal).Replace("{claim}", Order, StringComparison.Ordinal)
        .Replace("{order}", Order, StringComparison.Ordinal).Replace("{sku}", "kettle", StringComparison.Ordinal).Replace("{category}", "kitchen", StringComparison.Ordinal).Replace("{address}", Address, StringComparison.Ordinal);

    /// <summary>The address of a route with an id; without one, with an id that exists.</summary>
    public string PathOf(RouteRow row, string? id = null) =>
        Fill(row.Id is null ? row.Path : row.Path.Replace(row.Id == "sku" ? "{sku}" : "{id}", id ?? "{" + row.Id + "}", StringComparison.Ordinal)) + row.Query;

    public Task<HttpAnswer> SendAsync(HttpMethod method, string path, string caller, string? body = null, IReadOnlyDictionary<string, string>? headers = null) =>
        SendAsync(method, path, caller, body is null ? null : Encoding.UTF8.GetBytes(body), "application/json", headers);

    /// <summary>Sends exactly this path and these bytes.</summary>
    /// <param name="caller"><c>public</c>, <c>user</c>, <c>stranger</c>, <c>server</c>, <c>payment</c>, or a whole Authorization header.</param>
    public async Task<HttpAnswer> SendAsync(HttpMethod method, string path, string caller, byte[]? body, string contentType, IReadOnlyDictionary<string, string>? headers = null)
    {
        using var request = new HttpRequestMessage(method, new Uri($"http://127.0.0.1:{Server.Port}{path}", AsWritten));
        if (body is not null)
        {
            request.Content = new ByteArrayContent(body);
            request.Headers.ExpectContinue = body.Length > 60_000;
            if (contentType.Length > 0)
            {
                request.Content.Headers.TryAddWithoutValidation("Content-Type", contentType);
            }
        }

        switch (caller)
        {
            case "public":
                break;
            case "user":
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", Buyer);
                break;
            case "stranger":
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", Stranger);
                break;
            case "server":
                request.Headers.Add("X-Api-Key", Server.AdminKey);
                break;
            case "payment":
                request.Headers.Add("Sluice-Signature", Sign(body ?? []));
                break;
            default:
                request.Headers.TryAddWithoutValidation("Authorization", caller);
                break;
        }

        foreach (var (name, value) in headers ?? new Dictionary<string, string>())
        {
            if (!request.Headers.TryAddWithoutValidation(name, value))
            {
                request.Content!.Headers.TryAddWithoutValidation(name, value);
            }
        }

        using var response = await Server.Http.SendAsync(request);
        return await HttpAnswer.ReadAsync(response);
    }

    /// <summary>The payment provider's signature of a body.</summary>
    public string Sign(byte[] body, TimeSpan? age = null, string? secret = null)
    {
        var seconds = (TimeProvider.System.GetUtcNow() - (age ?? TimeSpan.Zero)).ToUnixTimeSeconds();
        var signed = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{seconds}.")).Concat(body).ToArray();
        return $"t={seconds},v1={Convert.ToHexStringLower(HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret ?? Server.PaymentKey), signed))}";
    }

    /// <summary>Everything of the shop that a refused request must not change, as text to compare.</summary>
    public async Task<string> StateAsync()
    {
        var state = new StringBuilder();
        foreach (var pool in (await Server.ServerGetAsync("/v1/pools"))["items"]!.AsArray())
        {
            var id = (string)pool!["id"]!;
            var certificate = await Server.SettledCertificateAsync(id);
            certificate.Remove("issuedAt");
            var inside = await Server.ServerGetAsync($"/v1/pools/{id}");
            inside.Remove("oldestAgeMs");
            state.AppendLine(inside.ToJsonString()).AppendLine(certificate.ToJsonString());
        }

        foreach (var who in new[] { "user", "stranger" })
        {
            foreach (var path in new[] { "/v1/orders", "/v1/coupons", "/v1/me/profile", "/v1/me/addresses", "/v1/points", "/v1/check-ins" })
            {
                state.AppendLine((await SendAsync(HttpMethod.Get, path, who)).Text);
            }
        }

        return state.AppendLine((await SendAsync(HttpMethod.Get, "/v1/products/kettle", "public")).Text).ToString();
    }

    /// <summary>The server is still there, and nothing went wrong in it.</summary>
    /// <param name="exceptFor">The source of a log line that is to be expected.</param>
    public async Task AssertUnharmedAsync(string exceptFor = "nothing")
    {
        Assert.Equal(200, (await SendAsync(HttpMethod.Get, "/health/ready", "public")).Status);
        AssertNothingWrong(Server.Process.Output.Split(Environment.NewLine).Where(line =>
            (line.Contains(" fail: ", StringComparison.Ordinal) || line.Contains(" crit: ", StringComparison.Ordinal)) && !line.Contains(exceptFor, StringComparison.Ordinal)));
    }

    /// <summary>Fails with every line, where Assert.Empty would show the beginning of some.</summary>
    public static void AssertNothingWrong(IEnumerable<string> wrong) => Assert.True(!wrong.Any(), string.Join(Environment.NewLine, wrong));
}

/// <summary>Classes that share one server: each test makes its own sales and users there.</summary>
[CollectionDefinition(nameof(HttpShop))]
public sealed class HttpShopCollection : ICollectionFixture<HttpShop>;

/// <summary>A whole answer, and what must never be in one.</summary>
public sealed record HttpAnswer(int Status, string? ContentType, string Text, HttpResponseHeaders Headers)
{
    // What an answer would show if a stack trace, a type or a file of ours got into it.
    private static readonly string[] Inside = ["   at ", "Exception", "System.", "Microsoft.", "Sluice.Platform", "Sluice.Modules", "Sluice.Host", ".cs:", "/src/", "/tmp/", "sluice-test-", "SELECT ", "Garnet"];

    public JsonObject Json => (JsonObject)JsonNode.Parse(Text)!;

    public string? Code => ContentType == "application/problem+json" ? (string?)Json["code"] : null;

    public static async Task<HttpAnswer> ReadAsync(HttpResponseMessage response) =>
        new((int)response.StatusCode, response.Content.Headers.ContentType?.MediaType, await response.Content.ReadAsStringAsync(), response.Headers);

    /// <summary>What is wrong with this as a refusal, or null.</summary>
    /// <param name="codes">The codes it may have.</param>
    public string? WrongAsRefusal(params string[] codes)
    {
        if (Status is < 400 or >= 500)
        {
            return $"answered {Status}: {Start}";
        }

        if (Code is not { } code)
        {
            return $"answered {Status} without a problem: {ContentType} {Start}";
        }

        return !codes.Contains(code) ? $"said '{code}', not '{string.Join("' or '", codes)}': {Start}"
            : (int?)Json["status"] != Status || (string?)Json["type"] != $"https://sluice.dev/problems/{code}" ? $"contradicts itself: {Status} {Start}"
            : WrongAsAnswer();
    }

    /// <summary>What any answer must not show, or null.</summary>
    public string? WrongAsAnswer() =>
        Status >= 500 ? $"answered {Status}: {Start}" : Array.Find(Inside, word => Text.Contains(word, StringComparison.Ordinal)) is { } leak ? $"shows '{leak}': {Start}" : null;

    private string Start => Text.Length > 300 ? Text[..300] : Text;
}

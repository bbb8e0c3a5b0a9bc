using System.Data.Common;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Dapper;
using Microsoft.Data.Sqlite;
using MySqlConnector;

namespace Sluice.Tests.Integration.Servers;

/// <summary>A real server process on a free port, and the calls that a shop makes to it. It can be killed and started again on the same folder.</summary>
public sealed class SluiceServer : IAsyncDisposable
{
    // A machine that is busy enough answers 503 to somebody now and then.
    private const int SetUpTriesMax = 10;

    private readonly TempFolder? ownFolder;
    private readonly ServerProcess server;

    private readonly string? sqlConnection;
    private readonly bool isForeign;

    // Somebody else's process.
    private SluiceServer(int port, string dataFolder, string sqlConnection)
    {
        (Data, this.sqlConnection, isForeign) = (dataFolder, sqlConnection, true);
        server = new ServerProcess("", [], port: port);
    }

    private SluiceServer(string? dataFolder, IReadOnlyList<string> settings)
    {
        const string Sql = "Sql:Connection=";
        sqlConnection = settings.FirstOrDefault(setting => setting.StartsWith(Sql, StringComparison.Ordinal))?[Sql.Length..] is { } text && text != "embedded" ? text : null;
        ownFolder = dataFolder is null ? new TempFolder() : null;
        Data = dataFolder ?? ownFolder!.Path;
        server = new ServerProcess("dotnet", [Programs.Server, "serve", "--data", Data, .. settings.SelectMany(setting => new[] { "--set", setting })]);
    }

    public int Port => server.Port;

    public string Data { get; }

    public HttpClient Http => server.Http;

    public ChildProcess Process => server.Process;

    public string AdminKey => File.ReadAllText(Path.Combine(Data, "admin.key")).Trim();

    public string PaymentKey => File.ReadAllText(Path.Combine(Data, "payment.key")).Trim();

    /// <summary>Starts a server and returns when it is ready.</summary>
    /// <param name="settings">Each as <c>Section:Name=value</c>.</param>
    /// <param name="dataFolder">A folder to use; otherwise one of its own that goes with it.</param>
    public static async Task<SluiceServer> StartAsync(IReadOnlyList<string>? settings = null, string? dataFolder = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        var server = new SluiceServer(dataFolder, settings ?? []);
        try
        {
            await server.BeginAsync(environment);
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>The calls of a shop to a server (or a load balancer) that somebody else has started.</summary>
    public static SluiceServer At(int port, string keysFolder, string sqlConnection) => new(port, keysFolder, sqlConnection);

    /// <summary>Starts the process (again) and returns when it is ready.</summary>
    public async Task BeginAsync(IReadOnlyDictionary<string, string>? environment = null)
    {
        Launch(environment);
        await ReadyAsync();
    }

    /// <summary>Starts the process and does not wait.</summary>
    public void Launch(IReadOnlyDictionary<string, string>? environment = null) => server.Launch(environment);

    public Task ReadyAsync() => server.ReadyAsync();

    /// <summary>The server's database, for statements of a test's own.</summary>
    public DbConnection OpenDatabase() => sqlConnection is { } mysql
        ? new MySqlConnection(mysql + ";Pooling=False")
        : new SqliteConnection($"Data Source={Path.Combine(Data, "sluice.db")};Mode=ReadWrite;Pooling=False");

    /// <summary>Notes of changes in the main database that the caches are still to be told of, for the last time half a second after they were made.</summary>
    public async Task<long> ChangesToTellAsync()
    {
        await using var database = OpenDatabase();
        return await database.QuerySingleAsync<long>("SELECT COUNT(*) FROM cache_changes");
    }

    /// <summary>kill -9.</summary>
    public Task KillAsync() => Process.KillAsync();

    // ---- the shop's side -------------------------------------------------------------------------------------------------

    public Task<JsonObject> ServerPostAsync(string path, JsonObject? body = null) => SendAsync(HttpMethod.Post, path, body, apiKey: AdminKey);

    public Task<JsonObject> ServerPutAsync(string path, JsonObject body) => SendAsync(HttpMethod.Put, path, body, apiKey: AdminKey);

    public Task<JsonObject> ServerGetAsync(string path) => SendAsync(HttpMethod.Get, path, null, apiKey: AdminKey);

    /// <summary>Makes a sale that is open. Returns its id (also the pool's).</summary>
    public async Task<string> OpenSaleAsync(int stock, int perUserLimit = 1, string paymentTimeout = "PT15M", int setAside = 0, int lanes = 1)
    {
        var sale = await ServerPostAsync("/v1/flash-sales", new JsonObject
        {
            ["sku"] = "kettle", ["title"] = "Kettle", ["priceCents"] = 4900, ["currency"] = "EUR",
            ["stockUnits"] = stock, ["setAsideUnits"] = setAside, ["lanes"] = lanes, ["perUserLimit"] = perUserLimit, ["paymentTimeout"] = paymentTimeout,
        });
        var id = (string)sale["id"]!;
        await ServerPostAsync($"/v1/flash-sales/{id}/open");
        return id;
    }

    public async Task<string> TokenAsync(string userId) => (string)(await ServerPostAsync("/v1/tokens", new JsonObject { ["userId"] = userId }))["token"]!;

    /// <summary>Tokens in order, any number of users.</summary>
    public async Task<IReadOnlyList<string>> TokensAsync(IReadOnlyList<string> userIds)
    {
        var tokens = new List<string>(userIds.Count);
        foreach (var chunk in userIds.Chunk(1_000))
        {
            var answer = await ServerPostAsync("/v1/tokens", new JsonObject { ["userIds"] = new JsonArray([.. chunk.Select(id => (JsonNode)id)]) });
            tokens.AddRange(answer["tokens"]!.AsArray().Select(token => (string)token!));
        }

        return tokens;
    }

    /// <summary>The certificate once nothing is on its way. An engine that is away for the moment (503) has not settled either.</summary>
    public async Task<JsonObject> SettledCertificateAsync(string poolId)
    {
        JsonObject? certificate = null;
        await Eventually.TrueAsync(
            async () =>
            {
                var answer = await AnswerAsync(new HttpRequestMessage(HttpMethod.Get, $"/v1/pools/{poolId}/certificate"));
                if (answer.Status == 503)
                {
                    return false;
                }

                Assert.True(answer.Status == 200, $"The certificate of {poolId} answered {answer.Status}: {answer.Text}{LogOf(answer)}");
                certificate = (JsonObject)answer.Json["certificate"]!;
                return (string?)certificate["verdict"] != "settling";
            },
            $"pool {poolId} settles");
        return certificate!;
    }

    /// <summary>Every claim that SQL has of these ids, by id.</summary>
    public async Task<IReadOnlyDictionary<string, JsonObject>> LookupAsync(IReadOnlyCollection<string> claimIds)
    {
        var found = new Dictionary<string, JsonObject>(StringComparer.Ordinal);
        foreach (var chunk in claimIds.Chunk(1_000))
        {
            var answer = await ServerPostAsync("/v1/claims/lookup", new JsonObject { ["claimIds"] = new JsonArray([.. chunk.Select(id => (JsonNode)id)]) });
            foreach (var item in answer["items"]!.AsArray())
            {
                found.Add((string)item!["claimId"]!, (JsonObject)item);
            }
        }

        return found;
    }

    // ---- the user's side -------------------------------------------------------------------------------------------------

    /// <summary>Sends a claim and returns status and body, whatever they are.</summary>
    public Task<Answer> ClaimAsync(string saleId, string token, string? key = null, int units = 1, string? prefer = null, CancellationToken cancel = default)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, $"/v1/flash-sales/{saleId}/claims") { Content = JsonContent.Create(new JsonObject { ["units"] = units }) };
        request.Headers.Add("Authorization", $"Bearer {token}");
        if (key is not null)
        {
            request.Headers.Add("Idempotency-Key", key);
        }

        if (prefer is not null)
        {
            request.Headers.Add("Prefer", prefer);
        }

        return AnswerAsync(request, cancel);
    }

    public Task<Answer> UserAsync(HttpMethod method, string path, string token) =>
        AnswerAsync(new HttpRequestMessage(method, path) { Headers = { { "Authorization", $"Bearer {token}" } } });

    /// <summary>The payment provider's signed callback.</summary>
    public Task<Answer> PayAsync(string orderId, string paymentId, long amountCents, string currency = "EUR")
    {
        var body = new JsonObject { ["paymentId"] = paymentId, ["amountCents"] = amountCents, ["currency"] = currency }.ToJsonString();
        var seconds = DateTimeOffset.FromUnixTimeMilliseconds(TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()).ToUnixTimeSeconds();
        var mac = Convert.ToHexStringLower(HMACSHA256.HashData(Encoding.UTF8.GetBytes(PaymentKey), Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{seconds}.{body}"))));
        return AnswerAsync(new HttpRequestMessage(HttpMethod.Post, $"/v1/orders/{orderId}/pay")
        {
            Content = new StringContent(body, Encoding.UTF8, "application/json"),
            Headers = { { "Sluice-Signature", $"t={seconds},v1={mac}" } },
        });
    }

    public async Task<Answer> AnswerAsync(HttpRequestMessage request, CancellationToken cancel = default)
    {
        using var sent = request;
        using var response = await SendAsync(request, cancel);
        var text = await response.Content.ReadAsStringAsync(cancel);
        return new Answer((int)response.StatusCode, text, response.Headers.RetryAfter?.Delta) { ETag = response.Headers.ETag?.ToString() };
    }

    public async ValueTask DisposeAsync()
    {
        // Killed, not asked: what it would still write nobody reads.
        if (!isForeign)
        {
            await server.Process.KillAsync();
        }

        await server.DisposeAsync();
        ownFolder?.Dispose();
    }

    // A server that dies the moment a connection is made: the client lets that one exception through as it is.
    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancel)
    {
        try
        {
            return await Http.SendAsync(request, cancel);
        }
        catch (SocketException e)
        {
            throw new HttpRequestException(e.Message, e);
        }
    }

    // Why is in its log only.
    private string LogOf(Answer answer) => answer.Status == 500 && !isForeign ? $"{Environment.NewLine}{Process.Output}" : "";

    private async Task<JsonObject> SendAsync(HttpMethod method, string path, JsonObject? body, string? apiKey = null)
    {
        var key = Guid.NewGuid().ToString("N");
        Answer answer;
        var tries = 0;
        do
        {
            var request = new HttpRequestMessage(method, path) { Content = body is null ? null : JsonContent.Create(body) };
            if (apiKey is not null)
            {
                request.Headers.Add("X-Api-Key", apiKey);
                request.Headers.Add("Idempotency-Key", key);
            }

            answer = await AnswerAsync(request);
        }
        while (answer.Status == 503 && apiKey is not null && ++tries < SetUpTriesMax); // As a shop's server does what it is told: again, with the same key.

        Assert.True(answer.Status is >= 200 and < 300, $"{method} {path} answered {answer.Status}: {answer.Text}{LogOf(answer)}");
        return answer.Json;
    }
}

/// <summary>What came back.</summary>
public sealed record Answer(int Status, string Text, TimeSpan? RetryAfter)
{
    public JsonObject Json => (JsonObject)JsonNode.Parse(Text)!;

    public string? ETag { get; init; }

    /// <summary>The problem's code, or null.</summary>
    public string? Code => Text.StartsWith('{') ? (string?)Json["code"] : null;

    public string ClaimId => (string)Json["claimId"]!;
}

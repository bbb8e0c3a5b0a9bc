using System.Text.Json.Nodes;

namespace Sluice.Tests.Integration.Http;

/// <summary>What the API document says is what was meant: a route or status that comes or goes shows in golden/openapi-routes.txt.</summary>
[Collection(nameof(HttpShop))]
public sealed class ApiDocumentTests(HttpShop shop)
{
    public sealed record Operation(string Route, string Callers, string Statuses, JsonObject Says)
    {
        public bool HasBody => Says["requestBody"] is not null;

        public JsonObject Responses => Says["responses"]!.AsObject();

        /// <summary>Each problem as <c>409 sold-out</c>.</summary>
        public IEnumerable<string> Problems =>
            from response in Responses
            let problem = response.Value!["content"]?["application/problem+json"]
            where problem is not null
            from code in problem["schema"]!["allOf"]![1]!["properties"]!["code"]!["enum"]!.AsArray()
            select $"{response.Key} {code}";

        public bool Takes(string place, string? name = null) =>
            Says["parameters"] is JsonArray parameters && parameters.Any(parameter => (string?)parameter!["in"] == place && (name is null || (string?)parameter["name"] == name));

        public bool Tells(int status, string header) => Responses[$"{status}"]?["headers"]?[header] is not null;
    }

    [Fact]
    public async Task ApiDocument_OfThisVersion_HasTheGoldenRoutes()
    {
        var golden = await File.ReadAllLinesAsync(Path.Combine(Corpus.Folder, "golden/openapi-routes.txt"));
        var lines = (await OperationsAsync(shop)).Select(operation => $"{operation.Route} | {operation.Callers.Replace("|", " or ", StringComparison.Ordinal)} | {operation.Statuses}").ToList();

        // Deliberate? Then change the golden file, docs/http-api.md and corpus/routes.json with it.
        Assert.Equal(golden, lines.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Route_InTheApiDocument_HasARowInTheCorpus()
    {
        var operations = await OperationsAsync(shop);

        Assert.Equal(operations.Select(operation => operation.Route).Order(StringComparer.Ordinal), Corpus.Routes.Select(row => row.Route).Order(StringComparer.Ordinal));
        Assert.Equal(
            operations.Where(operation => operation.HasBody).Select(operation => operation.Route).Order(StringComparer.Ordinal),
            Corpus.Routes.Where(row => row.Body is not null).Select(row => row.Route).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task ProblemPage_AndApiDocument_ListTheSameProblems()
    {
        var problems = (await OperationsAsync(shop)).SelectMany(operation => operation.Problems)
            .Append("405 method-not-allowed"); // where there is no route of that method, and so nothing in the document

        Assert.Equal(ProblemPageTests.Page().Order(StringComparer.Ordinal), problems.Distinct().Order(StringComparer.Ordinal));
        var schema = (await shop.SendAsync(HttpMethod.Get, "/openapi/v1.json", "public")).Json["components"]!["schemas"]!["Problem"]!["properties"]!["code"]!["enum"]!.AsArray();
        Assert.Equal(ProblemPageTests.Page().Select(problem => problem[4..]).Distinct().Order(StringComparer.Ordinal), schema.Select(code => (string)code!));
    }

    [Fact]
    public async Task Route_InTheApiDocument_SaysWhatItIsAndHowItRefuses()
    {
        var wrong = new List<string>();
        var tags = (await shop.SendAsync(HttpMethod.Get, "/openapi/v1.json", "public")).Json["tags"]!.AsArray()
            .Where(tag => (string?)tag!["description"] is { Length: > 5 }).Select(tag => (string)tag!["name"]!).ToHashSet(StringComparer.Ordinal);
        foreach (var operation in await OperationsAsync(shop))
        {
            Check((string?)operation.Says["summary"] is { Length: > 5 }, "a summary");
            Check(operation.Says["tags"] is JsonArray { Count: 1 } own && tags.Contains((string)own[0]!), "a tag that is explained");
            Check(operation.Responses.Any(response => response.Key[0] == '2'), "a good answer");
            Check(!(operation.HasBody || operation.Takes("path") || operation.Takes("query")) || operation.Problems.Any(problem => problem[0] == '4'), "a refusal of what it takes");
            Check(operation.Responses.All(response => response.Key[0] is not ('4' or '5') || response.Value!["content"]?["application/problem+json"]?["schema"] is not null), "a problem for each refusal");
            Check(operation.Responses.All(response => response.Key is not ("429" or "503") || operation.Tells(int.Parse(response.Key), "Retry-After")), "Retry-After where it comes");
            Check(operation.Responses["401"] is null || operation.Tells(401, "WWW-Authenticate"), "how to say who is asking");
            Check(operation.Takes("header", "Idempotency-Key") == operation.Problems.Contains("422 idempotency-key-reused"), "Idempotency-Key with its refusal");

            void Check(bool holds, string what)
            {
                if (!holds)
                {
                    wrong.Add($"{operation.Route} lacks {what}");
                }
            }
        }

        HttpShop.AssertNothingWrong(wrong);
    }

    [Fact]
    public async Task ApiDocument_HasTheTwoWaysToSayWhoCalls()
    {
        var schemes = (await shop.SendAsync(HttpMethod.Get, "/openapi/v1.json", "public")).Json["components"]!["securitySchemes"]!;

        Assert.Equal(("http", "bearer"), ((string?)schemes["userToken"]!["type"], (string?)schemes["userToken"]!["scheme"]));
        Assert.Equal(("apiKey", "header", "X-Api-Key"), ((string?)schemes["apiKey"]!["type"], (string?)schemes["apiKey"]!["in"], (string?)schemes["apiKey"]!["name"]));
    }

    [Fact]
    public async Task GetRoute_SaysETag_ExactlyWhereItSendsOne()
    {
        foreach (var operation in (await OperationsAsync(shop)).Where(operation => operation.Route.StartsWith("GET ", StringComparison.Ordinal)))
        {
            var row = Corpus.Routes.Single(row => row.Route == operation.Route);
            var answer = await shop.SendAsync(HttpMethod.Get, shop.PathOf(row), row.Caller);

            Assert.Equal(200, answer.Status);
            Assert.True(operation.Tells(200, "ETag") == (answer.Headers.ETag is not null), operation.Route);
            Assert.True(operation.Tells(200, "ETag") == operation.Takes("header", "If-None-Match"), operation.Route);
        }
    }

    [Fact]
    public async Task ClaimRoute_InTheApiDocument_ShowsWhatItAnswers()
    {
        var claims = (await OperationsAsync(shop)).Single(operation => operation.Route == "POST /v1/flash-sales/{id}/claims");
        Assert.True(claims.Takes("header", "Idempotency-Key") && claims.Takes("header", "Prefer"));
        var sale = await shop.Server.OpenSaleAsync(stock: 4, perUserLimit: 2);
        var users = await shop.Server.TokensAsync([.. Enumerable.Range(0, 3).Select(_ => $"u-{Guid.NewGuid():N}")]);
        var key = $"{Guid.NewGuid():N}";

        await AssertShowsAsync(users[0], 202, "held", units: 1);
        await AssertShowsAsync(users[0], 201, "confirmed", units: 1, key, "wait=20");
        await AssertShowsAsync(users[0], 200, "had-before", units: 1, key);
        await AssertShowsAsync(users[0], 409, "limit-reached", units: 1);
        await AssertShowsAsync(users[1], 202, "held", units: 2);
        await AssertShowsAsync(users[2], 409, "sold-out", units: 1);

        async Task AssertShowsAsync(string token, int status, string name, int units, string? key = null, string? prefer = null)
        {
            var answer = await shop.Server.ClaimAsync(sale, token, key, units, prefer);
            Assert.Equal(status, answer.Status);
            var example = claims.Responses[$"{status}"]!["content"]!.AsObject().Single().Value!["examples"]![name]!["value"]!.AsObject();
            Assert.Equal(Names(answer.Json), Names(example));
            Assert.Equal((string?)answer.Json["code"], (string?)example["code"]);
        }

        static IEnumerable<string> Names(JsonObject json) => json.SelectMany(field => field.Value is JsonObject inner ? Names(inner).Prepend(field.Key) : [field.Key]);
    }

    /// <summary>The routes as /openapi/v1.json has them.</summary>
    internal static async Task<IReadOnlyList<Operation>> OperationsAsync(HttpShop shop)
    {
        var document = (await shop.SendAsync(HttpMethod.Get, "/openapi/v1.json", "public")).Json;
        return
        [
            .. from path in document["paths"]!.AsObject()
               from operation in path.Value!.AsObject()
               select new Operation(
                   $"{operation.Key.ToUpperInvariant()} {path.Key}", CallersOf(operation.Value!),
                   string.Join(' ', operation.Value!["responses"]!.AsObject().Select(response => response.Key).Order(StringComparer.Ordinal)), operation.Value.AsObject()),
        ];
    }

    // Each requirement is one way in; an empty one lets everybody in; none at all is a route that nobody thought about.
    private static string CallersOf(JsonNode operation) => operation["security"] is JsonArray { Count: > 0 } ways
        ? string.Join('|', ways.Select(way => way!.AsObject().Select(scheme => scheme.Key).SingleOrDefault() switch { null => "public", "userToken" => "user", "apiKey" => "server", var other => other }))
        : "nobody";
}

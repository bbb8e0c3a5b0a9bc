using System.Text.Json.Nodes;

namespace Sluice.Tests.Integration.Http;

/// <summary>What the API document says is what was meant: a route or status that comes or goes shows in golden/openapi-routes.txt.</summary>
[Collection(nameof(HttpShop))]
public sealed class ApiDocumentTests(HttpShop shop)
{
    public sealed record Operation(string Route, string Callers, string Statuses, bool HasBody);

    [Fact]
    public async Task ApiDocument_OfThisVersion_HasTheGoldenRoutes()
    {
        var golden = await File.ReadAllLinesAsync(Path.Combine(Corpus.Folder, "golden/openapi-routes.txt"));
        var lines = (await OperationsAsync(shop)).Select(operation => $"{operation.Route} | {operation.Callers.Replace("|", " or ", StringComparison.Ordinal)} | {operation.Statuses}");

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
                   string.Join(' ', operation.Value!["responses"]!.AsObject().Select(response => response.Key).Order(StringComparer.Ordinal)), operation.Value["requestBody"] is not null),
        ];
    }

    // Each requirement is one way in; an empty one lets everybody in; none at all is a route that nobody thought about.
    private static string CallersOf(JsonNode operation) => operation["security"] is JsonArray { Count: > 0 } ways
        ? string.Join('|', ways.Select(way => way!.AsObject().Select(scheme => scheme.Key).SingleOrDefault() switch { null => "public", "userToken" => "user", "apiKey" => "server", var other => other }))
        : "nobody";
}

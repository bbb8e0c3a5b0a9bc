using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>One row of <c>corpus/routes.json</c>: who calls a route, what a good body is, and which of its fields take which hostile values.</summary>
/// <param name="Caller"><c>public</c>, <c>user</c>, <c>server</c>, or <c>payment</c> (signed like the provider's callback).</param>
/// <param name="Id">What the id in the path names: <c>sale</c>, <c>template</c>, <c>claim</c>, <c>order</c>, <c>sku</c>, <c>address</c>.</param>
/// <param name="Query">What a good request has behind its path.</param>
/// <param name="Numbers">Number fields, each with the hostile literals that are legal there.</param>
/// <param name="Words">Fields of a narrow form: every hostile text is refused.</param>
/// <param name="Prose">Fields for people: texts that are merely suspicious are kept as they are.</param>
/// <param name="Lines">Those of them that may have several lines.</param>
public sealed record RouteRow(
    string Route, string Caller, string? Id, JsonObject? Body, Dictionary<string, string[]>? Numbers, string[]? Words, string[]? Prose, string[]? Lines, string[]? Codes, string[]? LegalIds, string? IdCode, string? Query)
{
    public HttpMethod Method => new(Route.Split(' ')[0]);

    public string Path => Route.Split(' ')[1];

    public string[] RefusalCodes => Codes ?? ["invalid-request"];
}

public sealed record BodyRow(string Name, string? Text, string? Base64, string? Repeat, int Times, string? ContentType, Dictionary<string, string>? Headers, string[]? Codes, string? UnlessRoute)
{
    public byte[] Bytes => Base64 is not null ? Convert.FromBase64String(Base64) : Encoding.UTF8.GetBytes(Repeat is null ? Text! : string.Concat(Enumerable.Repeat(Repeat, Times)));
}

/// <param name="Json">The JSON string; with <paramref name="Times"/> its character so many times.</param>
/// <param name="IsInert">Fit for prose, where it means nothing.</param>
/// <param name="IsLines">Fit for a text of several lines.</param>
public sealed record TextRow(string Name, string Json, int Times, bool IsInert, bool IsLines, string[]? Codes)
{
    public string Literal => Times == 0 ? Json : $"\"{new string('a', Times)}\"";
}

/// <param name="IsMalformed">Not a request at all: the server's HTTP layer ends it with a bare status.</param>
/// <param name="IsElsewhere">Names another address once it is resolved.</param>
public sealed record IdRow(string Segment, int Times, bool IsMalformed, bool IsElsewhere)
{
    public string Value => Times == 0 ? Segment : string.Concat(Enumerable.Repeat(Segment, Times));
}

public sealed record RequestRow(string Request, string Caller, string? Body, Dictionary<string, string>? Headers, int Times, int Status, string? Code)
{
    public HttpMethod Method => new(Request[..Request.IndexOf(' ')]);

    public string Path => Request[(Request.IndexOf(' ') + 1)..];
}

/// <summary>The files of hostile input beside this one.</summary>
public static class Corpus
{
    private static readonly JsonSerializerOptions Web = new(JsonSerializerDefaults.Web) { UnmappedMemberHandling = System.Text.Json.Serialization.JsonUnmappedMemberHandling.Disallow };

    public static IReadOnlyList<RouteRow> Routes { get; } = Read<RouteRow>("routes");

    public static IReadOnlyList<BodyRow> Bodies { get; } = Read<BodyRow>("bodies");

    public static IReadOnlyList<string> Numbers { get; } = Read<string>("numbers");

    public static IReadOnlyList<TextRow> Texts { get; } = Read<TextRow>("texts");

    public static IReadOnlyList<IdRow> Ids { get; } = Read<IdRow>("ids");

    public static IReadOnlyList<RequestRow> Requests { get; } = Read<RequestRow>("requests");

    public static string Folder => Path.Combine(Programs.Root, "tests/Integration/Http");

    private static T[] Read<T>(string name) => JsonSerializer.Deserialize<T[]>(File.ReadAllText(Path.Combine(Folder, "corpus", name + ".json")), Web)!;
}

using System.Text;
using System.Text.Json.Nodes;

namespace Sluice.Tests.Integration.Http;

/// <summary>Every route times every row of the corpus: refused with a stable code, twice alike, and nothing changed.</summary>
public sealed class HostileRequestTests(HttpShop shop) : IClassFixture<HttpShop>
{
    public static TheoryData<string> Routes => new(Corpus.Routes.Select(row => row.Route));

    public static TheoryData<string> RoutesWithBody => new(Corpus.Routes.Where(row => row.Body is not null).Select(row => row.Route));

    public static TheoryData<string> RoutesWithId => new(Corpus.Routes.Where(row => row.Id is not null).Select(row => row.Route));

    [Theory]
    [MemberData(nameof(RoutesWithBody))]
    public Task Body_ThatIsHostile_IsRefused(string route) => RefusedAsync(route, row =>
        from body in Corpus.Bodies
        where body.UnlessRoute != route
        select new Attempt(
            body.Name, row.Method, shop.PathOf(row), row.Caller, body.Bytes, body.ContentType ?? "application/json", body.Headers,
            body.Codes ?? (body.Bytes.Length > 1_000 ? ["invalid-request", "body-too-large"] : ["invalid-request"])));

    [Theory]
    [MemberData(nameof(RoutesWithBody))]
    public Task Body_WithItsOwnFieldTwice_IsRefused(string route) => RefusedAsync(route, row =>
    {
        var good = row.Body!.ToJsonString();
        return row.Body.Select(field => Refused(row, $"'{field.Key}' twice", $"{good[..^1]},\"{field.Key}\":{field.Value!.ToJsonString()}}}", ["invalid-request"]));
    });

    [Theory]
    [MemberData(nameof(RoutesWithBody))]
    public Task Number_ThatIsNone_IsRefused(string route) => RefusedAsync(route, row =>
        from field in row.Numbers ?? []
        from number in Corpus.Numbers
        where !field.Value.Contains(number)
        select Refused(row, $"{field.Key} = {number}", With(row, field.Key, number), row.RefusalCodes));

    [Theory]
    [MemberData(nameof(RoutesWithBody))]
    public Task Text_ThatIsHostile_IsRefused(string route) => RefusedAsync(route, row =>
        from field in (row.Words ?? []).Concat(row.Prose ?? [])
        from text in Corpus.Texts
        where !(text.IsInert && (row.Prose ?? []).Contains(field)) && !(text.IsLines && (row.Lines ?? []).Contains(field))
        select Refused(row, $"{field} = {text.Name}", With(row, field, text.Literal), text.Codes ?? (text.Literal.Length > 4_000 ? ["invalid-request", "body-too-large"] : ["invalid-request"])));

    [Theory]
    [MemberData(nameof(RoutesWithId))]
    public async Task Id_OfNothing_IsNotFound(string route)
    {
        var wrong = new List<string>();
        var row = Corpus.Routes.Single(row => row.Route == route);
        var body = row.Body is null ? null : Encoding.UTF8.GetBytes(row.Body.ToJsonString());
        foreach (var id in Corpus.Ids.Where(id => !(row.LegalIds ?? []).Contains(id.Value)))
        {
            var answer = await shop.SendAsync(row.Method, shop.PathOf(row, id.Value), row.Caller, body, "application/json");
            if (id.IsMalformed && answer is { Status: 400 or 414, Text: "" })
            {
                continue;
            }

            string[] codes = id.IsElsewhere ? ["not-found", "method-not-allowed", "unauthorized", "forbidden"] : ["not-found", row.IdCode ?? "not-found"];
            if (answer.WrongAsRefusal(codes) is { } says)
            {
                wrong.Add($"{id.Segment}: {says}");
            }
        }

        HttpShop.AssertNothingWrong(wrong);
        await shop.AssertUnharmedAsync();
    }

    [Theory]
    [MemberData(nameof(Routes))]
    public async Task Method_ThatTheRouteDoesNotHave_IsNotAllowed(string route)
    {
        var wrong = new List<string>();
        var row = Corpus.Routes.Single(row => row.Route == route);
        var own = Corpus.Routes.Where(other => IsAlso(row.Path, other.Path)).Select(other => other.Method.Method).ToHashSet(StringComparer.Ordinal);
        foreach (var method in new[] { "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "BAN", "PROPFIND", "get" }.Where(method => !own.Contains(method.ToUpperInvariant())))
        {
            var answer = await shop.SendAsync(new HttpMethod(method), shop.PathOf(row), row.Caller);
            if (answer.WrongAsRefusal("method-not-allowed") is { } says)
            {
                wrong.Add($"{method}: {says}");
            }
        }

        HttpShop.AssertNothingWrong(wrong);
        await shop.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Request_InTheList_IsAnsweredAsItSays()
    {
        var before = await shop.StateAsync();
        var wrong = new List<string>();
        foreach (var row in Corpus.Requests)
        {
            var headers = row.Headers?.ToDictionary(header => header.Key, header => row.Times == 0 ? header.Value : string.Concat(Enumerable.Repeat(header.Value, row.Times)));
            for (var turn = 0; turn < 2; turn++)
            {
                var answer = await shop.SendAsync(row.Method, shop.Fill(row.Path), row.Caller, row.Body, headers);
                var says = row.Code is not null ? answer.WrongAsRefusal(row.Code) : answer.Status == row.Status ? answer.WrongAsAnswer() : $"answered {answer.Status}: {answer.Text}";
                if (says is not null)
                {
                    wrong.Add($"{row.Request} {row.Headers?.First().Key}: {says}");
                }
            }
        }

        HttpShop.AssertNothingWrong(wrong);
        Assert.Equal(before, await shop.StateAsync());
        await shop.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Prose_ThatIsOnlySuspicious_IsKeptAsItIs()
    {
        foreach (var text in Corpus.Texts.Where(text => text.IsInert))
        {
            var put = await shop.SendAsync(HttpMethod.Put, "/v1/products/suspicious", "server", $$"""{"title":{{text.Json}}}""");
            Assert.Equal(200, put.Status);
            var got = await shop.SendAsync(HttpMethod.Get, "/v1/products/suspicious", "public");
            Assert.Equal("application/json", got.ContentType);
            Assert.Equal((string?)JsonNode.Parse(text.Json), (string?)got.Json["title"]);
        }

        await shop.AssertUnharmedAsync();
    }

    private async Task RefusedAsync(string route, Func<RouteRow, IEnumerable<Attempt>> attempts)
    {
        var before = await shop.StateAsync();
        var wrong = new List<string>();
        var documented = (await ApiDocumentTests.OperationsAsync(shop)).Single(operation => operation.Route == route).Problems.ToHashSet(StringComparer.Ordinal);
        foreach (var attempt in attempts(Corpus.Routes.Single(row => row.Route == route)))
        {
            var first = await attempt.SendAsync(shop);
            var second = await attempt.SendAsync(shop);
            var says = first.WrongAsRefusal(attempt.Codes) ?? (first.Text == second.Text ? null : $"answered differently: {first.Text} then {second.Text}")
                ?? (documented.Contains($"{first.Status} {first.Code}") ? null : $"the API document has no {first.Status} {first.Code} here");
            if (says is not null)
            {
                wrong.Add($"{attempt.Name}: {says}");
            }
        }

        HttpShop.AssertNothingWrong(wrong);
        Assert.Equal(before, await shop.StateAsync());
        await shop.AssertUnharmedAsync();
    }

    // The same address may be another route's with an id: /v1/claims/lookup is one of /v1/claims/{id}.
    private static bool IsAlso(string path, string other)
    {
        var (segments, others) = (path.Split('/'), other.Split('/'));
        return segments.Length == others.Length && segments.Zip(others).All(pair => pair.First == pair.Second || pair.Second.StartsWith('{'));
    }

    private Attempt Refused(RouteRow row, string name, string body, string[] codes) =>
        new(name, row.Method, shop.PathOf(row), row.Caller, Encoding.UTF8.GetBytes(body), "application/json", null, codes);

    // The good body with one field's literal replaced by another, which need not be JSON.
    private static string With(RouteRow row, string field, string literal)
    {
        var others = row.Body!.Where(other => other.Key != field).Select(other => $"\"{other.Key}\":{other.Value!.ToJsonString()}");
        var value = row.Body![field] is JsonArray ? $"[{literal}]" : literal;
        return $"{{{string.Join(',', others.Append($"\"{field}\":{value}"))}}}";
    }

    private sealed record Attempt(string Name, HttpMethod Method, string Path, string Caller, byte[] Body, string ContentType, Dictionary<string, string>? Headers, string[] Codes)
    {
        public Task<HttpAnswer> SendAsync(HttpShop shop) => shop.SendAsync(Method, Path, Caller, Body, ContentType, Headers);
    }
}

using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Routing.Patterns;
using Sluice.Platform.Http;

namespace Sluice.Tests.Integration.Http;

/// <summary>Who may call what: each route of the API document times each caller.</summary>
[Collection(nameof(HttpShop))]
public sealed class AccessTests(HttpShop shop)
{
    [Fact]
    public async Task Route_InTheApiDocument_SaysWhoMayCallIt()
    {
        foreach (var operation in await ApiDocumentTests.OperationsAsync(shop))
        {
            var row = Assert.Single(Corpus.Routes, row => row.Route == operation.Route);
            Assert.NotEqual("nobody", operation.Callers);
            Assert.Equal(row.Caller is "payment" ? "public" : row.Caller, operation.Callers.Split('|')[0]);
        }
    }

    [Fact]
    public async Task Route_ThatIsNotPublic_RefusesEverybodyElse()
    {
        var before = await shop.StateAsync();
        var wrong = new List<string>();
        foreach (var operation in (await ApiDocumentTests.OperationsAsync(shop)).Where(operation => operation.Callers != "public"))
        {
            var row = Corpus.Routes.Single(row => row.Route == operation.Route);
            var body = row.Body is null ? null : Encoding.UTF8.GetBytes(row.Body.ToJsonString());
            foreach (var (name, authorization, apiKey) in Strangers())
            {
                var headers = apiKey is null ? null : new Dictionary<string, string> { ["X-Api-Key"] = apiKey };
                var answer = await shop.SendAsync(row.Method, shop.PathOf(row), authorization ?? "public", body, "application/json", headers);
                if (answer.WrongAsRefusal("unauthorized") is { } says)
                {
                    wrong.Add($"{row.Route} by {name}: {says}");
                }
            }

            foreach (var caller in new[] { "user", "server" }.Except(operation.Callers.Split('|')))
            {
                if ((await shop.SendAsync(row.Method, shop.PathOf(row), caller, body, "application/json")).WrongAsRefusal("forbidden") is { } says)
                {
                    wrong.Add($"{row.Route} by a {caller}: {says}");
                }
            }
        }

        HttpShop.AssertNothingWrong(wrong);
        Assert.Equal(before, await shop.StateAsync());
        await shop.AssertUnharmedAsync();
    }

    [Fact]
    public async Task Object_OfSomebodyElse_IsNotFound()
    {
        var before = await shop.StateAsync();
        var claimId = shop.Order;
        foreach (var row in Corpus.Routes.Where(row => row is { Caller: "user", Id: "claim" or "order" }))
        {
            var own = await shop.SendAsync(HttpMethod.Get, $"/v1/{row.Id}s/{claimId}", "user");
            Assert.Equal(200, own.Status);
            var foreign = await shop.SendAsync(row.Method, shop.PathOf(row), "stranger", row.Body?.ToJsonString());
            Assert.Null(foreign.WrongAsRefusal("not-found"));

            // Not to be told from an order that nobody has.
            var unknown = await shop.SendAsync(row.Method, shop.PathOf(row, "999999999999999"), "stranger", row.Body?.ToJsonString());
            Assert.Equal(unknown.Text, foreign.Text);
        }

        Assert.Empty((await shop.SendAsync(HttpMethod.Get, "/v1/orders", "stranger")).Json["items"]!.AsArray());
        Assert.Empty((await shop.SendAsync(HttpMethod.Get, $"/v1/orders?cursor={long.Parse(claimId) + 1}", "stranger")).Json["items"]!.AsArray());
        Assert.Equal(before, await shop.StateAsync());
    }

    [Theory]
    [InlineData("/metrics")]
    [InlineData("/openapi/v1.json")]
    [InlineData("/docs/")]
    public async Task Route_OutsideTheApiDocument_IsForEverybody(string path) => Assert.Equal(200, (await shop.SendAsync(HttpMethod.Get, path, "public")).Status);

    [Fact]
    public async Task Route_WithoutARule_IsRefusedToEverybody()
    {
        var tokens = new UserTokens("a secret for this test", TimeProvider.System);
        var access = new Access(tokens, "an admin key for this test");
        foreach (var (header, value) in new[] { ("Accept", "*/*"), ("X-Api-Key", "an admin key for this test"), ("Authorization", $"Bearer {tokens.Make("u-1", TimeProvider.System.GetUtcNow().AddHours(1))}") })
        {
            var context = new DefaultHttpContext();
            context.Request.Headers[header] = value;
            context.SetEndpoint(new RouteEndpoint(_ => Task.CompletedTask, RoutePatternFactory.Parse("/v1/forgotten"), 0, EndpointMetadataCollection.Empty, "forgotten"));

            await access.InvokeAsync(context, _ => throw new InvalidOperationException("It was let through."));

            Assert.Equal(403, context.Response.StatusCode);
        }
    }

    // Nobody, and everybody who pretends. Each name says why it must not work.
    private IEnumerable<(string Name, string? Authorization, string? ApiKey)> Strangers()
    {
        var secret = File.ReadAllText(Path.Combine(shop.Server.Data, "token.key")).Trim();
        var now = TimeProvider.System.GetUtcNow().ToUnixTimeSeconds();
        const string header = """{"alg":"HS256","typ":"JWT"}""";
        string Payload(long exp, long nbf, string iss = "sluice", string aud = "sluice") => $$"""{"iss":"{{iss}}","aud":"{{aud}}","sub":"buyer","iat":{{nbf}},"nbf":{{nbf}},"exp":{{exp}}}""";
        var good = Payload(now + 600, now - 5);
        var parts = Jwt(header, good, secret).Split('.');

        yield return ("nobody", null, null);
        yield return ("an expired token", Bearer(Jwt(header, Payload(now - 1, now - 600), secret)), null);
        yield return ("a token from the future", Bearer(Jwt(header, Payload(now + 7_200, now + 3_600), secret)), null);
        yield return ("a token of another issuer", Bearer(Jwt(header, Payload(now + 600, now, iss: "elsewhere"), secret)), null);
        yield return ("a token for another audience", Bearer(Jwt(header, Payload(now + 600, now, aud: "elsewhere"), secret)), null);
        yield return ("a token without an expiry", Bearer(Jwt(header, """{"iss":"sluice","aud":"sluice","sub":"buyer"}""", secret)), null);
        yield return ("a token without a subject", Bearer(Jwt(header, $$"""{"iss":"sluice","aud":"sluice","exp":{{now + 600}}}""", secret)), null);
        yield return ("a token whose subject is a number", Bearer(Jwt(header, $$"""{"iss":"sluice","aud":"sluice","sub":5,"exp":{{now + 600}}}""", secret)), null);
        yield return ("a token whose expiry is a text", Bearer(Jwt(header, """{"iss":"sluice","aud":"sluice","sub":"buyer","exp":"never"}""", secret)), null);
        yield return ("a token that expires beyond time", Bearer(Jwt(header, """{"iss":"sluice","aud":"sluice","sub":"buyer","exp":9223372036854775807}""", secret)), null);
        yield return ("a token whose payload is no object", Bearer(Jwt(header, "[", secret)), null);
        yield return ("a token of another key", Bearer(Jwt(header, good, "another secret")), null);
        yield return ("alg=none", Bearer($"{Encode("""{"alg":"none","typ":"JWT"}""")}.{Encode(good)}."), null);
        yield return ("alg=none with our signature", Bearer(Jwt("""{"alg":"none","typ":"JWT"}""", good, secret)), null);
        yield return ("alg=RS256", Bearer(Jwt("""{"alg":"RS256","typ":"JWT"}""", good, secret)), null);
        yield return ("a header with a key path", Bearer(Jwt("""{"alg":"HS256","typ":"JWT","kid":"../../dev/null"}""", good, secret)), null);
        yield return ("a payload changed afterwards", Bearer($"{parts[0]}.{Encode(good.Replace("buyer", "admin", StringComparison.Ordinal))}.{parts[2]}"), null);
        yield return ("no signature", Bearer($"{parts[0]}.{parts[1]}."), null);
        yield return ("a short signature", Bearer($"{parts[0]}.{parts[1]}.{parts[2][..8]}"), null);
        yield return ("a signature that is not Base64", Bearer($"{parts[0]}.{parts[1]}.!!!"), null);
        yield return ("a signature of other letters", Bearer($"{parts[0]}.{parts[1]}.%00%C3"), null);
        yield return ("four parts", Bearer($"{parts[0]}.{parts[1]}.{parts[2]}.{parts[2]}"), null);
        yield return ("a long token", Bearer(parts[0] + "." + new string('a', 9_000)), null);
        yield return ("an empty token", "Bearer ", null);
        yield return ("Basic", "Basic YWRtaW46YWRtaW4=", null);
        yield return ("the API key as a token", Bearer(shop.Server.AdminKey), null);
        yield return ("an empty API key", null, " ");
        yield return ("a wrong API key", null, shop.Server.AdminKey[..^1] + "!");
        yield return ("half of the API key", null, shop.Server.AdminKey[..20]);
        yield return ("a long API key", null, new string('k', 9_000));
        yield return ("a token as API key", null, shop.Buyer);
    }

    private static string Bearer(string token) => $"Bearer {token}";

    private static string Jwt(string header, string payload, string secret)
    {
        var signed = $"{Encode(header)}.{Encode(payload)}";
        return $"{signed}.{Base64Url.EncodeToString(HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), Encoding.ASCII.GetBytes(signed)))}";
    }

    private static string Encode(string text) => Base64Url.EncodeToString(Encoding.UTF8.GetBytes(text));
}

using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>A server that takes tokens of an issuer beside its own.</summary>
public sealed class OidcTests
{
    [Fact]
    public async Task User_OfTheIssuer_BuysAndSeesTheOwnOrders_BesideSluicesOwnUsers()
    {
        await using var issuer = await OidcIssuer.StartAsync();
        await using var server = await SluiceServer.StartAsync([$"Oidc:Issuer={issuer.Address}", $"Oidc:Audience={OidcIssuer.Audience}"]);
        var sale = await server.OpenSaleAsync(stock: 5);
        foreach (var (token, user) in new[] { (issuer.Token("ann"), "ann"), (issuer.Token("auth0|bob"), null), (await server.TokenAsync("cat"), "cat") })
        {
            var claim = await server.ClaimAsync(sale, token, prefer: "wait=20");
            Assert.Equal(201, claim.Status);
            var orders = await server.UserAsync(HttpMethod.Get, "/v1/orders", token);
            Assert.Equal(claim.ClaimId, (string?)Assert.Single(orders.Json["items"]!.AsArray())!["id"]);
            var buyer = (string)(await server.LookupAsync([claim.ClaimId]))[claim.ClaimId]["userId"]!;
            Assert.Equal(user ?? buyer, buyer);
            Assert.Equal((404, "no-account"), await server.UserAsync(HttpMethod.Get, "/v1/me/profile", token) is var none ? (none.Status, none.Code) : default);
        }

        // The shop and the issuer mean the same by an id that both can say.
        Assert.Single((await server.UserAsync(HttpMethod.Get, "/v1/orders", await server.TokenAsync("ann"))).Json["items"]!.AsArray());
        Assert.Equal(401, (await server.UserAsync(HttpMethod.Get, "/v1/orders", issuer.Token("ann", change: claims => claims["aud"] = "another"))).Status);
        Assert.Equal(403, (await server.UserAsync(HttpMethod.Get, "/v1/pools", issuer.Token("ann"))).Status);
    }

    [Fact]
    public async Task Issuer_ThatWasNeverThere_Is503AndSluicesOwnUsersGoOn()
    {
        await using var issuer = await OidcIssuer.StartAsync();
        var token = issuer.Token("ann");
        await issuer.EndAsync();
        await using var server = await SluiceServer.StartAsync([$"Oidc:Issuer={issuer.Address}", $"Oidc:Audience={OidcIssuer.Audience}"]);

        var refused = await server.UserAsync(HttpMethod.Get, "/v1/orders", token);
        Assert.Equal((503, "unavailable"), (refused.Status, refused.Code));
        Assert.NotNull(refused.RetryAfter);
        Assert.Equal(200, (await server.UserAsync(HttpMethod.Get, "/v1/orders", await server.TokenAsync("ann"))).Status);
        Assert.Equal(401, (await server.UserAsync(HttpMethod.Get, "/v1/orders", "garbage")).Status);

        await issuer.BeginAsync();
        await Eventually.TrueAsync(async () => (await server.UserAsync(HttpMethod.Get, "/v1/orders", token)).Status == 200, "the issuer is asked again");
    }
}

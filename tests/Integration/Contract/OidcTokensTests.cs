using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.IdentityModel.Tokens;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Tokens of a real issuer over HTTP, and of everybody who pretends to be one.</summary>
public sealed class OidcTokensTests : IAsyncLifetime
{
    private OidcIssuer issuer = null!;
    private OidcTokens tokens = null!;

    public async ValueTask InitializeAsync()
    {
        issuer = await OidcIssuer.StartAsync();
        tokens = Open(unknownKeyEvery: TimeSpan.FromSeconds(1));
    }

    public async ValueTask DisposeAsync()
    {
        tokens.Dispose();
        await issuer.DisposeAsync();
    }

    [Fact]
    public async Task Token_OfTheIssuer_IsItsUser_WhateverKindOfKeyItHas()
    {
        for (var visit = 0; visit < 3; visit++)
        {
            Assert.Equal("ann", await tokens.UserOfAsync(issuer.Token("ann")));
        }

        Assert.Equal(1, issuer.Asked);
        issuer.Add(new ECDsaSecurityKey(ECDsa.Create(ECCurve.NamedCurves.nistP256)));
        await Eventually.TrueAsync(async () => await tokens.UserOfAsync(issuer.Token("bob")) == "bob", "the new key is asked for");
        Assert.Equal("cat", await tokens.UserOfAsync(issuer.Token("cat", change: claims => claims["aud"] = new[] { "another", OidcIssuer.Audience })));
    }

    [Theory]
    [InlineData("auth0|5f7c8ec7c33c6c004bbafe82")]
    [InlineData("oidc-something")]
    [InlineData("名前")]
    [InlineData(" ")]
    public async Task Subject_ThatIsNoUserId_IsAlwaysTheSameUserAndNobodyElse(string subject)
    {
        var user = await tokens.UserOfAsync(issuer.Token(subject));
        Assert.True(Names.IsUserId(user));
        Assert.StartsWith("oidc-", user, StringComparison.Ordinal);
        Assert.Equal(user, await tokens.UserOfAsync(issuer.Token(subject, change: claims => claims["more"] = "another token")));
        Assert.NotEqual(user, await tokens.UserOfAsync(issuer.Token(subject + "x")));
        Assert.NotEqual(user, await tokens.UserOfAsync(issuer.Token(user!)));
    }

    [Fact]
    public async Task Token_OfAnybodyElse_IsNobody()
    {
        Assert.Equal("ann", await tokens.UserOfAsync(issuer.Token("ann")));
        foreach (var (name, token) in Forged())
        {
            for (var visit = 0; visit < 3; visit++)
            {
                Assert.True(await tokens.UserOfAsync(token) is null, name);
            }
        }
    }

    [Fact]
    public async Task Key_ThatIsNew_IsAskedForAndTheOldOneGoesOn()
    {
        var old = issuer.Token("ann");
        Assert.Equal("ann", await tokens.UserOfAsync(old));
        issuer.Add(new RsaSecurityKey(RSA.Create(2048)));
        var fresh = issuer.Token("bob");

        await Eventually.TrueAsync(async () => await tokens.UserOfAsync(fresh) == "bob", "the new key is asked for");
        Assert.Equal("ann", await tokens.UserOfAsync(old));
        Assert.Equal("eve", await tokens.UserOfAsync(issuer.Token("eve", key: issuer.Key)));
    }

    [Fact]
    public async Task Keys_ThatNobodyHas_AreAskedForOnceInAWhile()
    {
        using var patient = Open(unknownKeyEvery: TimeSpan.FromHours(1));
        using var rsa = RSA.Create(2048);
        Assert.Equal("ann", await patient.UserOfAsync(issuer.Token("ann")));

        // For longer than the library's own pause between two questions.
        var started = TimeProvider.System.GetTimestamp();
        while (TimeProvider.System.GetElapsedTime(started) < TimeSpan.FromSeconds(3.5))
        {
            await Task.WhenAll(Enumerable.Range(0, 20).Select(async i => Assert.Null(await patient.UserOfAsync(issuer.Token("eve", new RsaSecurityKey(rsa) { KeyId = $"made-up-{i}" })))));
        }

        Assert.Equal(2, issuer.Asked); // At first, and once for all of these.
    }

    [Fact]
    public async Task Issuer_ThatIsAway_KnownKeysGoOnAndWithoutAnyItIsSaid()
    {
        var token = issuer.Token("ann");
        Assert.Equal("ann", await tokens.UserOfAsync(token));
        await issuer.EndAsync();

        using var fresh = Open(unknownKeyEvery: TimeSpan.FromSeconds(1));
        var refused = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => Assert.ThrowsAsync<DependencyUnavailableException>(async () => await fresh.UserOfAsync(token))));
        Assert.All(refused, each => Assert.Equal("issuer", each.Dependency));
        Assert.Equal("bob", await tokens.UserOfAsync(issuer.Token("bob")));

        await issuer.BeginAsync();
        await Eventually.TrueAsync(
            async () =>
            {
                try
                {
                    return await fresh.UserOfAsync(token) == "ann";
                }
                catch (DependencyUnavailableException)
                {
                    return false;
                }
            },
            "the issuer is asked again");
    }

    private IEnumerable<(string Name, string Token)> Forged()
    {
        var now = TimeProvider.System.GetUtcNow().ToUnixTimeSeconds();
        var rsa = (RsaSecurityKey)issuer.Key;
        var good = issuer.Token("ann").Split('.');
        string With(string header) => $"{Base64UrlEncoder.Encode(header)}.{good[1]}";
        string Hmac(byte[] secret)
        {
            var signed = With($$"""{"alg":"HS256","typ":"JWT","kid":"{{rsa.KeyId}}"}""");
            return $"{signed}.{Base64UrlEncoder.Encode(HMACSHA256.HashData(secret, Encoding.ASCII.GetBytes(signed)))}";
        }

        yield return ("for another audience", issuer.Token("ann", change: claims => claims["aud"] = "another"));
        yield return ("for nobody in particular", issuer.Token("ann", change: claims => claims.Remove("aud")));
        yield return ("of another issuer", issuer.Token("ann", change: claims => claims["iss"] = "http://127.0.0.1:1"));
        yield return ("of Sluice itself", issuer.Token("ann", change: claims => (claims["iss"], claims["aud"]) = ("sluice", "sluice")));
        yield return ("expired", issuer.Token("ann", change: claims => claims["exp"] = now - 3_600));
        yield return ("from the future", issuer.Token("ann", change: claims => claims["nbf"] = now + 3_600));
        yield return ("without an end", issuer.Token("ann", change: claims => claims.Remove("exp")));
        yield return ("without a subject", issuer.Token("ann", change: claims => claims.Remove("sub")));
        yield return ("an empty subject", issuer.Token(""));
        yield return ("a subject that is too long", issuer.Token(new string('s', 256)));
        yield return ("of another key with the same name", issuer.Token("ann", new RsaSecurityKey(RSA.Create(2048)) { KeyId = rsa.KeyId }));
        yield return ("of a key without a name", issuer.Token("ann", new RsaSecurityKey(rsa.Rsa)));
        yield return ("of another algorithm", issuer.Token("ann", algorithm: SecurityAlgorithms.RsaSha512));
        yield return ("alg none", $"{With("""{"alg":"none","typ":"JWT"}""")}.");
        yield return ("alg none with a key", $"{With($$"""{"alg":"none","typ":"JWT","kid":"{{rsa.KeyId}}"}""")}.{good[2]}");
        yield return ("HS256 with the public key as the secret", Hmac(rsa.Rsa.ExportSubjectPublicKeyInfo()));
        yield return ("HS256 with the public key as text", Hmac(Encoding.ASCII.GetBytes(rsa.Rsa.ExportSubjectPublicKeyInfoPem())));
        yield return ("HS256 with the modulus", Hmac(rsa.Rsa.ExportParameters(includePrivateParameters: false).Modulus!));
        yield return ("a changed payload", $"{good[0]}.{Base64UrlEncoder.Encode(Base64UrlEncoder.Decode(good[1]).Replace("ann", "bob", StringComparison.Ordinal))}.{good[2]}");
        yield return ("a changed signature", $"{good[0]}.{good[1]}.{(good[2][0] == 'A' ? 'B' : 'A')}{good[2][1..]}");
        yield return ("no signature", $"{good[0]}.{good[1]}.");
        yield return ("two parts", $"{good[0]}.{good[1]}");
        yield return ("encrypted, five parts", $"{good[0]}.{good[1]}.{good[2]}.{good[2]}.{good[2]}");
        yield return ("no JSON", $"{Base64UrlEncoder.Encode("[")}.{good[1]}.{good[2]}");
        yield return ("a payload that is no JSON", $"{good[0]}.{Base64UrlEncoder.Encode("[")}.{good[2]}");
        yield return ("a header of wrong types", $"{Base64UrlEncoder.Encode("""{"alg":5,"kid":[]}""")}.{good[1]}.{good[2]}");
        yield return ("not Base64", "!!!.???.###");
        yield return ("nothing", "");
        yield return ("dots", "..");
        yield return ("a long one", issuer.Token("ann", change: claims => claims["more"] = new string('x', 5_000)));
    }

    private OidcTokens Open(TimeSpan unknownKeyEvery) => new(
        new OidcOptions { Issuer = issuer.Address, Audience = OidcIssuer.Audience, UnknownKeyEvery = unknownKeyEvery }, TimeProvider.System, NullLogger<OidcTokens>.Instance);
}

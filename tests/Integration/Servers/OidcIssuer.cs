using System.Security.Cryptography;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace Sluice.Tests.Integration.Servers;

/// <summary>An OpenID Connect issuer on a free port: a discovery document, keys that change when a test says so, and tokens of them.</summary>
public sealed class OidcIssuer : IAsyncDisposable
{
    public const string Audience = "the-shop";

    private readonly int port = FreePort.Next();
    private readonly List<AsymmetricSecurityKey> keys = [];
    private WebApplication? app;
    private int asked;

    private OidcIssuer() => Add(new RsaSecurityKey(RSA.Create(2048)));

    public string Address => $"http://127.0.0.1:{port}";

    /// <summary>How often its keys were asked for.</summary>
    public int Asked => asked;

    /// <summary>Signs from now on; the ones before are still published.</summary>
    public SecurityKey Key => keys[^1];

    public static async Task<OidcIssuer> StartAsync()
    {
        var issuer = new OidcIssuer();
        await issuer.BeginAsync();
        return issuer;
    }

    /// <summary>Starts it (again).</summary>
    public async Task BeginAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls(Address);
        app = builder.Build();
        app.MapGet("/.well-known/openid-configuration", () => Results.Json(new Dictionary<string, string> { ["issuer"] = Address, ["jwks_uri"] = $"{Address}/keys" }));
        app.MapGet("/keys", () =>
        {
            Interlocked.Increment(ref asked);
            return Results.Json(new Dictionary<string, object> { ["keys"] = keys.Select(Published).ToList() });
        });
        await app.StartAsync();
    }

    public async Task EndAsync()
    {
        if (app is not null)
        {
            await app.DisposeAsync();
        }

        app = null;
    }

    public void Add(AsymmetricSecurityKey key)
    {
        key.KeyId = $"{Guid.NewGuid():N}";
        keys.Add(key);
    }

    /// <summary>A token of its newest key, or of another one.</summary>
    /// <param name="change">Of the claims.</param>
    public string Token(string subject, SecurityKey? key = null, string? algorithm = null, Action<Dictionary<string, object>>? change = null)
    {
        key ??= Key;
        var now = TimeProvider.System.GetUtcNow().ToUnixTimeSeconds();
        var claims = new Dictionary<string, object> { ["iss"] = Address, ["aud"] = Audience, ["sub"] = subject, ["iat"] = now - 10, ["nbf"] = now - 10, ["exp"] = now + 600 };
        change?.Invoke(claims);
        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(
            System.Text.Json.JsonSerializer.Serialize(claims), new SigningCredentials(key, algorithm ?? (key is ECDsaSecurityKey ? SecurityAlgorithms.EcdsaSha256 : SecurityAlgorithms.RsaSha256)));
    }

    public async ValueTask DisposeAsync() => await EndAsync();

    private static Dictionary<string, string> Published(AsymmetricSecurityKey key)
    {
        var jwk = key is ECDsaSecurityKey ec ? JsonWebKeyConverter.ConvertFromECDsaSecurityKey(ec) : JsonWebKeyConverter.ConvertFromRSASecurityKey((RsaSecurityKey)key);
        var published = new Dictionary<string, string> { ["kid"] = key.KeyId, ["use"] = "sig", ["kty"] = jwk.Kty };
        foreach (var (name, value) in jwk.Kty == "EC" ? new[] { ("crv", jwk.Crv), ("x", jwk.X), ("y", jwk.Y) } : [("n", jwk.N), ("e", jwk.E)])
        {
            published[name] = value;
        }

        return published;
    }
}

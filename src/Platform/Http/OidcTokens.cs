using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Protocols;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;
using Microsoft.IdentityModel.Tokens;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Http;

/// <summary>
/// Tokens of an OpenID Connect issuer (<see cref="OidcOptions"/>), checked by Microsoft's library: RS256 or ES256 with a key that the issuer publishes, <c>iss</c>, <c>aud</c>, <c>exp</c>, <c>nbf</c>.
/// Sluice's own tokens never come here.
/// </summary>
public sealed partial class OidcTokens : IDisposable
{
    private const int TokenCharsMax = 4_096;

    /// <summary>Verdicts kept, up to 10 KB each.</summary>
    private const int VerdictsMax = 10_000;

    // A key that the issuer has withdrawn is forgotten after this much, too.
    private static readonly TimeSpan VerdictAge = TimeSpan.FromMinutes(5), Skew = TimeSpan.FromSeconds(30), Rest = TimeSpan.FromSeconds(1);

    private readonly OidcOptions options;
    private readonly TimeProvider time;
    private readonly ILogger<OidcTokens> log;
    private readonly JsonWebTokenHandler handler = new() { MapInboundClaims = false, MaximumTokenSizeInBytes = TokenCharsMax };
    private readonly HttpClient http;
    private readonly ConfigurationManager<OpenIdConnectConfiguration> keys;
    private readonly RecentTokens<Verdict> recent = new(VerdictsMax);
    private readonly Lock asking = new();
    private Task<OpenIdConnectConfiguration>? asked;
    private long askAgainAt;

    public OidcTokens(OidcOptions options, TimeProvider time, ILogger<OidcTokens> log)
    {
        (this.options, this.time, this.log) = (options, time, log);
        http = new HttpClient(new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.FromMinutes(1) }) { Timeout = options.CallTimeMax, MaxResponseContentBufferSize = 1 << 20 };
        keys = new ConfigurationManager<OpenIdConnectConfiguration>(
            options.Issuer.TrimEnd('/') + "/.well-known/openid-configuration", new OpenIdConnectConfigurationRetriever(),
            new HttpDocumentRetriever(http) { RequireHttps = new Uri(options.Issuer).Scheme == Uri.UriSchemeHttps })
        {
            AutomaticRefreshInterval = options.KeysAge, RefreshInterval = TimeSpan.FromSeconds(1),
        };
    }

    /// <summary>The user of a token, or null when it is none of the issuer's, expired or not valid yet. Asks the issuer for its keys when they are not known; a token seen twice before costs one look-up.</summary>
    /// <exception cref="DependencyUnavailableException">The issuer's keys are not known and cannot be had now.</exception>
    public async ValueTask<string?> UserOfAsync(string token)
    {
        if (recent.TryFind(token, out var verdict) && verdict.Until > time.GetUtcNow())
        {
            return verdict.UserId;
        }

        // Narrow where the library is wide: three parts, and a header that names a key. What does not is no reason to ask anybody for anything.
        if (token.Length > TokenCharsMax || token.AsSpan().Count('.') != 2 || !TryRead(token, out var read) || read.Alg is not (SecurityAlgorithms.RsaSha256 or SecurityAlgorithms.EcdsaSha256) || read.Kid.Length == 0 ||
            read.Issuer != options.Issuer)
        {
            return null;
        }

        var configuration = await KeysAsync(of: null);
        if (KeyOf(configuration, read.Kid) is not { } key)
        {
            configuration = await KeysAsync(of: configuration);
            key = KeyOf(configuration, read.Kid);
        }

        if (key is null)
        {
            return null;
        }

        var result = await handler.ValidateTokenAsync(read, new TokenValidationParameters
        {
            ValidIssuer = options.Issuer, ValidAudience = options.Audience, IssuerSigningKey = key, TryAllIssuerSigningKeys = false, ValidAlgorithms = [SecurityAlgorithms.RsaSha256, SecurityAlgorithms.EcdsaSha256], ClockSkew = Skew,
        });
        if (!result.IsValid || read.Subject is not { Length: > 0 and <= 255 } subject)
        {
            return null;
        }

        var user = UserOf(options.Issuer, subject);
        var now = time.GetUtcNow();
        var ends = new DateTimeOffset(read.ValidTo, TimeSpan.Zero);
        if (verdict is not null)
        {
            recent.Forget(token, verdict);
        }

        recent.Keep(token, new Verdict(user, ends < now + VerdictAge ? ends : now + VerdictAge));
        return user;
    }

    /// <summary>The user id of an issuer's subject: itself where it is one, else always the same that is nobody else's.</summary>
    internal static string UserOf(string issuer, string subject) => Names.IsUserId(subject) && !subject.StartsWith("oidc-", StringComparison.Ordinal)
        ? subject
        : $"oidc-{Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes($"{issuer}\n{subject}")))}";

    public void Dispose() => http.Dispose();

    private static bool TryRead(string token, out JsonWebToken read)
    {
        read = null!;
        try
        {
            read = new JsonWebToken(token);
            _ = (read.Alg, read.Kid, read.Issuer, read.Subject, read.ValidTo);
            return true;
        }
        catch (Exception e) when (e is ArgumentException or SecurityTokenException or System.Text.Json.JsonException or FormatException)
        {
            return false;
        }
    }

    // One that is named, of a kind that signs as we allow: a secret among the published keys is none.
    private static SecurityKey? KeyOf(OpenIdConnectConfiguration configuration, string id) =>
        configuration.SigningKeys.FirstOrDefault(key => key.KeyId == id && key is AsymmetricSecurityKey);

    /// <summary>The issuer's keys. Whoever comes while they are asked for waits for the same answer.</summary>
    /// <param name="of">Not these, if there are newer ones: a token names a key that is not among them.</param>
    private async Task<OpenIdConnectConfiguration> KeysAsync(OpenIdConnectConfiguration? of)
    {
        Task<OpenIdConnectConfiguration> answer;
        lock (asking)
        {
            var now = time.GetTimestamp();
            if (asked is null || (asked.IsCompleted && (of is not null || asked.IsFaulted) && now >= askAgainAt))
            {
                askAgainAt = now + (long)((of is null ? Rest : options.UnknownKeyEvery).TotalSeconds * time.TimestampFrequency);
                asked = Task.Run(() => AskAsync(of is not null));
            }

            answer = asked;
        }

        try
        {
            var configuration = await answer;

            // The library asks again in the background when they get old.
            return of is null ? await keys.GetConfigurationAsync(CancellationToken.None) : configuration;
        }
        catch (InvalidOperationException e)
        {
            throw new DependencyUnavailableException("issuer", $"the keys of {options.Issuer} cannot be had: {(e.InnerException ?? e).Message}", e);
        }
    }

    private async Task<OpenIdConnectConfiguration> AskAsync(bool again)
    {
        if (again)
        {
            keys.RequestRefresh();
        }

        var configuration = await keys.GetConfigurationAsync(CancellationToken.None);
        if (configuration.Issuer != options.Issuer)
        {
            throw new InvalidOperationException($"it says that it is {configuration.Issuer}.");
        }

        LogKeys(log, options.Issuer, configuration.SigningKeys.Count);
        return configuration;
    }

    private sealed record Verdict(string UserId, DateTimeOffset Until);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Issuer} has {Count} keys that sign tokens")]
    private static partial void LogKeys(ILogger log, string issuer, int count);
}

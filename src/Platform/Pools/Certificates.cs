using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Pools;

/// <summary>An audit with a signature: the readable form, and the same as a compact JWS (ES256) that any JOSE library can check.</summary>
public sealed record SignedCertificate(AuditResult Certificate, string Jws);

/// <summary>
/// Signs audits. The key pair (P-256) is made at the first start, kept in the data folder (mode 600), and its public half is published at <c>/.well-known/sluice-keys</c>.
/// </summary>
public sealed class Certificates(PoolAudit audit, ECDsa key, TimeProvider time) : IDisposable
{
    /// <summary>How long one audit answers everybody: the endpoint is public, an audit reads every claim.</summary>
    private static readonly TimeSpan Age = TimeSpan.FromMilliseconds(500);

    // Only pools that exist get in, so strangers' ids do not fill it.
    private readonly ConcurrentDictionary<long, (SignedCertificate Certificate, long At)> newest = new();

    // One audit at a time.
    private readonly SemaphoreSlim auditing = new(1, 1);

    /// <summary>The key's name: the first bytes of the SHA-256 of its public half (RFC 7638 spirit, shorter).</summary>
    public string KeyId { get; } = Convert.ToHexStringLower(SHA256.HashData(key.ExportSubjectPublicKeyInfo()))[..16];

    /// <summary>The public keys as a JWK set.</summary>
    public JsonObject PublicKeys() => new() { ["keys"] = new JsonArray(PublicKey()) };

    /// <summary>The certificate of a pool, at most half a second old, or null when there is no such pool.</summary>
    public async Task<SignedCertificate?> GetAsync(long poolId)
    {
        if (Known() is { } known)
        {
            return known;
        }

        await auditing.WaitAsync();
        try
        {
            if (Known() is { } madeMeanwhile)
            {
                return madeMeanwhile;
            }

            var certificate = await IssueAsync(poolId);
            if (certificate is not null)
            {
                newest[poolId] = (certificate, time.GetTimestamp());
            }

            return certificate;
        }
        finally
        {
            auditing.Release();
        }

        SignedCertificate? Known() => newest.TryGetValue(poolId, out var last) && time.GetElapsedTime(last.At) < Age ? last.Certificate : null;
    }

    /// <summary>Checks a certificate: the signature, and that the readable form says what was signed.</summary>
    /// <param name="certificateJson">What <c>/v1/pools/{id}/certificate</c> answered.</param>
    /// <param name="keysJson">What <c>/.well-known/sluice-keys</c> answered, or null to take the key that the certificate names: that proves it whole, not whose it is.</param>
    /// <returns>Null when it is good, else what is wrong.</returns>
    public static async Task<string?> VerifyAsync(string certificateJson, string? keysJson)
    {
        JsonNode? file;
        JsonWebKeySet keys;
        try
        {
            // A field twice is read one way here and another way elsewhere: no certificate.
            file = JsonNode.Parse(certificateJson, documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false });
            keysJson ??= new JsonObject { ["keys"] = new JsonArray(JsonNode.Parse(Base64UrlEncoder.Decode(((string?)file?["jws"] ?? "").Split('.')[0]))?["jwk"]?.DeepClone()) }.ToJsonString();
            keys = new JsonWebKeySet(keysJson);
        }
        catch (Exception e) when (e is JsonException or ArgumentException or InvalidOperationException or FormatException)
        {
            return $"not a certificate: {e.Message}";
        }

        if (file is not JsonObject || file["jws"] is not JsonValue jwsValue || !jwsValue.TryGetValue(out string? jws) || file["certificate"] is not { } readable)
        {
            return "not a certificate: it needs the fields 'certificate' and 'jws'.";
        }

        var result = await new JsonWebTokenHandler().ValidateTokenAsync(jws, new TokenValidationParameters
        {
            ValidAlgorithms = [SecurityAlgorithms.EcdsaSha256],
            IssuerSigningKeys = keys.GetSigningKeys(),
            ValidateIssuer = false,
            ValidateAudience = false,
            ValidateLifetime = false,
            RequireExpirationTime = false,
        });
        if (!result.IsValid)
        {
            return $"the signature does not fit these keys ({result.Exception?.GetType().Name}).";
        }

        var signed = JsonNode.Parse(Base64UrlEncoder.Decode(((JsonWebToken)result.SecurityToken).EncodedPayload));
        return JsonNode.DeepEquals(signed, readable) ? null : "the readable part was changed after signing.";
    }

    /// <summary>The key pair in <paramref name="folder"/>, made now if there is none.</summary>
    public static ECDsa LoadOrCreateKey(string folder)
    {
        var pem = KeyFiles.LoadOrCreate(Path.Combine(folder, "certificate.key"), static () =>
        {
            using var fresh = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            return fresh.ExportPkcs8PrivateKeyPem();
        });
        var key = ECDsa.Create();
        key.ImportFromPem(pem);
        return key;
    }

    public void Dispose() => auditing.Dispose();

    private JsonObject PublicKey()
    {
        var point = key.ExportParameters(includePrivateParameters: false).Q;
        return new JsonObject
        {
            ["kty"] = "EC",
            ["crv"] = "P-256",
            ["use"] = "sig",
            ["alg"] = "ES256",
            ["kid"] = KeyId,
            ["x"] = Base64UrlEncoder.Encode(point.X),
            ["y"] = Base64UrlEncoder.Encode(point.Y),
        };
    }

    private async Task<SignedCertificate?> IssueAsync(long poolId)
    {
        if (await audit.RunAsync(poolId) is not { } result)
        {
            return null;
        }

        var payload = JsonSerializer.SerializeToUtf8Bytes(result, CertificateJson.Default.AuditResult);
        var head = Base64UrlEncoder.Encode(new JsonObject { ["alg"] = "ES256", ["kid"] = KeyId, ["typ"] = "sluice-certificate", ["jwk"] = PublicKey() }.ToJsonString());
        var signingInput = $"{head}.{Base64UrlEncoder.Encode(payload)}";
        var signature = key.SignData(Encoding.ASCII.GetBytes(signingInput), HashAlgorithmName.SHA256);

        return new SignedCertificate(result, $"{signingInput}.{Base64UrlEncoder.Encode(signature)}");
    }
}

/// <summary>The wire form of certificates.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, UseStringEnumConverter = true, NumberHandling = JsonNumberHandling.Strict, Converters = [typeof(VerdictConverter)])]
[JsonSerializable(typeof(AuditResult))]
[JsonSerializable(typeof(SignedCertificate))]
public sealed partial class CertificateJson : JsonSerializerContext;

/// <summary>Verdicts on the wire: <c>holds</c>, <c>settling</c>, <c>broken</c>.</summary>
public sealed class VerdictConverter() : JsonStringEnumConverter<Verdict>(JsonNamingPolicy.KebabCaseLower);

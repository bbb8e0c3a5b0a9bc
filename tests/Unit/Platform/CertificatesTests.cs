using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.IdentityModel.Tokens;
using Sluice.Platform.Pools;
using Xunit;

namespace Sluice.Tests.Unit.Platform;

public sealed class CertificatesTests : IDisposable
{
    private readonly ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly JsonObject file;

    public CertificatesTests()
    {
        var audit = new AuditResult(
            1, 42, "A kettle", new DateTime(2026, 7, 1, 12, 0, 0, DateTimeKind.Utc), Verdict.Holds, 10, 0, 7, 0, 0, 3, 0, 0, 7, 7,
            [AuditCheck.Equal("never-above-capacity", 10, 7, "No more is sold than there is.")]);
        file = Sign(JsonSerializer.SerializeToUtf8Bytes(audit, CertificateJson.Default.AuditResult), key);
    }

    [Fact]
    public async Task Verify_AsIssued_IsGood()
    {
        Assert.Null(await Certificates.VerifyAsync(file.ToJsonString(), Keys(key)));
        Assert.Null(await Certificates.VerifyAsync(file.ToJsonString(), keysJson: null));
    }

    [Fact]
    public async Task Verify_PrettyPrinted_IsGood() =>
        Assert.Null(await Certificates.VerifyAsync(file.ToJsonString(new JsonSerializerOptions { WriteIndented = true }), Keys(key)));

    [Fact]
    public async Task Verify_WhenTheReadablePartWasChanged_SaysSo()
    {
        file["certificate"]!["soldUnits"] = 8;
        Assert.Equal("the readable part was changed after signing.", await Certificates.VerifyAsync(file.ToJsonString(), Keys(key)));
    }

    [Fact]
    public async Task Verify_WhenTheReadablePartSaysMore_SaysSo()
    {
        file["certificate"]!["approvedBy"] = "the mayor";
        Assert.Equal("the readable part was changed after signing.", await Certificates.VerifyAsync(file.ToJsonString(), Keys(key)));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Verify_WhenAPartOfTheSignatureWasChanged_SaysSo(int part)
    {
        var parts = ((string)file["jws"]!).Split('.');
        var at = parts[part].Length / 2;
        parts[part] = parts[part].Remove(at, 1).Insert(at, parts[part][at] == 'A' ? "B" : "A");
        file["jws"] = string.Join('.', parts);
        Assert.NotNull(await Certificates.VerifyAsync(file.ToJsonString(), Keys(key)));
        Assert.NotNull(await Certificates.VerifyAsync(file.ToJsonString(), keysJson: null));
    }

    // The certificate names a key of its own making: whole, but not this shop's.
    [Fact]
    public async Task Verify_AgainstTheKeysOfAnotherShop_DoesNotFit()
    {
        using var other = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        Assert.StartsWith("the signature does not fit", await Certificates.VerifyAsync(file.ToJsonString(), Keys(other)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Verify_WithAlgorithmNone_DoesNotFit()
    {
        var payload = ((string)file["jws"]!).Split('.')[1];
        file["jws"] = $"{Base64UrlEncoder.Encode("""{"alg":"none"}""")}.{payload}.";
        Assert.NotNull(await Certificates.VerifyAsync(file.ToJsonString(), Keys(key)));
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("7")]
    [InlineData("[1]")]
    [InlineData("{}")]
    [InlineData("""{"certificate":{}}""")]
    [InlineData("""{"certificate":{},"jws":7}""")]
    [InlineData("""{"certificate":{},"jws":"a.b.c"}""")]
    [InlineData("""{"certificate":{},"jws":""}""")]
    [InlineData("""{"certificate":{},"jws":"e30.e30.e30"}""")]
    public async Task Verify_Garbage_SaysThatItIsNone(string text)
    {
        Assert.NotNull(await Certificates.VerifyAsync(text, Keys(key)));
        Assert.NotNull(await Certificates.VerifyAsync(text, keysJson: null));
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("""{"keys":7}""")]
    public async Task Verify_WithGarbageForKeys_SaysSo(string keys) => Assert.NotNull(await Certificates.VerifyAsync(file.ToJsonString(), keys));

    // Two fields of one name: readers differ on which one counts, so it is not what was signed.
    [Fact]
    public async Task Verify_WithAFieldTwice_SaysSo() =>
        Assert.NotNull(await Certificates.VerifyAsync(file.ToJsonString().Replace("\"soldUnits\":7", "\"soldUnits\":8,\"soldUnits\":7", StringComparison.Ordinal), Keys(key)));

    public void Dispose() => key.Dispose();

    private static JsonObject Sign(byte[] payload, ECDsa key)
    {
        var header = new JsonObject { ["alg"] = "ES256", ["typ"] = "sluice-certificate", ["jwk"] = Jwk(key) }.ToJsonString();
        var signed = $"{Base64UrlEncoder.Encode(header)}.{Base64UrlEncoder.Encode(payload)}";
        return new JsonObject
        {
            ["certificate"] = JsonNode.Parse(payload),
            ["jws"] = $"{signed}.{Base64UrlEncoder.Encode(key.SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256))}",
        };
    }

    private static string Keys(ECDsa key) => new JsonObject { ["keys"] = new JsonArray(Jwk(key)) }.ToJsonString();

    private static JsonObject Jwk(ECDsa key)
    {
        var point = key.ExportParameters(includePrivateParameters: false).Q;
        return new JsonObject
        {
            ["kty"] = "EC", ["crv"] = "P-256", ["use"] = "sig", ["alg"] = "ES256", ["x"] = Base64UrlEncoder.Encode(point.X), ["y"] = Base64UrlEncoder.Encode(point.Y),
        };
    }
}

using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Servers;

/// <summary>A real redis-server that speaks TLS only, with a certificate of an authority of its own, and lets in one user with no more rights than docs/services.md says.</summary>
public sealed class TlsRedisServer : IAsyncDisposable
{
    public const string User = "sluice", Password = "not-to-be-shown";

    private readonly TempFolder folder = new();
    private readonly int port = FreePort.Next();
    private ChildProcess? process;

    /// <summary>Without the user.</summary>
    public string Address => $"127.0.0.1:{port}";

    public string Connection => $"{Address},ssl=true,user={User},password={Password}";

    /// <summary>Of the authority that signed the server's certificate.</summary>
    public string CaFile => folder.File("ca.pem");

    /// <summary>Of another authority with the same name.</summary>
    public string OtherCaFile => folder.File("other.pem");

    public string NoCertificate => folder.File("server.key");

    public static async Task<TlsRedisServer> StartAsync()
    {
        var server = new TlsRedisServer();
        try
        {
            await server.BeginAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (process is not null)
        {
            await process.DisposeAsync();
        }

        folder.Dispose();
    }

    private async Task BeginAsync()
    {
        WriteCertificates();
        process = ChildProcess.Start("redis-server", [
            "--port", "0", "--tls-port", $"{port}", "--bind", "127.0.0.1", "--tls-cert-file", folder.File("server.pem"), "--tls-key-file", folder.File("server.key"), "--tls-ca-cert-file", CaFile, "--tls-auth-clients", "no",
            "--user", User, "on", $">{Password}", "~*", "&*", "+@all", "-@admin", "-@dangerous", "+info", "+role", "+config|get", "--user", "default", "off",
            "--dir", folder.Path, "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]);
        var probe = ConfigurationOptions.Parse($"{Connection},abortConnect=false,connectTimeout=500");
        probe.TrustIssuer(CaFile);
        await Eventually.TrueAsync(
            async () =>
            {
                Assert.False(process.HasExited, $"redis-server ended: {process.Output}");
                await using var connection = await ConnectionMultiplexer.ConnectAsync(probe);
                return connection.IsConnected;
            },
            "redis-server answers");
    }

    private void WriteCertificates()
    {
        var (from, until) = (TimeProvider.System.GetUtcNow().AddHours(-1), TimeProvider.System.GetUtcNow().AddHours(2));
        using var ca = Authority(CaFile);
        using var other = Authority(OtherCaFile);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=redis", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using var certificate = request.Create(ca, from, until, [1, 2, 3, 4]);
        File.WriteAllText(folder.File("server.pem"), certificate.ExportCertificatePem());
        File.WriteAllText(folder.File("server.key"), key.ExportPkcs8PrivateKeyPem());

        X509Certificate2 Authority(string file)
        {
            var own = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var request = new CertificateRequest("CN=An authority of our own", own, HashAlgorithmName.SHA256);
            request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
            var made = request.CreateSelfSigned(from, until);
            File.WriteAllText(file, made.ExportCertificatePem());
            return made;
        }
    }
}

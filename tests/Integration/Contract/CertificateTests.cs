using System.Text.Json;
using Sluice.Platform.Pools;

namespace Sluice.Tests.Integration.Contract;

public sealed class CertificateTests(Engines engines)
{
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.MariaDb)]
    public async Task Certificate_OfASoldOutPool_HoldsAndVerifies(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        using var key = System.Security.Cryptography.ECDsa.Create(System.Security.Cryptography.ECCurve.NamedCurves.nistP256);
        using var certificates = new Certificates(node.Audit, key, TimeProvider.System);
        var pool = await node.OpenPoolAsync(units: 3);
        await Task.WhenAll(Enumerable.Range(0, 5).Select(user => node.ClaimAsync(pool, $"u-{user}")));
        await node.DrainAsync();
        var certificate = await certificates.GetAsync(pool);

        Assert.Equal((Verdict.Holds, 3, 0), (certificate!.Certificate.Verdict, certificate.Certificate.SoldUnits, certificate.Certificate.LeftUnits));
        var json = JsonSerializer.Serialize(certificate, CertificateJson.Default.SignedCertificate);
        Assert.Null(await Certificates.VerifyAsync(json, certificates.PublicKeys().ToJsonString()));
    }
}

using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Redis behind TLS, with a user and a password.</summary>
public sealed class RedisTlsTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Redis_BehindTls_TakesClaimsOfWhoKnowsItsAuthorityAndItsPassword()
    {
        await using var redis = await TlsRedisServer.StartAsync();
        await using var shop = await SluiceServer.StartAsync([$"Redis:Connection={redis.Connection}", $"Redis:CaFile={redis.CaFile}"]);
        var sale = await shop.OpenSaleAsync(stock: 1);
        var claim = await shop.ClaimAsync(sale, await shop.TokenAsync("buyer"), prefer: "wait=20");
        Assert.True(claim.Status == 201, claim.Text);
        Assert.Equal("holds", (string?)(await shop.SettledCertificateAsync(sale))["verdict"]);
        Assert.DoesNotContain(TlsRedisServer.Password, shop.Process.Output, StringComparison.Ordinal);

        // Side by side: each waits until its last try.
        await Task.WhenAll(
            AssertRefusedAsync(redis.Connection, redis.OtherCaFile, "its certificate is refused"), AssertRefusedAsync(redis.Connection, "", "its certificate is refused. An authority of your own is named in Redis:CaFile"),
            AssertRefusedAsync(redis.Connection, redis.OtherCaFile, "its certificate is refused", isCache: true), AssertRefusedAsync(redis.Connection, redis.NoCertificate, "server.key holds no certificate"),
            AssertRefusedAsync(redis.Connection.Replace(TlsRedisServer.Password, "wrong", StringComparison.Ordinal), redis.CaFile, "user or password is wrong"), AssertRefusedAsync(redis.Address, "", "redis: "));
    }

    private static async Task AssertRefusedAsync(string connection, string caFile, string says, bool isCache = false)
    {
        using var folder = new TempFolder();

        // On a busy machine a try may end before the server has said anything; whoever starts the node again is told.
        await Eventually.TrueAsync(
            async () =>
            {
                var heard = (await Assert.ThrowsAsync<DependencyUnavailableException>(async () =>
                {
                    await using var opened = await RedisConnection.OpenAsync(new RedisOptions { Connection = connection, CaFile = caFile, CallTimeMax = Patience, AcceptWeakDurability = isCache }, folder.Path, NullLoggerFactory.Instance);
                })).Message;
                Assert.DoesNotContain(TlsRedisServer.Password, heard, StringComparison.Ordinal);
                return heard.Contains(says, StringComparison.Ordinal);
            },
            $"the refusal says '{says}'");
    }
}

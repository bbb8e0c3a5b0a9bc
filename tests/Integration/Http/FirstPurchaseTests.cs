using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

public sealed class FirstPurchaseTests
{
    [Fact]
    public async Task Claim_WithWait_IsAnsweredWithItsOrder()
    {
        await using var server = await SluiceServer.StartAsync();
        var sale = await server.OpenSaleAsync(stock: 1);
        var answer = await server.ClaimAsync(sale, await server.TokenAsync("u-1"), prefer: "wait=10");

        Assert.Equal(201, answer.Status);
        Assert.Equal("pending", (string?)answer.Json["order"]!["state"]);
        var certificate = await server.SettledCertificateAsync(sale);
        Assert.Equal("holds", (string?)certificate["verdict"]);
        Assert.Equal(1, (long)certificate["soldUnits"]!);
    }
}

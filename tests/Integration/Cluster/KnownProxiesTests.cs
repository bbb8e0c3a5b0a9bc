using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>Who a caller is, is believed of the load balancers that the settings name, and of nobody else.</summary>
public sealed class KnownProxiesTests
{
    [Theory]
    [InlineData("", false)]
    [InlineData("10.0.0.0/8", false)]
    [InlineData("127.0.0.1", true)]
    [InlineData("10.0.0.0/8, 127.0.0.0/8", true)]
    public async Task Address_GivenByAProxy_CountsOnlyIfThatIsKnown(string known, bool isBelieved)
    {
        await using var server = await SluiceServer.StartAsync(["Accounts:GuestSessions=true", "Accounts:GuestsPerAddressPerSecondMax=1", $"KnownProxies={known}"]);
        var statuses = new List<int>();
        for (var i = 0; i < 10; i++)
        {
            statuses.Add((await server.AnswerAsync(new HttpRequestMessage(HttpMethod.Post, "/v1/guest-sessions") { Headers = { { "X-Forwarded-For", $"203.0.113.{i}" } } })).Status);
        }

        Assert.Equal(isBelieved, statuses.TrueForAll(status => status == 201));
    }

    [Fact]
    public async Task Proxy_ThatIsNoAddress_StopsTheStart()
    {
        var error = await Assert.ThrowsAsync<InvalidOperationException>(() => SluiceServer.StartAsync(["KnownProxies=proxy.example"]));
        Assert.Contains("ended with 2", error.Message, StringComparison.Ordinal);
        Assert.Contains("KnownProxies: 'proxy.example'", error.Message, StringComparison.Ordinal);
    }
}

using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>Two API nodes are one shop: what is done through one is there at once through the other.</summary>
public sealed class TwoNodesTests
{
    [Fact]
    public async Task Sale_MadeThroughOneNode_IsThereThroughTheOther()
    {
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();

        // A board that is kept for long, so that it is certainly the old one.
        string[] settings = [$"Redis:Connection={redis.Connection}", "FlashSales:BoardAge=00:00:10"];
        await using var one = await SluiceServer.StartAsync([.. settings, "NodeId=1"], folder.Path);
        await using var other = await SluiceServer.StartAsync([.. settings, "NodeId=2"], folder.Path);
        Assert.Empty((await other.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, "/v1/flash-sales"))).Json["items"]!.AsArray());
        var sale = await one.OpenSaleAsync(1);
        var seen = await other.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, $"/v1/flash-sales/{sale}"));
        Assert.Equal((200, "open"), (seen.Status, (string?)seen.Json["state"]));
        Assert.Equal(202, (await other.ClaimAsync(sale, await one.TokenAsync("u-1"))).Status);
        Assert.Equal(404, (await other.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, "/v1/flash-sales/1"))).Status);
    }
}

using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>The process dies after a change was committed and before anybody was told. What the others keep would live for an hour.</summary>
public sealed class CacheFaultTests
{
    private static readonly string[] KeptForLong = ["Cache:SharedAge=01:00:00", "Cache:ProcessAge=00:01:00", "Cache:AbsentAge=00:01:00"];

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Node_KilledBetweenAChangeAndTelling_TheOtherShowsTheChange(bool inMemcached)
    {
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        await using var memcached = inMemcached ? await MemcachedServer.StartAsync() : null;
        string[] settings = [.. KeptForLong, $"Redis:Connection={redis.Connection}", $"Cache:Connection={memcached?.Connection}"];
        await using var other = await SluiceServer.StartAsync([.. settings, "NodeId=2"], folder.Path);
        await using var dying = await SluiceServer.StartAsync([.. settings, "NodeId=1", "Roles=Api"], folder.Path, Drills.Fault("change.committed", "kill", 1));
        Assert.Equal(inMemcached, other.Process.Output.Contains($"cache: memcached at 127.0.0.1:{memcached?.Port}", StringComparison.Ordinal));
        Assert.Equal(404, (await ProductAsync(other)).Status);
        await Assert.ThrowsAsync<HttpRequestException>(() => dying.ServerPutAsync("/v1/products/kettle", new JsonObject { ["title"] = "Kettle" }));
        await dying.Process.WaitAsync(Patience);
        await Eventually.TrueAsync(async () => await ProductAsync(other) is { Status: 200 } seen && (string?)seen.Json["title"] == "Kettle", "the other node tells itself");
    }

    [Fact]
    public async Task Worker_KilledBetweenOrdersAndShowingThem_TheBuyerSeesTheOrderWhenTheBatchComesAgain()
    {
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        string[] settings = [.. KeptForLong, $"Redis:Connection={redis.Connection}"];
        await using var node = await SluiceServer.StartAsync([.. settings, "NodeId=1", "Roles=Api"], folder.Path);
        await using var worker = await SluiceServer.StartAsync([.. settings, "NodeId=2", "Roles=Worker"], folder.Path, Drills.Fault("change.committed", "kill", 1));
        var token = await node.TokenAsync("u-1");
        Assert.Equal(0, await OrdersAsync(node, token));
        Assert.Equal(202, (await node.ClaimAsync(await node.OpenSaleAsync(5), token)).Status);
        await worker.Process.WaitAsync(Patience);

        // Committed, and the page from before is still kept.
        Assert.Equal(0, await OrdersAsync(node, token));
        await worker.BeginAsync();
        await Eventually.TrueAsync(async () => await OrdersAsync(node, token) == 1, "the batch comes again, and the page is dropped");
    }

    [Fact]
    public async Task Buyer_WhoIsToldOfAnOrderThatNoWorkerHasShown_FindsItInTheList()
    {
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        string[] settings = [.. KeptForLong, $"Redis:Connection={redis.Connection}"];
        await using var node = await SluiceServer.StartAsync([.. settings, "NodeId=1", "Roles=Api"], folder.Path);
        await using var worker = await SluiceServer.StartAsync([.. settings, "NodeId=2", "Roles=Worker"], folder.Path, Drills.Fault("change.committed", "kill", 1));
        var token = await node.TokenAsync("u-1");
        Assert.Equal(0, await OrdersAsync(node, token));
        var claim = await node.ClaimAsync(await node.OpenSaleAsync(5), token);
        await worker.Process.WaitAsync(Patience);
        Assert.Equal(0, await OrdersAsync(node, token));

        var request = new HttpRequestMessage(HttpMethod.Get, $"/v1/claims/{claim.ClaimId}");
        request.Headers.Authorization = new("Bearer", token);
        Assert.Equal("confirmed", (string?)(await node.AnswerAsync(request)).Json["state"]);

        Assert.Equal(1, await OrdersAsync(node, token));
    }

    private static Task<Answer> ProductAsync(SluiceServer node) => node.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, "/v1/products/kettle"));

    private static async Task<int> OrdersAsync(SluiceServer node, string token)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, "/v1/orders");
        request.Headers.Authorization = new("Bearer", token);
        return (await node.AnswerAsync(request)).Json["items"]!.AsArray().Count;
    }
}

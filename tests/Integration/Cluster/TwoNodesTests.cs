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

    // Each step is done through one node and looked at through the other one, where the page before is kept and would live for an hour.
    [Fact]
    public async Task Orders_ChangedThroughOneNode_AreNewThroughTheOtherAtOnce()
    {
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        string[] settings = [$"Redis:Connection={redis.Connection}", "Cache:SharedAge=01:00:00", "Orders:TestPayments=true"];
        await using var one = await SluiceServer.StartAsync([.. settings, "NodeId=1"], folder.Path);
        await using var other = await SluiceServer.StartAsync([.. settings, "NodeId=2"], folder.Path);
        var token = await one.TokenAsync("u-1");
        var (empty, first) = await LookAsync(other, token);
        Assert.Empty(empty);

        var claim = await one.ClaimAsync(await one.OpenSaleAsync(5), token);
        await Eventually.TrueAsync(async () => (string?)(await SendAsync(one, HttpMethod.Get, $"/v1/claims/{claim.ClaimId}?wait=5", token)).Json["state"] == "confirmed", "the order is written");
        var (bought, second) = await LookAsync(other, token);
        Assert.Equal(["pending"], bought);

        Assert.Equal(200, (await SendAsync(one, HttpMethod.Post, $"/v1/orders/{claim.ClaimId}/cancel", token)).Status);
        var (cancelled, third) = await LookAsync(other, token);
        Assert.Equal(["cancelled"], cancelled);

        var next = await other.ClaimAsync(await one.OpenSaleAsync(5), token);
        await Eventually.TrueAsync(async () => (string?)(await SendAsync(other, HttpMethod.Get, $"/v1/claims/{next.ClaimId}?wait=5", token)).Json["state"] == "confirmed", "the order is written");
        Assert.Equal(200, (await SendAsync(other, HttpMethod.Post, $"/v1/orders/{next.ClaimId}/test-payment", token)).Status);
        var (paid, fourth) = await LookAsync(one, token);
        Assert.Equal(["paid", "cancelled"], paid);

        Assert.Equal(4, new[] { first, second, third, fourth }.Distinct(StringComparer.Ordinal).Count());
        foreach (var node in new[] { one, other })
        {
            Assert.Equal((304, ""), await SendAsync(node, HttpMethod.Get, "/v1/orders", token, fourth) is var same ? (same.Status, same.Text) : default);
            Assert.Equal(200, (await SendAsync(node, HttpMethod.Get, "/v1/orders", token, third)).Status);
        }

        // Somebody else's page is somebody else's.
        Assert.Empty((await LookAsync(one, await one.TokenAsync("u-2"))).States);
    }

    [Fact]
    public async Task Product_ChangedThroughOneNode_IsNewThroughTheOtherSoon()
    {
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();

        // What nodes keep they keep for long: what is new was told, not forgotten.
        string[] settings = [$"Redis:Connection={redis.Connection}", "Cache:SharedAge=01:00:00", "Cache:ProcessAge=00:01:00", "Cache:AbsentAge=00:01:00"];
        await using var one = await SluiceServer.StartAsync([.. settings, "NodeId=1"], folder.Path);
        await using var other = await SluiceServer.StartAsync([.. settings, "NodeId=2"], folder.Path);
        foreach (var node in new[] { one, other })
        {
            Assert.Equal(404, (await ProductAsync(node)).Status);
        }

        foreach (var title in new[] { "Kettle", "Copper kettle", "Old kettle" })
        {
            await one.ServerPutAsync("/v1/products/kettle", new System.Text.Json.Nodes.JsonObject { ["title"] = title });
            Assert.Equal(title, (string?)(await ProductAsync(one)).Json["title"]);
            await Eventually.TrueAsync(async () => await ProductAsync(other) is { Status: 200 } seen && (string?)seen.Json["title"] == title, "the other node has heard of it");
        }

        static Task<Answer> ProductAsync(SluiceServer node) => node.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, "/v1/products/kettle"));
    }

    private static async Task<(IReadOnlyList<string> States, string Etag)> LookAsync(SluiceServer node, string token)
    {
        var answer = await SendAsync(node, HttpMethod.Get, "/v1/orders", token);
        Assert.Equal(200, answer.Status);
        return ([.. answer.Json["items"]!.AsArray().Select(order => (string)order!["state"]!)], answer.ETag!);
    }

    private static Task<Answer> SendAsync(SluiceServer node, HttpMethod method, string path, string token, string? etag = null)
    {
        var request = new HttpRequestMessage(method, path);
        request.Headers.Authorization = new("Bearer", token);
        if (etag is not null)
        {
            request.Headers.TryAddWithoutValidation("If-None-Match", etag);
        }

        return node.AnswerAsync(request);
    }
}

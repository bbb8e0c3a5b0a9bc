using System.Net;
using System.Net.Sockets;
using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;

namespace Sluice.Tests.Integration.Contract;

/// <summary>What can be said of MongoDB without one: nothing answers, or something that says nothing, and reads go on. What a server makes of the commands is not tested.</summary>
public sealed class MongoStoreTests(RedisEngine engine) : IClassFixture<RedisEngine>
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task MongoDb_ThatDoesNotAnswer_StopsNoStartAndNoRead(bool listens)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        if (!listens)
        {
            listener.Stop();
        }

        await using var node = await engine.OpenAsync(new CacheOptions { Connection = $"mongodb://shop:secret@127.0.0.1:{port}/shop?directConnection=true", CallTimeMax = TimeSpan.FromMilliseconds(200), LoadsAtOnceMax = 2 });
        var key = CacheKey.Shared("fact", $"mongo-{listens}");
        await engine.One.ChangeAsync(key);
        Assert.All(await Task.WhenAll(Enumerable.Range(0, 1_000).Select(_ => Task.Run(() => node.SeeAsync(key)))), version => Assert.Equal(1, version));
        Assert.Equal(1, node.Loads);

        // A change through it is seen through it; who is told of the failure tries again later.
        await node.ChangeAsync(key);
        await node.Changes.TellAsync([key]);
        Assert.Equal(2, await node.SeeAsync(key));
        var refused = await Assert.ThrowsAsync<DependencyUnavailableException>(() => node.Changes.DropAsync([key]));
        Assert.Equal("mongodb", refused.Dependency);
        Assert.DoesNotContain("secret", refused.ToString(), StringComparison.Ordinal);

        // The notes stay until somebody can tell them. The next case opens a node, which waits until its first round has told all of them.
        Assert.True(await engine.Database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync("DELETE FROM cache_changes", transaction: transaction)) > 0);
    }
}

using System.Globalization;
using Dapper;
using MySqlConnector;
using Sluice.Platform.Hosting;
using Sluice.Tests.Integration.Contract;

namespace Sluice.Tests.Integration.Servers;

/// <summary>Databases of one shop on two real servers: the main database on one that others share, a shard on one of its own that a test may kill. New databases for each test.</summary>
public sealed class ShardServers(Engines engines) : IAsyncLifetime
{
    public MariaDbServer Home { get; private set; } = null!;

    /// <summary>The server of shard 1.</summary>
    public MariaDbServer Other { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Home = await engines.MariaDbAsync();
        Other = await MariaDbServer.StartAsync();
    }

    /// <summary>A shop whose shard 0 is its main database, or a database beside it, and whose shard 1 is on the other server.</summary>
    public async Task<ShardedShop> NewShopAsync(bool homeIsShard = true)
    {
        var home = await Home.NewDatabaseAsync();
        return new ShardedShop(home, [homeIsShard ? home : await Home.NewDatabaseAsync(), await Other.NewDatabaseAsync()]);
    }

    public ValueTask DisposeAsync() => Other.DisposeAsync();
}

/// <summary>Where a shop's rows are.</summary>
public sealed record ShardedShop(string Home, IReadOnlyList<string> Shards)
{
    public IReadOnlyList<string> Settings => [$"Sql:Connection={Home}", .. Shards.Select((shard, i) => string.Create(CultureInfo.InvariantCulture, $"Sql:Shards:{i}={shard}"))];

    /// <summary>The shard of a user, as the first start spreads the buckets.</summary>
    public int Of(string user) => ClaimIds.Bucket(user) * Shards.Count / ClaimIds.BucketCount;

    /// <summary>Users of one shard.</summary>
    public IReadOnlyList<string> UsersOf(int shard, int count, string name = "u") => [.. Enumerable.Range(0, int.MaxValue).Select(i => string.Create(CultureInfo.InvariantCulture, $"{name}-{i}")).Where(user => Of(user) == shard).Take(count)];

    public static async Task<IReadOnlyList<T>> QueryAsync<T>(string connection, string sql, object? parameters = null)
    {
        await using var database = new MySqlConnection(connection + ";Pooling=False");
        return [.. await database.QueryAsync<T>(sql, parameters)];
    }

    /// <summary>Fails unless each order is where its user's orders are, and nothing is on its way.</summary>
    public async Task AssertInPlaceAsync()
    {
        await Eventually.TrueAsync(async () => (await QueryAsync<long>(Home, "SELECT COUNT(*) FROM order_outbox")) is [0], "no order waits");
        for (var i = 0; i < Shards.Count; i++)
        {
            Assert.All(await QueryAsync<string>(Shards[i], "SELECT user_id FROM orders"), user => Assert.Equal(i, Of(user)));
            Assert.Equal([0L], await QueryAsync<long>(Shards[i], "SELECT COUNT(*) FROM orders WHERE user_bucket <> (id >> 7) & 255"));
        }

        if (!Shards.Contains(Home))
        {
            Assert.Equal([0L], await QueryAsync<long>(Home, "SELECT COUNT(*) FROM orders"));
        }
    }
}

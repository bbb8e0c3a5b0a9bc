using Dapper;
using Microsoft.Extensions.Logging.Abstractions;
using MySqlConnector;
using Sluice.Host;
using Sluice.Modules.Orders;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>The way of orders to their shard, gone by many at once.</summary>
public sealed class OrderOutboxTests(Engines engines)
{
    private const int Orders = 3_000;

    [Fact]
    public async Task Orders_ForwardedByManyAtOnce_WhileSomeAreBroughtAndRead_ArriveOnceAndAreNeverMissed()
    {
        var mariaDb = await engines.MariaDbAsync();
        var options = new SqlOptions { Connection = await mariaDb.NewDatabaseAsync(), Shards = [await mariaDb.NewDatabaseAsync()], ConnectionsMax = 16 };
        using var home = new Database(options, "");
        Migrations.Run(home, Node.Schemas);
        using var shards = await Shards.OpenAsync(options, "", home, Node.Schemas, NullLogger<ShardKeeper>.Instance);
        var ids = new ClaimIds(1, TimeProvider.System);
        var orders = Enumerable.Range(0, Orders).Select(i => (Id: ids.Next($"u-{i % 20}"), User: $"u-{i % 20}")).OrderBy(order => order.Id).ToList();
        await using (var connection = new MySqlConnection(options.Connection))
        {
            await connection.ExecuteAsync("INSERT INTO pools (id, kind, title, initial_units, capacity_units, claimed_units, per_user_limit, gate, version, applied_version, created_at) VALUES (7, 'flash-sale', 'Kettle', 1, 1, 1, 1, 1, 1, 1, 1)");
            await connection.ExecuteAsync("INSERT INTO claims (id, pool_id, user_id, units, state, written_at) VALUES " + string.Join(',', orders.Select(order => $"({order.Id}, 7, '{order.User}', 1, 1, 1)")));
            await connection.ExecuteAsync("INSERT INTO order_outbox VALUES " + string.Join(',', orders.Select(order => $"({order.Id}, 7, '{order.User}', 'k', 'K', 1, 5, 'EUR', 0, 1, 2, 0)")));
        }

        var outbox = new OrderOutbox(shards);
        var book = new OrderBook(shards, outbox);
        var shard = shards.All[0];
        using var done = new CancellationTokenSource();
        var looking = Task.WhenAll(Enumerable.Range(0, 2).Select(async i =>
        {
            for (var looks = i; !done.IsCancellationRequested; looks++)
            {
                var (id, user) = orders[looks * 37 % Orders];
                Assert.NotNull(await book.FindAsync(id, user, ReadFrom.Writer));
                var (newest, version) = await book.NewestAsync($"u-{looks % 20}", limit: 200);
                Assert.Equal((Orders / 20, Orders / 20), (newest.Count, (int)version));
            }
        }));
        await Task.WhenAll(Enumerable.Range(0, 4).Select(async i =>
        {
            await outbox.BringAsync(shard, [.. orders.Where((_, at) => at % 7 == i).Select(order => order.Id)]);
            while (await outbox.ForwardAsync(shard))
            {
            }
        }));
        await done.CancelAsync();
        await looking;

        // It arrives between the look at the shard and the look into the outbox; and, for a list, between the two the other way round.
        await WaitAgainAsync(orders[0]);
        home.Opened = _ => ForwardNow();
        Assert.NotNull(await book.FindAsync(orders[0].Id, orders[0].User, ReadFrom.Writer));
        await WaitAgainAsync(orders[1]);
        shard.Database.Opened = _ => ForwardNow();
        Assert.Equal((Orders / 20, Orders / 20), await book.NewestAsync(orders[1].User, limit: 200) is var (list, count) ? (list.Count, (int)count) : default);

        Assert.Equal([0L], await ShardedShop.QueryAsync<long>(options.Connection, "SELECT COUNT(*) FROM order_outbox"));
        Assert.Equal(orders.Select(order => order.Id), await ShardedShop.QueryAsync<long>(options.Shards[0], "SELECT id FROM orders WHERE kind = 'flash-sale' ORDER BY id"));

        async Task WaitAgainAsync((long Id, string User) order)
        {
            await ShardedShop.QueryAsync<long>(options.Shards[0], "DELETE FROM orders WHERE id = @Id", new { order.Id });
            await ShardedShop.QueryAsync<long>(options.Connection, "INSERT INTO order_outbox VALUES (@Id, 7, @User, 'k', 'K', 1, 5, 'EUR', 0, 1, 2, 0)", new { order.Id, order.User });
        }

        void ForwardNow()
        {
            (home.Opened, shard.Database.Opened) = (null, null);
            Task.Run(() => outbox.ForwardAsync(shard)).Wait(TimeSpan.FromSeconds(30));
        }
    }
}

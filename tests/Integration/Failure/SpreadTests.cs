using System.Globalization;
using Dapper;
using Microsoft.Extensions.Logging.Abstractions;
using MySqlConnector;
using Sluice.Host;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Contract;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>Orders are moved between shards while the shop stands still, and no node starts with other shards than those over which its orders are spread.</summary>
public sealed class SpreadTests(Engines engines)
{
    private const int Orders = 30;

    private static readonly IReadOnlyList<string> Settings = [.. Drills.NoRateLimit, "Orders:TestPayments=true"];

    [Fact]
    public async Task Orders_SpreadToTwoAndThreeShardsAndBack_OverKills_AreTheSame()
    {
        var mariaDb = await engines.MariaDbAsync();
        var home = await mariaDb.NewDatabaseAsync();
        string[] shards = [home, await mariaDb.NewDatabaseAsync(), await mariaDb.NewDatabaseAsync()];
        using var folder = new TempFolder();
        string sale;
        IReadOnlyList<Buyer> buyers;
        IReadOnlyList<string> before;
        await using (var server = await SluiceServer.StartAsync([.. Settings, $"Sql:Connection={home}"], folder.Path))
        {
            sale = await server.OpenSaleAsync(100);
            buyers = await Rush.BuyersAsync(server, Orders);
            var orders = (await Task.WhenAll(buyers.Select(buyer => server.ClaimAsync(sale, buyer.Token, prefer: "wait=10")))).Select(claim => claim.ClaimId).ToList();
            await Task.WhenAll(buyers.Select((buyer, i) => server.UserAsync(i % 3 == 2 ? HttpMethod.Get : HttpMethod.Post, $"/v1/orders/{orders[i]}{(i % 3) switch { 0 => "/test-payment", 1 => "/cancel", _ => "" }}", buyer.Token)));
            Assert.Equal("refund-due", (string?)(await server.PayAsync(orders[1], "late", 4_900)).Json["outcome"]);
            before = await SeenAsync(server);
        }

        // Killed among the copies, and when the new map holds and the old rows are still there.
        await KilledAsync("spread.copied");
        await KilledAsync("spread.mapped");
        await SpreadAsync(2);
        await AssertSameAsync(2);
        await SpreadAsync(3);
        await RefusedAsync(2, "spread over 3 shards, and Sql:Shards names 2");
        await AssertSameAsync(3);

        // All of it back into the main database.
        await SpreadAsync(3, "--to", "1");
        await AssertSameAsync(1);
        Assert.Equal([Orders], await ShardedShop.QueryAsync<long>(home, "SELECT COUNT(*) FROM orders"));

        string[] Named(int count) => [.. shards.Take(count).Select((shard, i) => string.Create(CultureInfo.InvariantCulture, $"Sql:Shards:{i}={shard}")).Prepend($"Sql:Connection={home}")];

        string[] Arguments(string command, int count) => [command, "--data", folder.Path, .. Named(count).SelectMany(setting => new[] { "--set", setting })];

        async Task RefusedAsync(int count, string because)
        {
            var (exit, _, says) = await SluiceCommand.RunAsync(Arguments("serve", count));
            Assert.True(exit == 3 && says.Contains(because, StringComparison.Ordinal), says);
            Assert.DoesNotContain(MariaDbServer.Password, says, StringComparison.Ordinal);
        }

        async Task KilledAsync(string point)
        {
            await using var spread = ChildProcess.Start("dotnet", [Programs.Server, .. Arguments("spread", 2)], Drills.Fault(point, "kill", 1));
            Assert.True(await spread.WaitAsync(TimeSpan.FromSeconds(60)) == 137, spread.Output);
        }

        async Task SpreadAsync(int count, params string[] more)
        {
            var (exit, _, says) = await SluiceCommand.RunAsync([.. Arguments("spread", count), .. more]);
            Assert.True(exit == 0, says);
        }

        // The same to everybody; at two shards and more each at its own. Then a payment that was made before, of another order.
        async Task AssertSameAsync(int count)
        {
            await using var server = await SluiceServer.StartAsync([.. Settings, .. Named(count)], folder.Path);
            Assert.Equal(before, await SeenAsync(server));
            var certificate = await server.SettledCertificateAsync(sale);
            Assert.True((string?)certificate["verdict"] == "holds", certificate.ToJsonString());
            var other = (string)(await server.UserAsync(HttpMethod.Get, "/v1/orders", buyers[2].Token)).Json["items"]![0]!["id"]!;
            Assert.Equal("payment-of-another-order", (await server.PayAsync(other, "late", 4_900)).Code);
        }

        async Task<IReadOnlyList<string>> SeenAsync(SluiceServer server) => [.. (await Task.WhenAll(buyers.Select(async buyer =>
        {
            var list = await server.UserAsync(HttpMethod.Get, "/v1/orders", buyer.Token);
            return list.Text + (await server.UserAsync(HttpMethod.Get, $"/v1/orders/{list.Json["items"]![0]!["id"]}", buyer.Token)).Text;
        })))];
    }

    [Fact]
    public async Task Start_WithShardsThatAreNotThose_IsRefused_AndABucketMovesNoFurtherThanItMust()
    {
        var mariaDb = await engines.MariaDbAsync();
        var home = await mariaDb.NewDatabaseAsync();
        string[] shards = [await mariaDb.NewDatabaseAsync(), await mariaDb.NewDatabaseAsync(), await mariaDb.NewDatabaseAsync()];
        using var database = new Database(Options(0), "");
        Migrations.Run(database, Node.Schemas);

        // One that is not there: nothing is decided at the first start, and what there is then may be named otherwise.
        await RefusedAsync(Options(2) with { Shards = [shards[1], shards[0] + "_missing"] }, "Unknown database");

        // A node of modules that have their own databases makes no map and brings no shard up to date. It goes by what others made.
        var refused = await Assert.ThrowsAsync<DependencyUnavailableException>(() => Shards.OpenAsync(Options(2), "", database, [], NullLogger<ShardKeeper>.Instance));
        Assert.Contains("start a node first", refused.Message, StringComparison.Ordinal);

        // At the first start; and again, by two nodes at once.
        await OpenAsync(Options(2));
        using (var guest = await Shards.OpenAsync(Options(2), "", database, [], NullLogger<ShardKeeper>.Instance))
        {
            Assert.All(guest.All, shard => Assert.True(shard.IsOpen));
        }

        await Task.WhenAll(OpenAsync(Options(2)), OpenAsync(Options(2)));
        Assert.Equal([(0L, 128L), (1L, 128L)], await ShardedShop.QueryAsync<(long, long)>(home, "SELECT shard, COUNT(*) FROM shard_buckets GROUP BY shard ORDER BY shard"));
        await RefusedAsync(Options(0), "spread over 2 shards, and Sql:Shards names 0");
        await RefusedAsync(Options(3), "spread over 2 shards, and Sql:Shards names 3");
        await RefusedAsync(Options(2) with { Shards = [shards[1], shards[0]] }, "Sql:Shards:0 is shard 1 of this shop");
        await RefusedAsync(Options(2) with { Shards = [shards[0], shards[0]] }, "Sql:Shards:1 is shard 0 of this shop");
        await RefusedAsync(Options(2) with { Shards = [shards[0], home.Replace("127.0.0.1", "localhost", StringComparison.Ordinal)] }, "Sql:Shards:1 is the main database of a shop");

        // Another shop's.
        var otherHome = await mariaDb.NewDatabaseAsync();
        using (var other = new Database(new SqlOptions { Connection = otherHome }, ""))
        {
            Migrations.Run(other, Node.Schemas);
            await RefusedAsync(new SqlOptions { Connection = otherHome, Shards = [shards[0]] }, "Sql:Shards:0 is a shard of another shop", other);
        }

        // From two to three: 85 buckets move, and nothing else does. A node that ran on does nothing by the old map.
        var running = await Shards.OpenAsync(Options(2), "", database, Node.Schemas, NullLogger<ShardKeeper>.Instance);
        using (var move = await ShardMove.PlanAsync(Options(3), 3, "", database, Node.Schemas))
        {
            Assert.Equal((85, 85), (move.MovingCount, move.ComingTo(move.All[2]).Count));
            await new SpreadOrders(move).RunAsync(_ => { });
        }

        using var keeper = new ShardKeeper(running, Node.Schemas, TimeProvider.System, NullLogger<ShardKeeper>.Instance);
        Assert.Equal(0, running.Of("u").Index & ~1);
        await keeper.RoundAsync();
        Assert.Contains("start it again", Assert.Throws<DependencyUnavailableException>(() => running.Of("u")).Message, StringComparison.Ordinal);
        running.Dispose();
        await OpenAsync(Options(3));

        SqlOptions Options(int count) => new() { Connection = home, Shards = [.. shards.Take(count)] };

        async Task OpenAsync(SqlOptions options) => (await Shards.OpenAsync(options, "", database, Node.Schemas, NullLogger<ShardKeeper>.Instance)).Dispose();

        async Task RefusedAsync(SqlOptions options, string because, Database? of = null)
        {
            var refusal = await Assert.ThrowsAsync<DependencyUnavailableException>(() => Shards.OpenAsync(options, "", of ?? database, Node.Schemas, NullLogger<ShardKeeper>.Instance));
            Assert.Contains(because, refusal.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Orders_SpreadOutOfAHomeDatabaseThatIsNoShard_LeaveNothingThere()
    {
        var mariaDb = await engines.MariaDbAsync();
        var options = new SqlOptions { Connection = await mariaDb.NewDatabaseAsync(), Shards = [await mariaDb.NewDatabaseAsync(), await mariaDb.NewDatabaseAsync()], ConnectionsMax = 8 };
        using var database = new Database(options, "");
        Migrations.Run(database, Node.Schemas);
        var ids = new ClaimIds(1, TimeProvider.System);
        var orders = Enumerable.Range(0, 1_200).Select(i => (Id: ids.Next($"u-{i}"), User: $"u-{i}", State: i % 4)).ToList();
        await using (var connection = new MySqlConnection(options.Connection))
        {
            await connection.ExecuteAsync("INSERT INTO pools (id, kind, title, initial_units, capacity_units, claimed_units, per_user_limit, gate, version, applied_version, created_at) VALUES (7, 'flash-sale', 'Kettle', 1, 1, 1, 1, 1, 1, 1, 1)");
            await connection.ExecuteAsync("INSERT INTO claims (id, pool_id, user_id, units, state, written_at) VALUES (1, 7, 'u', 1, 1, 1)");
            await InsertAsync("orders (id, sale_id, user_id, sku, title, units, price_cents, currency, state, created_at, pay_by, paid_at)", order => $"({order.Id}, 7, '{order.User}', 'k', 'K', 1, 5, 'EUR', {order.State}, 1, 2, {(order.State == 1 ? "3" : "NULL")})");
            await InsertAsync("payments", order => $"('p-{order.Id}', {order.Id}, 5, 'EUR', {(order.State == 1 ? 1 : 2)}, 3)", "(payment_id, order_id, amount_cents, currency, outcome, received_at)");
            await InsertAsync("releases", order => $"({order.Id}, 8, '{order.User}', 1, 1, 9)", "(claim_id, pool_id, user_id, units, returned, released_at)", state: 2);

            async Task InsertAsync(string table, Func<(long Id, string User, int State), string> row, string columns = "", int state = 0) =>
                await connection.ExecuteAsync($"INSERT INTO {table} {columns} VALUES {string.Join(',', orders.Where(order => order.State >= state).Select(order => row(order)))}");
        }

        // Not by a setting alone; and not while they move.
        await RefusedAsync("this shop has orders in one database, and Sql:Shards names 2");
        using (var move = await ShardMove.PlanAsync(options, 2, "", database, Node.Schemas))
        {
            await move.BeginAsync();
            await RefusedAsync("Stop every node and run 'sluice spread' again");
            Assert.Equal((256, orders.Count), (move.MovingCount, (int)await new SpreadOrders(move).RunAsync(_ => { })));
        }

        foreach (var (table, count) in new[] { ("orders", 1_200), ("payments", 1_200), ("releases", 600) })
        {
            var there = await Task.WhenAll(options.Shards.Select(shard => ShardedShop.QueryAsync<long>(shard, $"SELECT COUNT(*) FROM {table}")));
            Assert.Equal(count, there.Sum(rows => rows[0]));
            Assert.DoesNotContain(there, rows => rows[0] == 0);
        }

        Assert.Equal([(0L, 0L, 600L, 1_200L)], await ShardedShop.QueryAsync<(long, long, long, long)>(
            options.Connection, "SELECT (SELECT COUNT(*) FROM orders), (SELECT COUNT(*) FROM payments), (SELECT COUNT(*) FROM releases), (SELECT COUNT(*) FROM payment_ids)"));
        var (kind, paid) = (await ShardedShop.QueryAsync<(string, long?)>(options.Shards[ClaimIds.Bucket("u-1") / 128], "SELECT kind, paid_at FROM orders WHERE id = @Id", new { orders[1].Id }))[0];
        Assert.Equal(("flash-sale", 3), (kind, paid));

        async Task RefusedAsync(string because) => Assert.Contains(
            because, (await Assert.ThrowsAsync<DependencyUnavailableException>(() => Shards.OpenAsync(options, "", database, Node.Schemas, NullLogger<ShardKeeper>.Instance))).Message, StringComparison.Ordinal);
    }
}

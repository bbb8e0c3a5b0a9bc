using System.Globalization;
using Dapper;
using MySqlConnector;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Tests.Integration.Contract;

/// <summary>What every statement of the platform and of the modules relies on, on each SQL engine.</summary>
public sealed class DatabaseTests(Engines engines)
{
    [Theory]
    [InlineData(Engine.Garnet, 1_203)]
    [InlineData(Engine.MariaDb, 1_203)]
    [InlineData(Engine.MariaDb, 500)]
    public async Task BatchInsert_OfRowsAmongWhichSomeExist_SaysWhichAreNew(Engine engine, int rows)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var random = new Random(7);
        var first = Enumerable.Range(1, rows).Where(_ => random.Next(3) == 0).ToHashSet();
        Assert.Equal(first.Order(), await InsertAsync(node, [.. first]));
        Assert.Equal(Enumerable.Range(1, rows).Except(first), (await InsertAsync(node, [.. Enumerable.Range(1, rows)])).Order());
        Assert.Empty(await InsertAsync(node, [.. Enumerable.Range(1, rows)]));
        Assert.Equal(rows, await CountAsync(node, "pool_adjustments"));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task BatchInsert_OfRowsThatExcludeEachOther_TakesTheFirst(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var fresh = await node.Database.WriteAsync(transaction => new BatchInsert("idempotency", "result_id", "route", "idempotency_key", "request_hash", "created_at").RunAsync(
            transaction, 7, (row, column) => column switch { 0 => (long)row, 1 => "route", 2 => $"key-{row % 3}", 3 => "hash", _ => 1L }));

        Assert.Equal([0, 1, 2], fresh.Order());
    }

    // INSERT IGNORE would shorten it, and say that all is well.
    [Fact]
    public async Task BatchInsert_OfATextThatIsTooLong_IsAnError()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.MariaDb));
        var refused = await Assert.ThrowsAsync<MySqlException>(() => node.Database.WriteAsync(
            transaction => new BatchInsert("idempotency", "result_id", "route", "idempotency_key", "request_hash", "created_at").RunAsync(
                transaction, 3, (row, column) => column switch { 0 => (long)row, 1 => "route", 2 => new string('k', 63 + row), 3 => "hash", _ => 1L })));

        Assert.Equal(MySqlErrorCode.DataTooLong, refused.ErrorCode);
        Assert.Equal(0, await CountAsync(node, "idempotency"));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task Names_ThatDifferInOneBit_AreTwo(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 10, limit: 1);
        foreach (var user in new[] { "u-1", "U-1", "ü-1", "u-1." })
        {
            Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(pool, user)).Outcome);
        }

        await node.DrainAsync();
        await node.AssertAuditHoldsAsync(pool);
        Assert.Equal(4, (await node.WrittenAsync(pool)).Count(claim => claim.State == ClaimState.Confirmed));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task List_OfAnyLength_FindsItsElementsAndNoOthers(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        await InsertAsync(node, [.. Enumerable.Range(1, 3_000)]);
        foreach (var count in new[] { 0, 1, 2, 2_999 })
        {
            Assert.Equal(count, (await node.Database.ReadAsync(connection => connection.QueryAsync<long>(
                "SELECT id FROM pool_adjustments WHERE id IN @ids AND id NOT IN @idsToo", new { ids = SqlList.Of(Enumerable.Range(2, count).Select(id => (long)id)), idsToo = SqlList.Of([999_999]) }))).Count());
        }

        var users = new[] { "it's", "a \\ b", "$1", "\"", "@ids" };
        Assert.Equal(1, await node.Database.ReadAsync(connection => connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM pool_adjustments WHERE id = 1 AND 'a \\ b' <> 'x' AND @one IN @users", new { one = "it's", users = SqlList.Of(users) })));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task Once_WhenOneKeyComesTwentyTimesAtOnce_HasOneEffect(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var idempotency = new Idempotency(node.Database, TimeProvider.System);
        var ids = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => idempotency.OnceAsync("the-key-of-all-twenty", "POST /x", "the same", transaction => AddRowAsync(transaction, node.Ids.Next("x")))));

        Assert.Single(ids.Select(answer => answer.Id).Distinct());
        Assert.Single(ids, answer => answer.IsNew);
        Assert.Equal(1, await CountAsync(node, "pool_adjustments"));
    }

    [Fact]
    public async Task Write_ThatMeetsADeadlock_IsRunAgain()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.MariaDb));
        long[] pools = [await node.OpenPoolAsync(units: 1, apply: false), await node.OpenPoolAsync(units: 1, apply: false)];
        using var both = new Barrier(2);
        var runs = 0;
        await Task.WhenAll(Crosswise(pools[0], pools[1]), Crosswise(pools[1], pools[0]));

        Assert.Equal(3, runs);
        Assert.Equal([3, 3], (await Task.WhenAll(pools.Select(node.Pools.FindAsync))).Select(pool => pool!.CapacityUnits));

        Task Crosswise(long one, long other) => Task.Run(() => node.Database.WriteAsync(async transaction =>
        {
            await AddUnitAsync(one);
            if (Interlocked.Increment(ref runs) <= 2)
            {
                both.SignalAndWait(TimeSpan.FromSeconds(20));
            }

            await AddUnitAsync(other);

            Task AddUnitAsync(long pool) => transaction.Connection!.ExecuteAsync("UPDATE pools SET capacity_units = capacity_units + 1 WHERE id = @pool", new { pool }, transaction);
        }));
    }

    // The connection dies under the commit. Whether it was done nobody can say: only what finds its first run may run again.
    [Theory]
    [InlineData(LostCommit.Report, false)]
    [InlineData(LostCommit.Report, true)]
    [InlineData(LostCommit.RunAgain, false)]
    public async Task Write_WhoseCommitGotLost_IsRunAgainOnlyWhereThatWasAllowed(LostCommit whenLost, bool wasDone)
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.MariaDb));
        var runs = 0;
        var writing = node.Database.WriteAsync(
            async transaction =>
            {
                await AddRowAsync(transaction, 1);
                if (++runs == 1)
                {
                    await LoseAsync((MySqlConnection)transaction.Connection!, wasDone);
                }
            },
            whenLost);
        if (whenLost == LostCommit.Report)
        {
            Assert.Equal("sql", (await Assert.ThrowsAsync<DependencyUnavailableException>(() => writing)).Dependency);
        }
        else
        {
            await writing;
        }

        Assert.Equal(whenLost == LostCommit.Report ? 1 : 2, runs);
        Assert.Equal(wasDone || whenLost == LostCommit.RunAgain ? 1 : 0, await CountAsync(node, "pool_adjustments"));
    }

    // Nobody asked for a while, and the server closed the connection (wait_timeout): who comes next gets another one and is told nothing.
    [Fact]
    public async Task Connection_ThatTheServerClosedForItsSilence_HarmsNobody()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.MariaDb));
        var (threads, runs) = (new List<long>(), 0);
        for (var round = 1; round <= 3; round++)
        {
            var thread = await node.Database.ReadAsync(connection => connection.QuerySingleAsync<long>("SET SESSION wait_timeout = 1; SELECT CONNECTION_ID()"));
            await using var server = new MySqlConnection((await engines.MariaDbAsync()).Connection("mysql"));
            await Servers.Eventually.TrueAsync(
                async () => await server.QuerySingleAsync<long>("SELECT COUNT(*) FROM information_schema.processlist WHERE id = @thread", new { thread }) == 0, "the server closes it");
            threads.Add(thread);

            // Once the first to come writes, once it reads.
            if (round != 2)
            {
                await node.Database.WriteAsync(async transaction =>
                {
                    runs++;
                    await AddRowAsync(transaction, round);
                });
            }

            Assert.Equal((round + 1) / 2, await CountAsync(node, "pool_adjustments"));
        }

        Assert.Equal((3, 2), (threads.Distinct().Count(), runs));
    }

    [Fact]
    public async Task Write_WhoseLockIsNotHadInTime_IsRunAgain()
    {
        var engine = await engines.OpenAsync(Engine.MariaDb);
        using var node = new PoolNode(engine with { Sql = new SqlOptions { Connection = engine.Sql.Connection, LockWaitMax = TimeSpan.FromSeconds(1), ConnectTimeMax = TimeSpan.FromSeconds(30) } });
        var pool = await node.OpenPoolAsync(units: 1, apply: false);
        await using var other = new MySqlConnection(engine.Sql.Connection);
        await other.OpenAsync();
        await using var holding = await other.BeginTransactionAsync();
        await other.ExecuteAsync("SELECT id FROM pools FOR UPDATE", transaction: holding);
        var seen = new List<int>();
        await node.Database.WriteAsync(async transaction =>
        {
            try
            {
                await transaction.Connection!.ExecuteAsync("UPDATE pools SET capacity_units = capacity_units + 1", transaction: transaction);
            }
            catch (MySqlException e)
            {
                seen.Add(e.Number);
                await holding.RollbackAsync();
                throw;
            }
        });

        Assert.Equal([1205], seen);
        Assert.Equal(2, (await node.Pools.FindAsync(pool))!.CapacityUnits);
    }

    // Before the commit nothing is kept, so nobody need be asked.
    [Fact]
    public async Task Write_WhoseConnectionDiesBeforeTheCommit_IsRunAgain()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.MariaDb));
        var seen = new List<int>();
        await node.Database.WriteAsync(async transaction =>
        {
            await AddRowAsync(transaction, 1);
            if (seen.Count == 0)
            {
                await LoseAsync((MySqlConnection)transaction.Connection!, wasDone: false);
                try
                {
                    await AddRowAsync(transaction, 2);
                }
                catch (MySqlException e)
                {
                    seen.Add(e.Number);
                    throw;
                }
            }
        });

        Assert.Contains(Assert.Single(seen), new[] { 0, 1927, 2013 });
        Assert.Equal(1, await CountAsync(node, "pool_adjustments"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Once_WhoseCommitGotLost_HasOneEffect(bool wasDone)
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.MariaDb));
        var runs = 0;
        var idempotency = new Idempotency(node.Database, TimeProvider.System);
        var answer = await idempotency.OnceAsync("a-key-of-a-lost-commit", "POST /x", "x", async transaction =>
        {
            var id = await AddRowAsync(transaction, ++runs);
            if (runs == 1)
            {
                // As the end of the transaction would do it.
                await transaction.Connection!.ExecuteAsync("INSERT INTO idempotency VALUES ('POST /x', 'a-key-of-a-lost-commit', SHA2('x', 256), 1, 1)", transaction: transaction);
                await LoseAsync((MySqlConnection)transaction.Connection!, wasDone);
            }

            return id;
        });

        Assert.Equal((wasDone ? 1 : 2, !wasDone), answer);
        Assert.Equal(1, await CountAsync(node, "pool_adjustments"));
    }

    [Fact]
    public async Task Migrations_OfTwoNodesAtOnce_RunOnce()
    {
        var sql = (await engines.OpenAsync(Engine.MariaDb)).Sql;
        using var folder = new TempFolder();
        await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => Task.Run(() =>
        {
            using var database = new Database(sql, folder.Path);
            Migrations.Run(database, typeof(Database).Assembly, typeof(Modules.ModuleList).Assembly);
        })));

        await using var connection = new MySqlConnection(sql.Connection);
        var versions = (await connection.QueryAsync<long>("SELECT Version FROM VersionInfo")).ToList();
        Assert.Equal(versions.Distinct().Count(), versions.Count);
        Assert.Empty(await connection.QueryAsync<string>(
            "SELECT CONCAT(table_name, '.', column_name) FROM information_schema.columns WHERE table_schema = DATABASE() AND collation_name <> 'utf8mb4_bin'"));
    }

    [Fact]
    public async Task Server_ThatDoesNotFlushItsCommits_IsRefused()
    {
        await using var server = await Servers.MariaDbServer.StartAsync();
        var connection = await server.NewDatabaseAsync();
        await server.KillAsync();
        await server.BeginAsync("--innodb-flush-log-at-trx-commit=2");
        using var folder = new TempFolder();
        using (var database = new Database(new SqlOptions { Connection = connection }, folder.Path))
        {
            var refusal = Assert.Throws<DependencyUnavailableException>(() => Migrations.Run(database));
            Assert.Contains("innodb_flush_log_at_trx_commit = 2", refusal.Message, StringComparison.Ordinal);
            Assert.DoesNotContain(Servers.MariaDbServer.Password, refusal.ToString(), StringComparison.Ordinal);
        }

        using var trial = new Database(new SqlOptions { Connection = connection, AcceptWeakDurability = true }, folder.Path);
        Migrations.Run(trial, typeof(Database).Assembly);
        Assert.StartsWith("MariaDB 1", trial.Describe, StringComparison.Ordinal);
    }

    // Ends the transaction's connection: after a commit of its own, or without.
    private static async Task LoseAsync(MySqlConnection connection, bool wasDone)
    {
        if (wasDone)
        {
            await connection.ExecuteAsync("COMMIT");
        }

        var thread = connection.ServerThread;
        await using var other = new MySqlConnection(new MySqlConnectionStringBuilder(connection.ConnectionString) { Password = Servers.MariaDbServer.Password, Pooling = false }.ConnectionString);
        await other.ExecuteAsync(string.Create(CultureInfo.InvariantCulture, $"KILL {thread}"));
        await Servers.Eventually.TrueAsync(
            async () => await other.QuerySingleAsync<long>("SELECT COUNT(*) FROM information_schema.processlist WHERE id = @thread", new { thread }) == 0, "the connection is gone");
    }

    private static async Task<long> AddRowAsync(System.Data.Common.DbTransaction transaction, long id)
    {
        await transaction.Connection!.ExecuteAsync("INSERT INTO pool_adjustments (id, pool_id, units, created_at) VALUES (@id, 1, 1, 1)", new { id }, transaction);
        return id;
    }

    private static async Task<IEnumerable<int>> InsertAsync(PoolNode node, int[] ids) =>
        (await node.Database.WriteAsync(transaction => new BatchInsert("pool_adjustments", "id", "pool_id", "units", "created_at").RunAsync(
            transaction, ids.Length, (row, column) => column == 0 ? (long)ids[row] : 1L))).Select(id => (int)id).Order();

    private static Task<long> CountAsync(PoolNode node, string table) => node.Database.ReadAsync(connection => connection.QuerySingleAsync<long>($"SELECT COUNT(*) FROM {table}"));
}

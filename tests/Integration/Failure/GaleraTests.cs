using Dapper;
using MySqlConnector;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>What a Galera cluster says that a single server never says, on a real one: what is run again, what is refused, and who is asked.</summary>
public sealed class GaleraTests(GaleraCluster cluster) : IClassFixture<GaleraCluster>
{
    [Fact]
    public async Task Write_AtANodeThatBecomesReadOnly_IsRunAgainAndRefusedIfItStays()
    {
        var node = cluster.Nodes[2];
        using var database = await OpenAsync(node);
        await using var owner = GaleraCluster.OperatorOf(node);
        var seen = new List<int>();
        await database.WriteAsync(async transaction =>
        {
            await owner.ExecuteAsync($"SET GLOBAL read_only = {(seen.Count == 0 ? 1 : 0)}");
            await NotingAsync(seen, () => AddAsync(transaction));
        });
        Assert.Equal([1290], seen);
        Assert.Equal(1, await CountAsync(database));

        await owner.ExecuteAsync("SET GLOBAL read_only = 1");
        Assert.Equal((503, "not writable: read_only is ON\n"), await GaleraCluster.CheckAsync(node));
        var refused = await Assert.ThrowsAsync<DependencyUnavailableException>(() => database.WriteAsync(AddAsync));
        await owner.ExecuteAsync("SET GLOBAL read_only = 0");
        Assert.Equal(1290, Assert.IsType<MySqlException>(refused.InnerException).Number);
        Assert.Equal(1, await CountAsync(database));
        Assert.Equal((200, "writable\n"), await GaleraCluster.CheckAsync(node));
    }

    // Cut off from the others it refuses everything, and its check says so although it is alive.
    [Fact]
    public async Task Write_AtANodeThatIsCutOff_IsRefusedUntilItIsBack()
    {
        var node = cluster.Nodes[2];
        using var database = await OpenAsync(node);
        await using var owner = GaleraCluster.OperatorOf(node);
        await owner.OpenAsync();
        await owner.ExecuteAsync("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'");
        await GaleraCluster.WhenStatusIsAsync(node, "wsrep_cluster_status", "non-Primary");
        var write = await Assert.ThrowsAsync<DependencyUnavailableException>(() => database.WriteAsync(AddAsync));
        var read = await Assert.ThrowsAsync<DependencyUnavailableException>(() => CountAsync(database));
        var check = await GaleraCluster.CheckAsync(node);
        await owner.ExecuteAsync("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'");
        await GaleraCluster.WhenSyncedAsync(node);

        Assert.Equal(1047, Assert.IsType<MySqlException>(write.InnerException).Number);
        Assert.Equal(1047, Assert.IsType<MySqlException>(read.InnerException).Number);
        Assert.Equal((503, "not writable: wsrep_cluster_status is non-Primary\n"), check);
        await database.WriteAsync(AddAsync);
        Assert.Equal(1, await CountAsync(database));
    }

    // Each node finds a lock free that the other one holds; the commit finds out.
    [Fact]
    public async Task Write_ThatAnotherNodeWasFasterWith_IsRunAgainWhenItsCommitFails()
    {
        var connection = await cluster.NewDatabaseAsync();
        using var here = Open(GaleraCluster.At(cluster.Nodes[0], connection));
        using var there = Open(GaleraCluster.At(cluster.Nodes[1], connection));
        await MakeAsync(here);
        await here.WriteAsync(AddAsync);

        // The driver's own word for it, once without us.
        await using var bare = new MySqlConnection(GaleraCluster.At(cluster.Nodes[0], connection));
        await bare.OpenAsync();
        await using (var transaction = await bare.BeginTransactionAsync())
        {
            await bare.ExecuteAsync("UPDATE notes SET count = count + 1", transaction: transaction);
            await IncrementAsync(there);
            Assert.Equal(1213, (await Assert.ThrowsAsync<MySqlException>(() => transaction.CommitAsync())).Number);
        }

        var runs = 0;
        await here.WriteAsync(async transaction =>
        {
            await transaction.Connection!.ExecuteAsync("UPDATE notes SET count = count + 1", transaction: transaction);
            if (++runs == 1)
            {
                await IncrementAsync(there);
            }
        });

        Assert.Equal(2, runs);
        Assert.Equal(3, await here.ReadAsync(read => read.QuerySingleAsync<long>("SELECT SUM(count) FROM notes")));
    }

    // What was committed at one node is seen at the next one at once, even if that has not done it yet: after a failover nobody reads the past.
    [Fact]
    public async Task Read_AtAnyNode_SeesWhatWasCommittedAtAnother()
    {
        var connection = await cluster.NewDatabaseAsync();
        using var here = Open(GaleraCluster.At(cluster.Nodes[0], connection));
        using var there = Open(GaleraCluster.At(cluster.Nodes[1], connection));
        await MakeAsync(here);
        for (var rows = 1; rows <= 200; rows++)
        {
            await here.WriteAsync(AddAsync);
            Assert.Equal(rows, await CountAsync(there));
        }
    }

    [Fact]
    public async Task Readers_ThatAreNodesOfTheCluster_SeeEveryCommitAndAreLeftAloneWhileOneIsBehind()
    {
        var connection = await cluster.NewDatabaseAsync();
        using var folder = new TempFolder();
        using var database = new Database(
            new SqlOptions { Connection = connection, Readers = [GaleraCluster.At(cluster.Nodes[1], connection), GaleraCluster.At(cluster.Nodes[2], connection)], ReaderLagMax = TimeSpan.FromSeconds(1) }, folder.Path);
        await MakeAsync(database);
        for (var rows = 1; rows <= 100; rows++)
        {
            await database.WriteAsync(AddAsync);
            Assert.Equal(rows, await CountAsync(database, ReadFrom.Reader));
        }

        Assert.InRange(database.AnsweredByReaders, 50, 100);

        // A lock that a user holds stops what the node has to do.
        await using var owner = GaleraCluster.OperatorOf(cluster.Nodes[1]);
        await owner.OpenAsync();
        await owner.ExecuteAsync($"LOCK TABLES `{new MySqlConnectionStringBuilder(connection).Database}`.notes READ");
        for (var rows = 101; rows <= 120; rows++)
        {
            await database.WriteAsync(AddAsync);
            Assert.Equal(rows, await CountAsync(database, ReadFrom.Reader));
        }

        await owner.ExecuteAsync("UNLOCK TABLES");
    }

    private static async Task NotingAsync(List<int> seen, Func<Task> work)
    {
        try
        {
            await work();
        }
        catch (MySqlException e)
        {
            seen.Add(e.Number);
            throw;
        }
    }

    private static Database Open(string connection) => new(new SqlOptions { Connection = connection, ConnectTimeMax = TimeSpan.FromSeconds(5) }, Path.GetTempPath());

    private static Task<int> MakeAsync(Database database) => database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync(
        "CREATE TABLE notes (id BIGINT AUTO_INCREMENT PRIMARY KEY, count INT NOT NULL DEFAULT 0)", transaction: transaction));

    private static Task<int> AddAsync(System.Data.Common.DbTransaction transaction) => transaction.Connection!.ExecuteAsync("INSERT INTO notes (count) VALUES (0)", transaction: transaction);

    private static Task<int> IncrementAsync(Database database) => database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync("UPDATE notes SET count = count + 1", transaction: transaction));

    private static Task<long> CountAsync(Database database, ReadFrom from = ReadFrom.Writer) => database.ReadAsync(connection => connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM notes"), from);

    private async Task<Database> OpenAsync(GaleraNode node)
    {
        var connection = GaleraCluster.At(node, await cluster.NewDatabaseAsync());

        // It was made at another node, and comes to this one a moment later.
        await Servers.Eventually.TrueAsync(
            async () =>
            {
                try
                {
                    await using var probe = new MySqlConnection(connection);
                    await probe.OpenAsync();
                    return true;
                }
                catch (MySqlException e) when (e.ErrorCode == MySqlErrorCode.UnknownDatabase)
                {
                    return false;
                }
            },
            "the database is at the node");
        var database = Open(connection);
        await MakeAsync(database);
        return database;
    }
}

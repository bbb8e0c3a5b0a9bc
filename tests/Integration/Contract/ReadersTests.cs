using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Reads that go to a replica, a real one: they show everything that was committed before they were asked, whatever the replica does.</summary>
public sealed class ReadersTests(ReplicatedMariaDb servers) : IClassFixture<ReplicatedMariaDb>
{
    [Fact]
    public async Task Read_AtAReader_SeesEveryCommitThatWasAnsweredBefore()
    {
        using var database = await OpenAsync();
        await WhenReadersAnswerAsync(database);
        var before = database.AnsweredByReaders;
        await Task.WhenAll(Enumerable.Range(0, 4).Select(async user =>
        {
            // On, until enough of it was seen at the reader: a busy machine sends much of it to the writer.
            for (var rows = 1; rows <= 100 || (database.AnsweredByReaders < before + 100 && rows <= 2_000); rows++)
            {
                await WriteAsync(database, user);
                Assert.Equal(rows, await CountAsync(database, user));
            }
        }));

        Assert.True(database.AnsweredByReaders >= before + 100, $"Only {database.AnsweredByReaders - before} answers of the reader.");
    }

    [Fact]
    public async Task Read_WhoseReaderStandsStill_SeesTheOwnWriteAtTheWriter()
    {
        using var database = await OpenAsync();
        await WhenReadersAnswerAsync(database);
        await servers.Replica.DoAsync("STOP SLAVE SQL_THREAD");
        try
        {
            var before = database.AnsweredByReaders;
            for (var rows = 1; rows <= 5; rows++)
            {
                await WriteAsync(database, 1);
                Assert.Equal(rows, await CountAsync(database, 1));
            }

            Assert.Equal(before, database.AnsweredByReaders);
        }
        finally
        {
            await servers.Replica.DoAsync("START SLAVE");
        }

        await WhenReadersAnswerAsync(database);
        Assert.Equal(5, await CountAsync(database, 1));
    }

    [Fact]
    public async Task Read_WhoseReaderDied_IsAnsweredByTheWriterUntilItIsBack()
    {
        using var database = await OpenAsync();
        await WriteAsync(database, 1);
        await WhenReadersAnswerAsync(database);
        await servers.Replica.KillAsync();
        for (var i = 0; i < 20; i++)
        {
            Assert.Equal(1, await CountAsync(database, 1));
        }

        await servers.Replica.BeginAsync();
        await WriteAsync(database, 1);
        await WhenReadersAnswerAsync(database);
        Assert.Equal(2, await CountAsync(database, 1));
    }

    [Fact]
    public async Task Read_InTheMiddleOfWhichTheReaderDies_IsRunAgainAtTheWriter()
    {
        using var database = await OpenAsync();
        await WhenReadersAnswerAsync(database);
        var runs = 0;
        var seen = await database.ReadAsync(
            async connection =>
            {
                if (++runs == 1)
                {
                    await servers.Replica.KillAsync();
                }

                return await connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM notes");
            },
            ReadFrom.Reader);
        await servers.Replica.BeginAsync();

        Assert.Equal((2, 0), (runs, seen));
    }

    // The reader is not there; whoever it served would now fall upon the writer.
    [Fact]
    public async Task Reads_WithoutAReader_ComeToTheWriterAFewAtATime()
    {
        using var database = await OpenAsync(missesMax: 2);
        await servers.Replica.DoAsync("STOP SLAVE SQL_THREAD");
        await WriteAsync(database, 1);
        await CountAsync(database, 1);
        var (now, most) = (0, 0);
        var full = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var reads = Enumerable.Range(0, 40).Select(_ => database.ReadAsync(
            async connection =>
            {
                most = Math.Max(most, Interlocked.Increment(ref now));
                await full.Task;
                Interlocked.Decrement(ref now);
                return await connection.QuerySingleAsync<long>("SELECT 1");
            },
            ReadFrom.Reader)).ToList();
        await Eventually.TrueAsync(() => Task.FromResult(now == 2 && reads.Count(read => read.IsFaulted) == 40 - 2 - 16), "those that find no place are told so at once");
        full.SetResult();
        var refused = await Task.WhenAll(reads.Select(async read => await Record.ExceptionAsync(() => read)));
        await servers.Replica.DoAsync("START SLAVE");

        Assert.Equal(2, most);
        Assert.Equal(18, refused.Count(e => e is null));
        Assert.All(refused.OfType<Exception>(), e => Assert.IsType<DependencyUnavailableException>(e));
    }

    [Fact]
    public async Task Reader_ThatReplicatesFromNobody_IsNeverAsked()
    {
        using var folder = new TempFolder();
        var connection = await servers.Primary.NewDatabaseAsync();
        using var database = new Database(Options(connection, connection), folder.Path);
        await MakeAsync(database);
        await WriteAsync(database, 1);

        Assert.Equal(1, await CountAsync(database, 1));
        Assert.Equal(0, database.AnsweredByReaders);
    }

    private static SqlOptions Options(string connection, string reader, int missesMax = 16) =>
        new() { Connection = connection, Readers = [reader], ReaderMissesMax = missesMax, ReaderLagMax = TimeSpan.FromSeconds(1), ConnectTimeMax = TimeSpan.FromSeconds(10) };

    private static async Task MakeAsync(Database database) => await database.WriteAsync(
        transaction => transaction.Connection!.ExecuteAsync("CREATE TABLE notes (id BIGINT AUTO_INCREMENT PRIMARY KEY, user_id INT NOT NULL)", transaction: transaction));

    private static Task<int> WriteAsync(Database database, int user) => database.WriteAsync(
        transaction => transaction.Connection!.ExecuteAsync("INSERT INTO notes (user_id) VALUES (@user)", new { user }, transaction));

    private static Task<long> CountAsync(Database database, int user) => database.ReadAsync(
        connection => connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM notes WHERE user_id = @user", new { user }), ReadFrom.Reader);

    private static async Task WhenReadersAnswerAsync(Database database)
    {
        var before = database.AnsweredByReaders;
        await Eventually.TrueAsync(
            async () =>
            {
                await CountAsync(database, 1);
                return database.AnsweredByReaders > before;
            },
            "a reader answers");
    }

    private async Task<Database> OpenAsync(int missesMax = 16)
    {
        var connection = await servers.Primary.NewDatabaseAsync();
        var database = new Database(Options(connection, servers.Replica.SameAs(connection), missesMax), Path.GetTempPath());
        await MakeAsync(database);
        return database;
    }
}

/// <summary>A primary and its replica.</summary>
public sealed class ReplicatedMariaDb : IAsyncLifetime
{
    private MariaDbServer? primary, replica;

    public MariaDbServer Primary => primary!;

    public MariaDbServer Replica => replica!;

    public async ValueTask InitializeAsync()
    {
        primary = await MariaDbServer.StartAsync();
        replica = await MariaDbServer.StartReplicaAsync(primary);
    }

    public async ValueTask DisposeAsync()
    {
        await (replica?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (primary?.DisposeAsync() ?? ValueTask.CompletedTask);
    }
}

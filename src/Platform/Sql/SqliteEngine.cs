using System.Data;
using System.Data.Common;
using FluentMigrator.Runner;
using Microsoft.Data.Sqlite;

namespace Sluice.Platform.Sql;

/// <summary>SQLite in this process. A commit that returned is on the disk (WAL, synchronous=FULL): it survives the process and a power cut.</summary>
/// <remarks>It has one writer. Waiting for it in a queue of ours is fair and quick; waiting inside SQLite is a sleep-and-retry loop.</remarks>
internal sealed class SqliteEngine : ISqlEngine
{
    // Users come in no order, so rows that are indexed by user touch pages all over the index: a large cache and rare checkpoints let a page be written once for many rows.
    private const string WriterPragmas = "PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-65536; PRAGMA wal_autocheckpoint=10000;";

    private readonly string file, connectionString;

    public SqliteEngine(SqlOptions options, string dataFolder)
    {
        Directory.CreateDirectory(dataFolder);
        file = Path.Combine(dataFolder, "sluice.db");
        connectionString = new SqliteConnectionStringBuilder { DataSource = file, Pooling = true, DefaultTimeout = (int)options.LockWaitMax.TotalSeconds }.ToString();
    }

    public string Describe => $"SQLite {SqliteVersion} at {file}";

    public int WritersMax => 1;

    public string TableQuery => "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = @table";

    private static string SqliteVersion => SQLitePCL.raw.sqlite3_libversion().utf8_to_string();

    public async Task<DbConnection> OpenAsync(bool writes)
    {
        var connection = new SqliteConnection(connectionString);
        try
        {
            await connection.OpenAsync();
            if (writes)
            {
                await using var command = connection.CreateCommand();
                command.CommandText = WriterPragmas;
                await command.ExecuteNonQueryAsync();
            }

            return connection;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    public Task<DbTransaction> BeginAsync(DbConnection connection, bool writes) =>
        Task.FromResult<DbTransaction>(((SqliteConnection)connection).BeginTransaction(IsolationLevel.Serializable, deferred: !writes));

    // BUSY and LOCKED came after LockWaitMax; NOMEM, READONLY, IOERR, FULL, CANTOPEN: the engine is not well. Nothing of it is gone a moment later, so nothing is tried again here.
    public SqlFailure FailureOf(Exception e) => e switch
    {
        SqliteException { SqliteErrorCode: 5 or 6 or 7 or 8 or 10 or 13 or 14 } => SqlFailure.Stuck,
        _ => SqlFailure.None,
    };

    public string Says(Exception e) => e is SqliteException sqlite
        ? sqlite.SqliteErrorCode switch
        {
            5 or 6 => "the database is locked by another process.",
            13 => "the disk is full.",
            _ => e.Message,
        }
        : e.Message;

    public void Prepare()
    {
        using var connection = new SqliteConnection(connectionString);
        connection.Open();
        using var wal = connection.CreateCommand();
        wal.CommandText = "PRAGMA journal_mode=WAL";
        wal.ExecuteNonQuery();
    }

    // A file lock: the operating system takes it back from a process that died.
    public IDisposable TakeMigrationTurn()
    {
        for (var tries = 0; ; tries++)
        {
            try
            {
                return new FileStream(file + ".migrate", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (tries < 200)
            {
                new ManualResetEventSlim().Wait(50);
            }
        }
    }

    public void AddRunner(IMigrationRunnerBuilder runner) => runner.AddSQLite().WithGlobalConnectionString(connectionString);

    public void Finish()
    {
    }

    public void Dispose() => SqliteConnection.ClearAllPools();
}

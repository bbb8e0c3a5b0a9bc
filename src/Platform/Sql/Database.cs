using System.Data;
using System.Data.Common;
using Microsoft.Data.Sqlite;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>
/// The one door to SQL. Everything that differs between database engines is in this folder; modules write plain statements.
/// A commit that returned is on the disk (WAL, synchronous=FULL): it survives the process and a power cut.
/// </summary>
/// <remarks>SQLite has one writer. Waiting for it in a queue of ours is fair and quick; waiting inside SQLite is a sleep-and-retry loop.</remarks>
public sealed class Database : IDisposable
{
    // Users come in no order, so rows that are indexed by user touch pages all over the index: a large cache and rare checkpoints let a page be written once for many rows.
    private const string WriterPragmas = "PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-65536; PRAGMA wal_autocheckpoint=10000;";

    private readonly SemaphoreSlim writer = new(1, 1);
    private readonly string connectionString;
    private readonly int writersWaitingMax;
    private int writersWaiting;

    public Database(SqlOptions options, string dataFolder)
    {
        Directory.CreateDirectory(dataFolder);
        File = Path.Combine(dataFolder, "sluice.db");
        writersWaitingMax = options.WritersWaitingMax;
        connectionString = new SqliteConnectionStringBuilder
        {
            DataSource = File,
            Pooling = true,
            DefaultTimeout = (int)options.LockWaitMax.TotalSeconds,
        }.ToString();
    }

    /// <summary>The database file.</summary>
    public string File { get; }

    internal string ConnectionString => connectionString;

    /// <summary>Runs a unit of work on the writer, in one transaction that commits when <paramref name="work"/> returns and rolls back when it throws.</summary>
    /// <exception cref="DependencyUnavailableException">Locked, full or broken. Nothing was changed, unless it is the commit itself that failed: look the key up.</exception>
    public async Task<T> WriteAsync<T>(Func<DbTransaction, Task<T>> work, CancellationToken cancel = default)
    {
        if (Interlocked.Increment(ref writersWaiting) > writersWaitingMax)
        {
            Interlocked.Decrement(ref writersWaiting);
            throw new DependencyUnavailableException("sql", $"more than {writersWaitingMax} requests wait for the writer.");
        }

        try
        {
            await writer.WaitAsync(cancel);
        }
        finally
        {
            Interlocked.Decrement(ref writersWaiting);
        }

        try
        {
            await using var connection = await OpenAsync(WriterPragmas);
            await using var transaction = connection.BeginTransaction(deferred: false);
            var result = await work(transaction);
            await transaction.CommitAsync(CancellationToken.None);
            return result;
        }
        catch (SqliteException e) when (IsUnavailable(e))
        {
            throw Unavailable(e);
        }
        finally
        {
            writer.Release();
        }
    }

    /// <inheritdoc cref="WriteAsync{T}"/>
    public Task WriteAsync(Func<DbTransaction, Task> work, CancellationToken cancel = default) => WriteAsync(
        async transaction =>
        {
            await work(transaction);
            return true;
        },
        cancel);

    /// <summary>Runs a query on one snapshot; never waits for the writer.</summary>
    /// <exception cref="DependencyUnavailableException">The database cannot be read now.</exception>
    public async Task<T> ReadAsync<T>(Func<DbConnection, Task<T>> query)
    {
        try
        {
            await using var connection = await OpenAsync(pragmas: null);
            await using var snapshot = connection.BeginTransaction(IsolationLevel.Serializable, deferred: true);
            return await query(connection);
        }
        catch (SqliteException e) when (IsUnavailable(e))
        {
            throw Unavailable(e);
        }
    }

    /// <summary>True when the same row exists already: a retry or a race, decided by a unique key.</summary>
    public static bool IsDuplicate(Exception e) => e is SqliteException { SqliteErrorCode: 19, SqliteExtendedErrorCode: 1555 or 2067 };

    public void Dispose()
    {
        SqliteConnection.ClearAllPools();
        writer.Dispose();
    }

    private async Task<SqliteConnection> OpenAsync(string? pragmas)
    {
        var connection = new SqliteConnection(connectionString);
        try
        {
            await connection.OpenAsync();
            if (pragmas is not null)
            {
                await using var command = connection.CreateCommand();
                command.CommandText = pragmas;
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

    // BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN: the engine is not well. Everything else is our statement's fault.
    private static bool IsUnavailable(SqliteException e) => e.SqliteErrorCode is 5 or 6 or 7 or 8 or 10 or 13 or 14;

    private static DependencyUnavailableException Unavailable(SqliteException e) => new(
        "sql",
        e.SqliteErrorCode switch
        {
            5 or 6 => "the database is locked by another process.",
            13 => "the disk is full.",
            _ => e.Message,
        },
        e);
}

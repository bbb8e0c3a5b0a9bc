using System.Data.Common;
using System.Diagnostics;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>What to do when the answer to a commit got lost: the transaction may have been done, or not.</summary>
public enum LostCommit
{
    /// <summary>The caller is told <see cref="DependencyUnavailableException"/> and asks again with the same key.</summary>
    Report,

    /// <summary>Runs the work again. Only for work that finds out, by a key or a guard, what it has done already; each such call says how.</summary>
    RunAgain,
}

/// <summary>
/// The one door to SQL. Everything that differs between database engines is in this folder; modules write plain statements.
/// A commit that returned is on the disk: it survives the process and a power cut.
/// </summary>
/// <remarks>
/// Work may run more than once, each time in a transaction of its own, of which at most one is committed: an engine takes a transaction back (a deadlock), or goes away before the commit.
/// So it changes nothing but SQL, and nothing that it must not change twice.
/// </remarks>
public sealed class Database : IDisposable
{
    private const int TriesMax = 4;

    // Longer than a lock is waited for, so that one lost wait is tried once more; shorter than a caller's patience.
    private static readonly TimeSpan TryTimeMax = TimeSpan.FromSeconds(3), PauseMin = TimeSpan.FromMilliseconds(5), RestTime = TimeSpan.FromSeconds(1);

    private readonly ISqlEngine engine;
    private readonly string name;
    private readonly bool rests;
    private readonly Readers? readers;
    private readonly Turns writers;

    // 0: it answers. Otherwise the tick (ms) from which one caller may ask again.
    private long restsUntil;

    /// <param name="name">What an operator is told that is away.</param>
    /// <param name="rests">
    /// When it does not answer, it is left alone for a second, and then one caller tries: the others are told at once. For a database that is one of several, so that those who wait for it do not take up what others of the node need.
    /// </param>
    public Database(SqlOptions options, string dataFolder, string name = "sql", bool rests = false)
    {
        (this.name, this.rests) = (name, rests);
        if (options.Connection.Equals(SqlOptions.Embedded, StringComparison.OrdinalIgnoreCase))
        {
            engine = options.Readers.Count == 0 ? new SqliteEngine(options, dataFolder) : throw new DependencyUnavailableException("sql", "Sql:Readers are of a server: name the writer in Sql:Connection.");
        }
        else
        {
            var server = new MySqlEngine(options, options.Connection);
            engine = server;
            readers = options.Readers.Count == 0 ? null : new Readers(options, server, () => ReadAtWriterAsync(MySqlEngine.PositionAsync));
        }

        writers = new Turns(engine.WritersMax, options.WritersWaitingMax, "to write");
    }

    /// <summary>The engine, its version and its place, for people. Never a password.</summary>
    public string Describe => engine.Describe;

    internal ISqlEngine Engine => engine;

    /// <summary>For a test: how many queries were answered by a reader, not by the writer.</summary>
    internal long AnsweredByReaders => readers?.Answered ?? 0;

    /// <summary>For a test that listens to what a connection is asked.</summary>
    internal Action<DbConnection>? Opened { get; set; }

    /// <summary>Runs a unit of work in one transaction that commits when <paramref name="work"/> returns and rolls back when it throws.</summary>
    /// <exception cref="DependencyUnavailableException">Locked, full, broken or away. Nothing was changed, unless it is the commit itself that failed: look the key up.</exception>
    public async Task<T> WriteAsync<T>(Func<DbTransaction, Task<T>> work, LostCommit whenLost = LostCommit.Report, CancellationToken cancel = default)
    {
        DemandAwake();
        await writers.TakeAsync(cancel);
        try
        {
            var started = Stopwatch.GetTimestamp();
            for (var tries = 1; ; tries++)
            {
                var committing = false;
                try
                {
                    await using var connection = await OpenAsync(writes: true);
                    await using var transaction = await engine.BeginAsync(connection, writes: true);
                    var result = await work(transaction);
                    committing = true;
                    await transaction.CommitAsync(CancellationToken.None);
                    Wake();
                    return result;
                }
                catch (Exception e) when (engine.FailureOf(e) is var failure and not SqlFailure.None)
                {
                    var mayRunAgain = failure switch
                    {
                        SqlFailure.TakenBack => true,
                        SqlFailure.Away => !committing || whenLost == LostCommit.RunAgain,

                        // Somebody was faster between our look and our write. The second look sees it; what fails then is a fault of the statement.
                        SqlFailure.Duplicate => tries == 1 && !committing,
                        SqlFailure.Stuck or SqlFailure.None => false,
                    };
                    if (!mayRunAgain || tries == TriesMax || Stopwatch.GetElapsedTime(started) > TryTimeMax)
                    {
                        if (failure == SqlFailure.Duplicate)
                        {
                            throw;
                        }

                        Rest(failure);
                        throw new DependencyUnavailableException(name, engine.Says(e), e);
                    }
                }

                // Half of it chance, so that two who met do not meet again: 5–10, 20–40, 80–160 ms.
                await Task.Delay(PauseMin * (1 << (2 * (tries - 1))) * (1 + Random.Shared.NextDouble()), TimeProvider.System, cancel);
            }
        }
        finally
        {
            writers.Release();
        }
    }

    /// <inheritdoc cref="WriteAsync{T}"/>
    public Task WriteAsync(Func<DbTransaction, Task> work, LostCommit whenLost = LostCommit.Report, CancellationToken cancel = default) => WriteAsync(
        async transaction =>
        {
            await work(transaction);
            return true;
        },
        whenLost,
        cancel);

    /// <summary>Runs a query on one snapshot; never waits for a writer. At the writer it is never run twice.</summary>
    /// <exception cref="DependencyUnavailableException">The database cannot be read now.</exception>
    public async Task<T> ReadAsync<T>(Func<DbConnection, Task<T>> query, ReadFrom from = ReadFrom.Writer) =>
        from == ReadFrom.Writer || readers is null ? await ReadAtWriterAsync(query)
        : await readers.TryAsync(query) is (true, var answer) ? answer
        : await readers.InsteadAsync(() => ReadAtWriterAsync(query));

    public void Dispose()
    {
        readers?.Dispose();
        engine.Dispose();
        writers.Dispose();
    }

    private async Task<T> ReadAtWriterAsync<T>(Func<DbConnection, Task<T>> query)
    {
        DemandAwake();
        var started = Stopwatch.GetTimestamp();
        for (var tries = 1; ; tries++)
        {
            var wasAsked = false;
            try
            {
                await using var connection = await OpenAsync(writes: false);
                await using var snapshot = await engine.BeginAsync(connection, writes: false);
                wasAsked = true;
                var answer = await query(connection);
                Wake();
                return answer;
            }
            catch (Exception e) when (engine.FailureOf(e) is var failure and not (SqlFailure.None or SqlFailure.Duplicate))
            {
                // A connection may have died while nobody used it; the next one may be well.
                if (wasAsked || failure != SqlFailure.Away || tries == TriesMax || Stopwatch.GetElapsedTime(started) > TryTimeMax)
                {
                    Rest(failure);
                    throw new DependencyUnavailableException(name, engine.Says(e), e);
                }
            }
        }
    }

    private void Rest(SqlFailure failure)
    {
        if (rests && failure == SqlFailure.Away)
        {
            Interlocked.Exchange(ref restsUntil, Environment.TickCount64 + (long)RestTime.TotalMilliseconds);
        }
    }

    private void Wake()
    {
        if (Volatile.Read(ref restsUntil) != 0)
        {
            Interlocked.Exchange(ref restsUntil, 0);
        }
    }

    // Whoever finds the rest over takes the try for itself: it begins anew until that one went well.
    private void DemandAwake()
    {
        var until = Interlocked.Read(ref restsUntil);
        var now = Environment.TickCount64;
        if (until != 0 && (until > now || Interlocked.CompareExchange(ref restsUntil, now + (long)RestTime.TotalMilliseconds, until) != until))
        {
            throw new DependencyUnavailableException(name, "it did not answer a moment ago.");
        }
    }

    private async Task<DbConnection> OpenAsync(bool writes)
    {
        var connection = await engine.OpenAsync(writes);
        Opened?.Invoke(connection);
        return connection;
    }
}

using System.Data;
using System.Data.Common;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>Which server a query reads.</summary>
public enum ReadFrom
{
    /// <summary>The server that is written.</summary>
    Writer,

    /// <summary>
    /// A reader that has everything that was committed when the query was asked, through whichever node: it shows a user what they have just done, as the writer would. Without such a reader, the writer.
    /// The query may run twice, so it changes nothing outside of itself.
    /// </summary>
    Reader,
}

/// <summary>
/// The servers of <see cref="SqlOptions.Readers"/>, each with the whole database, each perhaps behind. A query asks the writer only how far it is, waits until a reader is there too, and reads there.
/// </summary>
/// <remarks>
/// A reader that is away, or does not get there within <see cref="SqlOptions.ReaderLagMax"/>, rests; after a second one query tries it again, and all others pass it by until that one went well.
/// What no reader can answer goes to the writer, a few at a time: readers that fail must not pull down the writer with what they were there to keep from it.
/// </remarks>
internal sealed class Readers : IDisposable
{
    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(1);

    private readonly MySqlEngine writer;
    private readonly Func<Task<string>> position;
    private readonly Reader[] readers;
    private readonly TimeSpan lagMax;
    private readonly Turns atWriter;
    private readonly Lock turn = new();
    private Task<string>? looking, following;
    private uint next;

    /// <param name="position">Asks the writer how far it is.</param>
    public Readers(SqlOptions options, MySqlEngine writer, Func<Task<string>> position)
    {
        (this.writer, this.position) = (writer, position);
        readers = [.. options.Readers.Select(connection => new Reader(new MySqlEngine(options, connection)))];
        lagMax = options.ReaderLagMax;
        atWriter = new Turns(options.ReaderMissesMax, options.ReaderMissesMax * 8, "to read at the writer, because no reader has caught up");
    }

    /// <summary>For a test: how many queries a reader answered.</summary>
    internal long Answered => readers.Sum(reader => Interlocked.Read(ref reader.Answered));

    /// <summary>Runs a query at a reader, or says that there is none for it now.</summary>
    /// <exception cref="DependencyUnavailableException">The writer does not say how far it is.</exception>
    public async Task<(bool Done, T Answer)> TryAsync<T>(Func<DbConnection, Task<T>> query) =>
        Choose() is { } reader ? await TryAsync(reader, writer.GaleraCluster.Length > 0 ? "" : await NewestAsync(), query) : default;

    /// <summary>Runs a query at the writer in the place of a reader, when its turn has come.</summary>
    public async Task<T> InsteadAsync<T>(Func<Task<T>> read)
    {
        await atWriter.TakeAsync(CancellationToken.None);
        try
        {
            return await read();
        }
        finally
        {
            atWriter.Release();
        }
    }

    public void Dispose()
    {
        foreach (var reader in readers)
        {
            reader.Engine.Dispose();
        }

        atWriter.Dispose();
    }

    // Round about, past those that rest. Whoever finds a rest over takes the try for itself: the rest begins anew until it went well.
    private Reader? Choose()
    {
        var now = Environment.TickCount64;
        var first = Interlocked.Increment(ref next);
        for (var i = 0u; i < readers.Length; i++)
        {
            var reader = readers[(first + i) % (uint)readers.Length];
            var until = Interlocked.Read(ref reader.RestsUntil);
            if (until == 0 || (until <= now && Interlocked.CompareExchange(ref reader.RestsUntil, now + (long)Rest.TotalMilliseconds, until) == until))
            {
                return reader;
            }
        }

        return null;
    }

    private async Task<(bool Done, T Answer)> TryAsync<T>(Reader reader, string newest, Func<DbConnection, Task<T>> query)
    {
        using var patience = new CancellationTokenSource(lagMax);
        try
        {
            await using var connection = await reader.Engine.OpenAsync(patience.Token);
            if (await reader.Engine.HasCaughtUpAsync(connection, newest, writer, lagMax, patience.Token))
            {
                await using var snapshot = await connection.BeginTransactionAsync(IsolationLevel.Snapshot, isReadOnly: true, patience.Token);
                var answer = await query(connection);
                Interlocked.Increment(ref reader.Answered);
                Interlocked.Exchange(ref reader.RestsUntil, 0);
                return (true, answer);
            }
        }
        catch (Exception e) when (e is OperationCanceledException || reader.Engine.FailureOf(e) is not (SqlFailure.None or SqlFailure.Duplicate))
        {
            // It is the reader that failed, not the query: the writer may well answer.
        }

        Interlocked.Exchange(ref reader.RestsUntil, Environment.TickCount64 + (long)Rest.TotalMilliseconds);
        return default;
    }

    // How far the writer is, asked after the caller came: a commit that anybody was told of before that is within it. Who comes while one question is on its way shares the next one.
    private Task<string> NewestAsync()
    {
        lock (turn)
        {
            return looking is not { IsCompleted: false } ? looking = position() : following ??= FollowAsync(looking);
        }
    }

    private async Task<string> FollowAsync(Task before)
    {
        await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ForceYielding);
        lock (turn)
        {
            (looking, following) = (following, null);
        }

        return await position();
    }

    private sealed class Reader(MySqlEngine engine)
    {
        /// <summary>0: it works. Otherwise the tick (ms) from which one query may try it again.</summary>
        public long RestsUntil;

        public long Answered;

        public MySqlEngine Engine => engine;
    }
}

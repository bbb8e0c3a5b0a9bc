using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Cache;

/// <summary>One memcached: its connection, opened when it is needed and again when it has failed, at most one try in a second (<see cref="Resting"/>).</summary>
/// <param name="valueBytesMax">No value there is longer.</param>
/// <param name="callTimeMax">How long connecting, and how long a call may take.</param>
internal sealed partial class MemcachedLink(string host, int port, int valueBytesMax, TimeSpan callTimeMax, TimeProvider time, ILogger log) : IAsyncDisposable
{
    // What one call sends at once: far less than may wait, so that a large one does not refuse the others.
    private const int CommandsAtOnceMax = 1_000;

    private readonly Resting resting = new("memcached");
    private readonly Lock stateLock = new();
    private Task<MemcachedConnection>? connecting;
    private bool isAway, isEnded;

    /// <summary>One command. <c>Connection</c> is the id of the connection it went over: no other life of the server has answered over it.</summary>
    /// <exception cref="DependencyUnavailableException">The server is away or slow; whether it did what it was told is unknown.</exception>
    public async Task<(MemcachedAnswer Answer, long Connection)> AskAsync(MemcachedCommand command) => (await GuardAsync([command], onlyOver: null))!.Value is var (answers, connection) ? (answers[0], connection) : default;

    /// <summary>Commands, one after the other, in one round trip for each thousand.</summary>
    /// <inheritdoc cref="AskAsync(MemcachedCommand)"/>
    public async Task<IReadOnlyList<MemcachedAnswer>> AskAsync(IReadOnlyList<MemcachedCommand> commands)
    {
        var answers = new List<MemcachedAnswer>(commands.Count);
        foreach (var some in commands.Chunk(CommandsAtOnceMax))
        {
            answers.AddRange((await GuardAsync(some, onlyOver: null))!.Value.Answers);
        }

        return answers;
    }

    /// <summary>Null when the connection of that id stands no more: then nothing was sent.</summary>
    /// <inheritdoc cref="AskAsync(MemcachedCommand)"/>
    public async Task<IReadOnlyList<MemcachedAnswer>?> AskOverAsync(long connection, params MemcachedCommand[] commands) => (await GuardAsync(commands, connection))?.Answers;

    public async ValueTask DisposeAsync()
    {
        Task<MemcachedConnection>? last;
        lock (stateLock)
        {
            (last, connecting, isEnded) = (connecting, null, true);
        }

        if (last is not null)
        {
            await ((Task)last).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (last.IsCompletedSuccessfully)
            {
                (await last).End("the node stops.");
                await (await last).Ended;
            }
        }
    }

    private Task<(MemcachedAnswer[] Answers, long Connection)?> GuardAsync(MemcachedCommand[] commands, long? onlyOver) => resting.AskAsync(async () =>
    {
        MemcachedConnection? connection = null;
        try
        {
            connection = await ConnectedAsync();
            if (onlyOver is { } id && id != connection.Id)
            {
                return null;
            }

            var answers = await connection.AskAsync(commands).WaitAsync(callTimeMax, time);
            Note(null);
            return ((MemcachedAnswer[], long)?)(answers, connection.Id);
        }
        catch (TimeoutException e)
        {
            // A server that hangs, or a network that swallows: whatever still comes over this connection, nobody waits for it.
            connection?.End("it did not answer in time.");
            Note(e.Message);
            throw new DependencyUnavailableException("memcached", $"{host}:{port} did not answer within {callTimeMax.TotalSeconds:0.###} s.", e);
        }
        catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or InvalidDataException or ObjectDisposedException)
        {
            Note(e.Message);
            throw new DependencyUnavailableException("memcached", $"{host}:{port}: {e.Message}", e);
        }
    });

    private async Task<MemcachedConnection> ConnectedAsync()
    {
        Task<MemcachedConnection> opened;
        lock (stateLock)
        {
            ObjectDisposedException.ThrowIf(isEnded, this);
            if (connecting is null || (connecting.IsCompleted && !(connecting.IsCompletedSuccessfully && connecting.Result.IsUp)))
            {
                connecting = OpenAsync();
            }

            opened = connecting;
        }

        return await opened;
    }

    private async Task<MemcachedConnection> OpenAsync()
    {
        using var tooLong = new CancellationTokenSource(callTimeMax, time);
        return await MemcachedConnection.OpenAsync(host, port, valueBytesMax, tooLong.Token);
    }

    // Says it once, not for every call.
    private void Note(string? failure)
    {
        if (Volatile.Read(ref isAway) == failure is not null || Interlocked.Exchange(ref isAway, failure is not null) == failure is not null)
        {
            return;
        }

        if (failure is null)
        {
            LogBack(log, host, port);
        }
        else
        {
            LogAway(log, host, port, failure);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "memcached at {Host}:{Port} is away: {Says} What it would share is read from SQL meanwhile")]
    private static partial void LogAway(ILogger log, string host, int port, string says);

    [LoggerMessage(Level = LogLevel.Information, Message = "memcached at {Host}:{Port} is back")]
    private static partial void LogBack(ILogger log, string host, int port);
}

using System.Buffers;
using System.Collections.Concurrent;
using System.Globalization;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;

namespace Sluice.Platform.Cache;

/// <summary>A command of memcached's meta protocol, without the end of its line.</summary>
/// <param name="Line">At most 512 bytes of ASCII.</param>
/// <param name="Block">The value that follows it, if any.</param>
internal readonly record struct MemcachedCommand(string Line, byte[]? Block = null);

/// <summary>What a server answered.</summary>
/// <param name="Code"><c>HD</c> done, <c>VA</c> a value, <c>EN</c> or <c>NF</c> not there, <c>NS</c> not stored, <c>EX</c> another one is there, <c>SERVER_ERROR</c>.</param>
/// <param name="Flags">The rest of the line, words with a space between them.</param>
internal sealed record MemcachedAnswer(string Code, string Flags, byte[]? Value)
{
    /// <summary>What stands behind a flag's letter; null where the flag is not there.</summary>
    public string? Flag(char letter) => Array.Find(Flags.Split(' '), word => word.StartsWith(letter))?[1..];
}

/// <summary>
/// One TCP connection to one memcached. Commands are sent as they come, many in one packet, and answered in their order (pipelining). Each carries its number (<c>O</c>), which the answer repeats: a connection whose answers are out of
/// step, too long or none that this protocol has is given up with all who wait, and so is one that does not answer in time. It is never mended: another one takes its place.
/// </summary>
internal sealed class MemcachedConnection
{
    /// <summary>More than any answer's line has.</summary>
    private const int LineBytesMax = 2_048;

    /// <summary>Commands that wait to be sent; whoever comes then is refused.</summary>
    private const int QueuedMax = 20_000;

    private const int PacketBytes = 64 * 1024;

    private static readonly char[] Space = [' '];

    private static long lastId;

    private readonly Socket socket;
    private readonly int valueBytesMax;
    private readonly Channel<Call> queued = Channel.CreateBounded<Call>(new BoundedChannelOptions(QueuedMax) { SingleReader = true });
    private readonly ConcurrentQueue<Call> waiting = new();
    private volatile Exception? failure;

    private MemcachedConnection(Socket socket, int valueBytesMax)
    {
        (this.socket, this.valueBytesMax) = (socket, valueBytesMax);
        Ended = RunAsync();
    }

    /// <summary>No other connection of this process has it.</summary>
    public long Id { get; } = Interlocked.Increment(ref lastId);

    /// <summary>True until it failed.</summary>
    public bool IsUp => failure is null;

    /// <summary>What ended it; null while it is up.</summary>
    public string? Failure => failure?.Message;

    /// <summary>Done when it has failed, and everybody who waited has been told.</summary>
    public Task Ended { get; }

    /// <param name="valueBytesMax">No value that is read is longer, in bytes.</param>
    /// <exception cref="SocketException">Nobody listens there.</exception>
    /// <exception cref="OperationCanceledException">It took too long.</exception>
    public static async Task<MemcachedConnection> OpenAsync(string host, int port, int valueBytesMax, CancellationToken cancel)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(host, port, cancel);
            return new MemcachedConnection(socket, valueBytesMax);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>The answers, in order.</summary>
    /// <exception cref="IOException">The connection has failed, or too many wait.</exception>
    /// <exception cref="InvalidDataException">It has failed because of what the other side answered.</exception>
    public Task<MemcachedAnswer[]> AskAsync(IReadOnlyList<MemcachedCommand> commands)
    {
        var calls = new Task<MemcachedAnswer>[commands.Count];
        for (var i = 0; i < calls.Length; i++)
        {
            var call = new Call(commands[i]);
            if (!queued.Writer.TryWrite(call))
            {
                call.Answered.SetException(failure is null ? new IOException($"more than {QueuedMax} commands wait.") : Failed());
            }

            calls[i] = call.Answered.Task;
        }

        return Task.WhenAll(calls);
    }

    /// <summary>Gives it up; who waits is told so.</summary>
    public void End(string says) => End(new IOException(says));

    private void End(Exception e)
    {
        Interlocked.CompareExchange(ref failure, e, null);
        queued.Writer.TryComplete();
        socket.Dispose();
    }

    private async Task RunAsync()
    {
        await Task.Yield();
        await using (var stream = new NetworkStream(socket, ownsSocket: true))
        {
            await Task.WhenAll(UntilItFailsAsync(() => SendAsync(stream)), UntilItFailsAsync(() => ReceiveAsync(stream)));
        }

        // From here on nobody else takes from these, and nothing is added.
        while (waiting.TryDequeue(out var call) || queued.Reader.TryRead(out call))
        {
            call.Answered.TrySetException(Failed());
        }
    }

    // One for each who waits: an exception that several throw loses where it came from.
    private Exception Failed() => failure is InvalidDataException ? new InvalidDataException(failure.Message, failure) : new IOException(failure?.Message, failure);

    private async Task UntilItFailsAsync(Func<Task> work)
    {
        try
        {
            await work();
        }
        catch (Exception e) when (e is IOException or SocketException or InvalidDataException or ObjectDisposedException)
        {
            End(e);
        }
    }

    private async Task SendAsync(NetworkStream stream)
    {
        var writer = PipeWriter.Create(stream, new StreamPipeWriterOptions(minimumBufferSize: 16 * 1024, leaveOpen: true));
        var sent = 0L;
        while (await queued.Reader.WaitToReadAsync())
        {
            while (writer.UnflushedBytes < PacketBytes && queued.Reader.TryRead(out var call))
            {
                // Before it is sent: its answer may be there at once.
                call.Number = ++sent;
                waiting.Enqueue(call);
                Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{call.Command.Line} O{call.Number}\r\n"), writer);
                if (call.Command.Block is { } block)
                {
                    writer.Write(block);
                    writer.Write("\r\n"u8);
                }
            }

            await writer.FlushAsync();
        }
    }

    private async Task ReceiveAsync(NetworkStream stream)
    {
        var reader = PipeReader.Create(stream, new StreamPipeReaderOptions(bufferSize: 16 * 1024, leaveOpen: true));
        while (true)
        {
            var read = await reader.ReadAsync();
            var rest = read.Buffer;
            while (TryRead(ref rest) is { } answer)
            {
                Answer(answer);
            }

            reader.AdvanceTo(rest.Start, rest.End);
            if (read.IsCompleted)
            {
                throw new IOException("the server closed the connection.");
            }
        }
    }

    private void Answer(MemcachedAnswer answer)
    {
        if (answer.Code is not ("HD" or "VA" or "EN" or "NF" or "NS" or "EX" or "SERVER_ERROR"))
        {
            // Nobody knows what it made of the command, so nobody knows what its next answer is to.
            throw new InvalidDataException($"it answered '{answer.Code} {answer.Flags}'; the cache needs memcached 1.6 or later.");
        }

        if (!waiting.TryPeek(out var call) || (answer.Flag('O') is { } number ? number != call.Number.ToString(CultureInfo.InvariantCulture) : answer.Code is "HD" or "VA"))
        {
            throw new InvalidDataException("its answers are out of step.");
        }

        waiting.TryDequeue(out _);
        call.Answered.TrySetResult(answer);
    }

    // Null: not all of it is here yet.
    private MemcachedAnswer? TryRead(ref ReadOnlySequence<byte> rest)
    {
        var reader = new SequenceReader<byte>(rest);
        if (!reader.TryReadTo(out ReadOnlySequence<byte> line, "\r\n"u8))
        {
            return rest.Length > LineBytesMax ? throw new InvalidDataException("its answer's line is too long.") : null;
        }

        if (line.Length > LineBytesMax)
        {
            throw new InvalidDataException("its answer's line is too long.");
        }

        var words = Encoding.ASCII.GetString(line).Split(Space, 2);
        var (code, flags) = (words[0], words.Length > 1 ? words[1] : "");
        byte[]? value = null;
        if (code == "VA")
        {
            var parts = flags.Split(Space, 2);
            flags = parts.Length > 1 ? parts[1] : "";
            if (!int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var length) || length > valueBytesMax)
            {
                throw new InvalidDataException($"its value has '{parts[0]}' bytes.");
            }

            if (reader.Remaining < length + 2)
            {
                return null;
            }

            value = new byte[length];
            reader.TryCopyTo(value);
            reader.Advance(length);
            if (!reader.IsNext("\r\n"u8, advancePast: true))
            {
                throw new InvalidDataException("its value is longer than it said.");
            }
        }

        rest = rest.Slice(reader.Position);
        return new MemcachedAnswer(code, flags, value);
    }

    private sealed class Call(MemcachedCommand command)
    {
        public MemcachedCommand Command => command;

        public long Number { get; set; }

        public TaskCompletionSource<MemcachedAnswer> Answered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

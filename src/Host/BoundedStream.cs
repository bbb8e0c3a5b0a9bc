namespace Sluice.Host;

/// <summary>A file that is read from its begin to its end, and not any further when no row ends for too long: whatever reads rows out of it holds that much of it in memory, and no more.</summary>
/// <param name="bytesMax">From one <see cref="RowEnded"/> to the next.</param>
/// <param name="cancel">Ends a read that waits, also where the file is a pipe that says nothing.</param>
internal sealed class BoundedStream(Stream inner, int bytesMax, CancellationToken cancel) : Stream
{
    private long sinceRow;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>What was read until now is a row's, and is not held any more.</summary>
    public void RowEnded() => sinceRow = 0;

    /// <exception cref="FileUnreadableException">No row has ended for too long.</exception>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        // Standard input does not heed a token: whoever stops waits no longer for it.
        var read = await inner.ReadAsync(buffer, cancel).AsTask().WaitAsync(cancel);
        sinceRow += read;
        return sinceRow <= bytesMax ? read
            : throw new FileUnreadableException($"There is no end of a row within {bytesMax:N0} bytes. Is this the format that --format says? A quote that is never closed looks like that too.");
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Flush() => throw new NotSupportedException();
}

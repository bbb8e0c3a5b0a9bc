using System.Buffers;

namespace Sluice.Platform.Http;

/// <summary>A small growing buffer on the array pool, for bodies that are built before their length is known.</summary>
public sealed class PooledBuffer : IBufferWriter<byte>, IDisposable
{
    private byte[] bytes = ArrayPool<byte>.Shared.Rent(1_024);
    private int count;

    public ReadOnlyMemory<byte> Written => bytes.AsMemory(0, count);

    public void Advance(int count) => this.count += count;

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return bytes.AsMemory(count);
    }

    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return bytes.AsSpan(count);
    }

    public void Dispose() => ArrayPool<byte>.Shared.Return(bytes);

    private void Reserve(int more)
    {
        if (bytes.Length - count >= Math.Max(more, 1))
        {
            return;
        }

        var larger = ArrayPool<byte>.Shared.Rent(Math.Max(bytes.Length * 2, count + more));
        Written.Span.CopyTo(larger);
        ArrayPool<byte>.Shared.Return(bytes);
        bytes = larger;
    }
}

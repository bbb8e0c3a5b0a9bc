using System.Buffers;
using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Sluice.Platform.Pools;

/// <summary>
/// What this node has acknowledged and SQL may not have yet, as lines in numbered files: <c>&lt;pool&gt;,&lt;queue entry&gt;</c>. Beside the embedded server's own log, and read by nothing but the next start,
/// so that a claim survives the death of the process also when that log, or its recovery, does not bring it back. docs/adr/0026.
/// </summary>
/// <remarks>Written but not flushed: like the embedded server's log it survives the death of the process, not a power cut. The line of a process that died while it wrote was told to nobody.</remarks>
internal sealed class AckFile : IDisposable
{
    /// <summary>After so many bytes the next file begins: what a start reads beyond what it needs.</summary>
    internal const int BytesMax = 1 << 20;

    private readonly string folder;
    private readonly Lock fileLock = new();
    private readonly SortedSet<int> closed;
    private SafeFileHandle? handle;
    private int current;
    private long length;

    public AckFile(string folder)
    {
        this.folder = folder;
        Directory.CreateDirectory(folder);
        closed = [.. Directory.EnumerateFiles(folder, "*.log").Select(file => int.TryParse(Path.GetFileNameWithoutExtension(file), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : -1).Where(number => number >= 0)];
        current = closed.Count == 0 ? 0 : closed.Max + 1;
    }

    /// <summary>The file that the next line goes into, or one before it.</summary>
    public int Current => Volatile.Read(ref current);

    /// <summary>Files that take no more lines, the oldest first.</summary>
    public IReadOnlyList<int> Closed
    {
        get
        {
            lock (fileLock)
            {
                return [.. closed];
            }
        }
    }

    /// <summary>Adds one claim to what is to be written.</summary>
    public static void Add(ArrayBufferWriter<byte> lines, Claim claim) =>
        Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{claim.PoolId},{ClaimEntry.ToQueue(claim)}\n"), lines);

    /// <summary>Writes the lines into one file, and returns which.</summary>
    /// <exception cref="IOException">They are not; the next call writes over what may be there of them.</exception>
    public int Append(ReadOnlySpan<byte> lines)
    {
        lock (fileLock)
        {
            if (length > 0 && length + lines.Length > BytesMax)
            {
                CloseCurrent();
            }

            handle ??= File.OpenHandle(PathOf(current), FileMode.CreateNew, FileAccess.Write, FileShare.Read);
            RandomAccess.Write(handle, lines, length);
            length += lines.Length;
            return current;
        }
    }

    /// <summary>Every claim of a closed file. What is no whole line of a claim was never acknowledged.</summary>
    public IEnumerable<Claim> Read(int number)
    {
        var text = File.ReadAllText(PathOf(number));
        foreach (var line in text[..(text.LastIndexOf('\n') + 1)].Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var comma = line.IndexOf(',', StringComparison.Ordinal);
            if (comma > 0 && long.TryParse(line.AsSpan(0, comma), NumberStyles.None, CultureInfo.InvariantCulture, out var poolId) && ClaimEntry.TryFromQueue(poolId, line[(comma + 1)..], out var claim))
            {
                yield return claim;
            }
        }
    }

    /// <summary>Ends the file that is written, if there is anything in it.</summary>
    public void Close()
    {
        lock (fileLock)
        {
            if (length > 0)
            {
                CloseCurrent();
            }
        }
    }

    /// <summary>Deletes each closed file before this one.</summary>
    public void DeleteBefore(int number)
    {
        lock (fileLock)
        {
            while (closed.Count > 0 && closed.Min < number)
            {
                File.Delete(PathOf(closed.Min));
                closed.Remove(closed.Min);
            }
        }
    }

    public void Dispose() => handle?.Dispose();

    private void CloseCurrent()
    {
        handle?.Dispose();
        (handle, length) = (null, 0);
        closed.Add(current);
        Volatile.Write(ref current, current + 1);
    }

    private string PathOf(int number) => Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{number:D8}.log"));
}

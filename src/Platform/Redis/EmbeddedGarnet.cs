using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Garnet;
using Garnet.server;
using Microsoft.Extensions.Logging;

namespace Sluice.Platform.Redis;

/// <summary>
/// The Redis-protocol server inside the process. Every setting below was paid for by a trial that lost data without it; docs/adr/0002 has the list.
/// Survives: the death of the process at any moment, for everything that <see cref="CommitAsync"/> covered. Does not survive a power cut:
/// the append-only file is written past the page cache but not flushed from the disk's own.
/// </summary>
public sealed class EmbeddedGarnet : IDisposable
{
    /// <summary>How old the last look at the disk may be: at 1 GB/s, 50 MB are written meanwhile.</summary>
    private static readonly TimeSpan LookAge = TimeSpan.FromMilliseconds(50);

    private readonly GarnetServer server;
    private readonly string socket;
    private readonly DriveInfo disk;
    private readonly long diskFreeMin;
    private long lookedAt;
    private long diskFree;
    private volatile string? failure;

    public EmbeddedGarnet(string folder, RedisOptions options, ILoggerFactory? logs)
    {
        Directory.CreateDirectory(folder);
        (disk, diskFreeMin) = (new DriveInfo(Path.GetFullPath(folder)), (long)options.DiskFreeMiBMin << 20);

        // A path of a unix socket may have 107 bytes, a data folder any number, so the socket lives in the temporary folder.
        socket = Path.Combine(Path.GetTempPath(), $"sluice-{Guid.NewGuid():N}.sock");
        EndPoint[] endPoints = options.EmbeddedPort == 0
            ? [new UnixDomainSocketEndPoint(socket)]
            : [new UnixDomainSocketEndPoint(socket), new IPEndPoint(IPAddress.Loopback, options.EmbeddedPort)];
        var settings = new GarnetServerOptions
        {
            EndPoints = endPoints,
            UnixSocketPath = socket,
            UnixSocketPermission = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            QuietMode = true,
            DeviceType = Tsavorite.core.DeviceType.RandomAccess,
            LogMemorySize = $"{options.EmbeddedMemoryMiB}m",
            PageSize = "1m",
            SegmentSize = "64m",
            ObjectLogSegmentSize = "64m",
            IndexMemorySize = "16m",
            EnableStorageTier = true,
            LogDir = folder,
            CheckpointDir = folder,
            EnableAOF = true,
            CommitFrequencyMs = 0,
            AofMemorySize = "16m",
            AofPageSize = "4m",
            AofSegmentSize = "64m",
            AofSizeLimit = "64m",
            Recover = true,
            FailOnRecoveryError = true,
            EnableLua = true,
            LuaTransactionMode = true,
            LuaOptions = new LuaOptions(LuaMemoryManagementMode.Native, "", TimeSpan.FromSeconds(5), LuaLoggingMode.Silent, []),
            MaxDatabases = 1,
        };
        server = new GarnetServer(settings, logs);
        server.Start();
    }

    /// <summary>Where clients connect.</summary>
    public EndPoint EndPoint => new UnixDomainSocketEndPoint(socket);

    /// <summary>Returns when everything executed before the call is in the append-only file. Calls that wait at the same time share one write.</summary>
    /// <exception cref="IOException">Garnet has not even tried.</exception>
    public async Task CommitAsync(CancellationToken cancel)
    {
        if (!await server.Store.CommitAOFAsync(cancel))
        {
            throw new IOException("the append-only file was not asked to commit.");
        }
    }

    /// <summary>
    /// The log could not be written. Garnet does not recover from that: every later write fails too, a script in its middle, with its first writes in memory and the rest not.
    /// So nothing is asked of it any more until the next start, which reads what the log has and rebuilds every pool.
    /// </summary>
    public void Fail(string says) => failure ??= says;

    /// <summary>Why no script may run now, or null.</summary>
    public string? Ailment => failure is { } says ? $"the append-only file failed ({says}); make room on the disk and start this node again." : null;

    /// <summary>Why nothing may be added to the log now, or null. Looks at the disk at most every <see cref="LookAge"/>.</summary>
    public string? Shortage()
    {
        if (lookedAt == 0 || Stopwatch.GetElapsedTime(Volatile.Read(ref lookedAt)) > LookAge)
        {
            Volatile.Write(ref diskFree, disk.AvailableFreeSpace);
            Volatile.Write(ref lookedAt, Stopwatch.GetTimestamp());
        }

        var free = Volatile.Read(ref diskFree);
        return free < diskFreeMin ? $"{free >> 20} MiB are free on the disk of {disk.Name}, less than Redis:DiskFreeMiBMin ({diskFreeMin >> 20})." : null;
    }

    public void Dispose()
    {
        server.Dispose(false);
        File.Delete(socket);
    }
}

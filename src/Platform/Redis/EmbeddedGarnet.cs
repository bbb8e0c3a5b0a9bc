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
    private readonly GarnetServer server;
    private readonly string socket;

    public EmbeddedGarnet(string folder, RedisOptions options, ILoggerFactory? logs)
    {
        Directory.CreateDirectory(folder);

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
    public async Task CommitAsync(CancellationToken cancel) => await server.Store.CommitAOFAsync(cancel);

    public void Dispose()
    {
        server.Dispose(false);
        File.Delete(socket);
    }
}

using StackExchange.Redis;

namespace Sluice.Tests.Integration.Servers;

/// <summary>A real redis-server with every write fsynced, on a free port, in a folder of its own.</summary>
public sealed class RedisServer : IAsyncDisposable
{
    private readonly TempFolder folder = new();
    private readonly int port = FreePort.Next();
    private ChildProcess? process;

    public string Connection => $"127.0.0.1:{port}";

    public string Folder => folder.Path;

    public ChildProcess Process => process ?? throw new InvalidOperationException("Not started.");

    public static async Task<RedisServer> StartAsync()
    {
        var server = new RedisServer();
        await server.BeginAsync();
        return server;
    }

    /// <summary>Starts it (again) on what its folder holds. A missing redis-server is a failure, never a skip: ./test installs it.</summary>
    public async Task BeginAsync()
    {
        process = ChildProcess.Start("redis-server", [
            "--port", $"{port}", "--bind", "127.0.0.1", "--dir", folder.Path, "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]);
        await Eventually.TrueAsync(
            async () =>
            {
                await using var probe = await ConnectionMultiplexer.ConnectAsync($"{Connection},abortConnect=false,connectTimeout=500");
                return probe.IsConnected && (await probe.GetDatabase().PingAsync()) > TimeSpan.Zero;
            },
            "redis-server answers");
    }

    public Task KillAsync() => Process.KillAsync();

    /// <summary>Everything that it kept is gone, as after the loss of its disk. Call while it is not running.</summary>
    public void LoseData()
    {
        Directory.Delete(folder.Path, recursive: true);
        Directory.CreateDirectory(folder.Path);
    }

    public async ValueTask DisposeAsync()
    {
        if (process is not null)
        {
            await process.DisposeAsync();
        }

        folder.Dispose();
    }
}

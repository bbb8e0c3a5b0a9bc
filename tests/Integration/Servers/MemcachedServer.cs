using System.Net.Sockets;

namespace Sluice.Tests.Integration.Servers;

/// <summary>A real memcached on a free port. What it held is gone with its process.</summary>
public sealed class MemcachedServer(params string[] arguments) : IAsyncDisposable
{
    private ChildProcess? process;

    public int Port { get; } = FreePort.Next();

    /// <summary>For <c>Cache:Connection</c>.</summary>
    public string Connection => $"memcached://127.0.0.1:{Port}";

    public ChildProcess Process => process ?? throw new InvalidOperationException("Not started.");

    public static async Task<MemcachedServer> StartAsync(params string[] arguments)
    {
        var server = new MemcachedServer(arguments);
        await server.BeginAsync();
        return server;
    }

    /// <summary>Starts it (again), empty. A missing memcached is a failure, never a skip: ./test installs it.</summary>
    public async Task BeginAsync()
    {
        // Root has to name whom it runs as.
        string[] user = Environment.IsPrivilegedProcess ? ["-u", "nobody"] : [];
        process = ChildProcess.Start("memcached", ["-l", "127.0.0.1", "-p", $"{Port}", "-m", "16", "-U", "0", "-t", "1", .. user, .. arguments]);
        await Eventually.TrueAsync(
            async () =>
            {
                try
                {
                    using var probe = new TcpClient();
                    await probe.ConnectAsync("127.0.0.1", Port);
                    return true;
                }
                catch (SocketException e)
                {
                    return process.HasExited ? throw new InvalidOperationException($"memcached ended: {process.Output}", e) : false;
                }
            },
            "memcached listens");
    }

    public Task KillAsync() => Process.KillAsync();

    public async ValueTask DisposeAsync()
    {
        if (process is not null)
        {
            await process.DisposeAsync();
        }
    }
}

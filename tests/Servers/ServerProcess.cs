using System.Net;

namespace Sluice.Tests.Servers;

/// <summary>A real server on a free loopback port: started, waited for, and ended by its own id. It can be started again on the same port.</summary>
public sealed class ServerProcess : IAsyncDisposable
{
    private static readonly TimeSpan ReadyTimeMax = TimeSpan.FromSeconds(60), Look = TimeSpan.FromMilliseconds(20);

    private readonly string program;
    private readonly string? folder;
    private readonly IReadOnlyList<string> arguments;
    private ChildProcess? process;

    /// <param name="arguments">Without the address: <c>--urls</c> is added.</param>
    /// <param name="folder">The folder to start it in; otherwise this program's.</param>
    /// <param name="port">The port it listens on; otherwise a free one.</param>
    public ServerProcess(string program, IEnumerable<string> arguments, string? folder = null, int? port = null)
    {
        (this.program, this.folder, Port) = (program, folder, port ?? FreePort.Next());
        this.arguments = [.. arguments, "--urls", Url];
        Http = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 64, PooledConnectionLifetime = TimeSpan.FromSeconds(30) })
        {
            BaseAddress = new Uri(Url),
            Timeout = TimeSpan.FromSeconds(60),
        };
    }

    public int Port { get; }

    public string Url => $"http://127.0.0.1:{Port}";

    public HttpClient Http { get; }

    /// <summary>The process of the last start.</summary>
    public ChildProcess Process => process ?? throw new InvalidOperationException("Not started.");

    /// <summary>Starts it (again) and does not wait.</summary>
    public void Launch(IReadOnlyDictionary<string, string>? environment = null) => process = ChildProcess.Start(program, arguments, environment, folder);

    /// <summary>Starts it (again) and returns when it is ready.</summary>
    public async Task StartAsync(IReadOnlyDictionary<string, string>? environment = null, CancellationToken cancel = default)
    {
        Launch(environment);
        try
        {
            await ReadyAsync(cancel);
        }
        catch
        {
            await Process.KillAsync();
            throw;
        }
    }

    /// <summary>Returns when <c>/health/ready</c> says so.</summary>
    /// <exception cref="InvalidOperationException">It ended, or was not ready in time; the message carries its last lines.</exception>
    public async Task ReadyAsync(CancellationToken cancel = default)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (true)
        {
            if (Process.HasExited)
            {
                throw new InvalidOperationException($"The server ended with {Process.ExitCode}. Its last lines:{Environment.NewLine}{Process.Output}");
            }

            if (TimeProvider.System.GetElapsedTime(started) > ReadyTimeMax)
            {
                throw new InvalidOperationException($"The server was not ready within {ReadyTimeMax.TotalSeconds:0} s. Its last lines:{Environment.NewLine}{Process.Output}");
            }

            try
            {
                using var ready = await Http.GetAsync("/health/ready", cancel);
                if (ready.StatusCode == HttpStatusCode.OK)
                {
                    return;
                }
            }
            catch (HttpRequestException)
            {
                // Not listening yet.
            }

            await Task.Delay(Look, TimeProvider.System, cancel);
        }
    }

    /// <summary>Asks it to stop, so that it can write what it accepted; one that does not is killed.</summary>
    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        if (process is not null)
        {
            await process.EndAsync();
            await process.DisposeAsync();
        }
    }
}

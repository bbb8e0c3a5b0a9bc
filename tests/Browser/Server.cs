using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Sluice.Tests.Browser;

/// <summary>The real server as a process of its own, on a free loopback port, with its data in a folder that goes away with it.</summary>
internal sealed class Server : IAsyncDisposable
{
    private const int LogLinesMax = 200;
    private static readonly TimeSpan ReadyWithin = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StopsWithin = TimeSpan.FromSeconds(20);

    private readonly Process _process;
    private readonly string _data;
    private readonly ConcurrentQueue<string> _log = new();

    private Server(Process process, string data, Uri address)
    {
        _process = process;
        _data = data;
        Address = address;
        process.OutputDataReceived += Keep;
        process.ErrorDataReceived += Keep;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public Uri Address { get; }

    public string AdminKey => File.ReadAllText(Path.Combine(_data, "admin.key")).Trim();

    /// <summary>Starts the server and answers when <c>/health/ready</c> does.</summary>
    /// <exception cref="InvalidOperationException">It is not built, ended early, or was not ready in time; the message carries its last lines.</exception>
    public static async Task<Server> StartAsync()
    {
        var program = Path.Combine(Repository.Root, "artifacts", "bin", "Sluice.Host", "release", "sluice.dll");
        if (!File.Exists(program))
            throw new InvalidOperationException($"{program} is missing. Build it first: dotnet build -c Release src/Host");

        var data = Directory.CreateTempSubdirectory("sluice-browser-").FullName;
        var address = new Uri($"http://127.0.0.1:{FreePort()}");
        var process = Process.Start(new ProcessStartInfo("dotnet", [program, "serve", "--urls", address.OriginalString, "--data", data, "--demo"])
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        }) ?? throw new InvalidOperationException("dotnet did not start.");

        var server = new Server(process, data, address);
        try
        {
            await server.WaitUntilReadyAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    private async Task WaitUntilReadyAsync()
    {
        using var http = new HttpClient { BaseAddress = Address, Timeout = TimeSpan.FromSeconds(5) };
        using var patience = new CancellationTokenSource(ReadyWithin);
        using var turn = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        while (!_process.HasExited && !patience.IsCancellationRequested)
        {
            if (await AnswersAsync(http))
                return;
            await turn.WaitForNextTickAsync(CancellationToken.None);
        }

        var how = _process.HasExited ? $"ended with exit code {_process.ExitCode}" : $"was not ready within {ReadyWithin.TotalSeconds} s";
        throw new InvalidOperationException($"The server {how}. Its last lines:\n{string.Join('\n', _log)}");
    }

    private static async Task<bool> AnswersAsync(HttpClient http)
    {
        try
        {
            using var answer = await http.GetAsync(new Uri("/health/ready", UriKind.Relative));
            return answer.StatusCode == HttpStatusCode.OK;
        }
        catch (Exception error) when (error is HttpRequestException or OperationCanceledException)
        {
            return false; // not listening yet
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            // Ask first, so that the server can drain; only then end it.
            using var ask = Process.Start("kill", ["-TERM", _process.Id.ToString()]);
            await ask.WaitForExitAsync();
            using var patience = new CancellationTokenSource(StopsWithin);
            try
            {
                await _process.WaitForExitAsync(patience.Token);
            }
            catch (OperationCanceledException)
            {
                _process.Kill();
                await _process.WaitForExitAsync();
            }
        }

        _process.Dispose();
        Directory.Delete(_data, recursive: true);
    }

    private void Keep(object sender, DataReceivedEventArgs line)
    {
        if (line.Data is null)
            return;
        _log.Enqueue(line.Data);
        if (_log.Count > LogLinesMax)
            _log.TryDequeue(out _);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}

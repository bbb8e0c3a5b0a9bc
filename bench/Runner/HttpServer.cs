using System.Net;
using System.Net.Sockets;

namespace Sluice.Bench.Runner;

/// <summary>A server on a free port of the loopback, started and waited for.</summary>
internal sealed class HttpServer : IAsyncDisposable
{
    private static readonly TimeSpan StartTimeMax = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    private HttpServer(Child child, string url)
    {
        Child = child;
        Url = url;
        Http = new HttpClient { BaseAddress = new Uri(url), Timeout = TimeSpan.FromSeconds(60) };
    }

    public Child Child { get; }
    public string Url { get; }
    public HttpClient Http { get; }

    /// <param name="arguments">The program and its arguments, without the address.</param>
    public static async Task<HttpServer> StartAsync(string name, string[] arguments, CancellationToken cancel, IReadOnlyDictionary<string, string>? environment = null)
    {
        var url = $"http://127.0.0.1:{FreePort()}";
        var server = new HttpServer(Child.Start(name, "dotnet", [.. arguments, "--urls", url], environment), url);
        try
        {
            await server.WaitUntilReadyAsync(cancel);
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await Child.DisposeAsync();
    }

    private async Task WaitUntilReadyAsync(CancellationToken cancel)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (true)
        {
            if (Child.HasExited) throw new BenchException($"{Child.Name} ended at its start:\n{Child.Tail()}");
            try
            {
                using var answer = await Http.GetAsync("/health/ready", cancel);
                if (answer.IsSuccessStatusCode) return;
            }
            catch (HttpRequestException)
            {
                // Not listening yet.
            }

            if (TimeProvider.System.GetElapsedTime(started) > StartTimeMax)
            {
                throw new BenchException($"{Child.Name} was not ready within {StartTimeMax.TotalSeconds:F0} s:\n{Child.Tail()}");
            }

            await Task.Delay(Poll, TimeProvider.System, cancel);
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}

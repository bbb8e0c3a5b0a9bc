using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Publishing;

/// <summary>A real cache in front of a node, with a shipped configuration in a folder of its own.</summary>
internal sealed class EdgeServer : IAsyncDisposable
{
    private readonly TempFolder home = new();
    private ChildProcess? process;

    private EdgeServer(int port)
    {
        Port = port;
        Http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new Uri($"http://127.0.0.1:{port}"), Timeout = TimeSpan.FromSeconds(30) };
    }

    public HttpClient Http { get; }

    public int Port { get; }

    /// <param name="launch">Writes the configuration into the folder and starts the program on the port.</param>
    /// <param name="path">What answers <paramref name="status"/> as soon as it runs.</param>
    public static async Task<EdgeServer> StartAsync(int? port, Func<int, TempFolder, Task<ChildProcess>> launch, string path, int status)
    {
        var edge = new EdgeServer(port ?? FreePort.Next());
        try
        {
            edge.process = await launch(edge.Port, edge.home);
            await Eventually.TrueAsync(
                async () =>
                {
                    Assert.False(edge.process.HasExited, edge.process.Output);
                    return (int)(await edge.Http.GetAsync(path)).StatusCode == status;
                },
                "the edge answers");
            return edge;
        }
        catch
        {
            await edge.DisposeAsync();
            throw;
        }
    }

    /// <summary>A file of deploy/, with other texts in the place of these; each must be there.</summary>
    public static async Task<string> ShippedAsync(string path, params IEnumerable<(string From, string To)> changes)
    {
        var text = await File.ReadAllTextAsync(Path.Combine(Programs.Root, "deploy", path));
        foreach (var (from, to) in changes)
        {
            Assert.Contains(from, text, StringComparison.Ordinal);
            text = text.Replace(from, to, StringComparison.Ordinal);
        }

        return text;
    }

    public async ValueTask DisposeAsync()
    {
        if (process is not null)
        {
            await process.EndAsync();
            await process.DisposeAsync();
        }

        Http.Dispose();
        home.Dispose();
    }
}

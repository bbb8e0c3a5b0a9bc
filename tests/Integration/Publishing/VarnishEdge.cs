using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Publishing;

/// <summary>A real varnishd with the shipped edge configuration, in front of one port.</summary>
internal sealed class VarnishEdge : IAsyncDisposable
{
    private readonly TempFolder home = new();
    private ChildProcess? varnish;

    public HttpClient Http { get; private set; } = null!;

    public int Port { get; private init; }

    private static string Program => File.Exists("/usr/sbin/varnishd") ? "/usr/sbin/varnishd" : "varnishd";

    /// <param name="purgers">The one address that may purge, in the place of this host's.</param>
    public static async Task<VarnishEdge> StartAsync(int originPort, int? port = null, string? purgers = null)
    {
        var edge = new VarnishEdge { Port = port ?? FreePort.Next() };
        try
        {
            edge.Http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new Uri($"http://127.0.0.1:{edge.Port}"), Timeout = TimeSpan.FromSeconds(30) };
            var vcl = await File.ReadAllTextAsync(Path.Combine(Programs.Root, "deploy/varnish/edge.vcl"));
            foreach (var (from, to) in new[] { (".port = \"80\";", $".port = \"{originPort}\";"), ("  \"127.0.0.1\";\n", $"  \"{purgers ?? "127.0.0.1"}\";\n"), ("first_byte_timeout = 5s;", "first_byte_timeout = 1s;") })
            {
                Assert.Contains(from, vcl, StringComparison.Ordinal);
                vcl = vcl.Replace(from, to, StringComparison.Ordinal);
            }

            await File.WriteAllTextAsync(edge.home.File("edge.vcl"), vcl);
            edge.varnish = ChildProcess.Start(Program, ["-F", "-j", "none", "-n", edge.home.File("work"), "-a", $"127.0.0.1:{edge.Port}", "-f", edge.home.File("edge.vcl"), "-s", "malloc,32m", "-p", "thread_pools=1", "-p", "thread_pool_min=10"]);
            await Eventually.TrueAsync(
                async () =>
                {
                    Assert.False(edge.varnish.HasExited, edge.varnish.Output);
                    return (int)(await edge.Http.GetAsync("/health/live")).StatusCode == 200;
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

    public async ValueTask DisposeAsync()
    {
        if (varnish is not null)
        {
            await varnish.EndAsync();
            await varnish.DisposeAsync();
        }

        Http?.Dispose();
        home.Dispose();
    }
}

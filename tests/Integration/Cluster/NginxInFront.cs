using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Sluice.Operations.Clusters;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>A real nginx with the shipped configuration in front of two nodes that do what a test wants.</summary>
internal sealed class NginxInFront : IAsyncDisposable
{
    private readonly TempFolder folder = new();
    private ChildProcess? nginx;

    public FakeNode First { get; private set; } = null!;

    public FakeNode Second { get; private set; } = null!;

    public string Folder => folder.Path;

    public HttpClient Http { get; private set; } = null!;

    /// <param name="changes">Of sluice.conf, each of which must be found in it.</param>
    public static async Task<NginxInFront> StartAsync(RequestDelegate first, RequestDelegate second, params (string From, string To)[] changes)
    {
        var front = new NginxInFront();
        try
        {
            front.First = await FakeNode.StartAsync(first);
            front.Second = await FakeNode.StartAsync(second);
            var port = FreePort.Next();
            front.Http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
            await front.WriteAsync(port, changes);
            front.nginx = ChildProcess.Start(Program, ["-p", front.Folder, "-c", front.folder.File("nginx.conf"), "-g", User]);
            await Eventually.TrueAsync(
                async () =>
                {
                    Assert.False(front.nginx.HasExited, front.nginx.Output);
                    return (await front.Http.GetAsync("/nginx/upstreams")).IsSuccessStatusCode;
                },
                "nginx answers");
            return front;
        }
        catch
        {
            await front.DisposeAsync();
            throw;
        }
    }

    // Debian's place for it is in no ordinary user's path.
    public static string Program => File.Exists("/usr/sbin/nginx") ? "/usr/sbin/nginx" : "nginx";

    private static string User => $"daemon off;{(Environment.UserName == "root" ? " user root;" : "")}";

    public async ValueTask DisposeAsync()
    {
        if (nginx is not null)
        {
            await nginx.EndAsync();
            await nginx.DisposeAsync();
        }

        Http?.Dispose();
        await (First?.DisposeAsync() ?? default);
        await (Second?.DisposeAsync() ?? default);
        folder.Dispose();
    }

    private async Task WriteAsync(int port, (string From, string To)[] changes)
    {
        var home = Folder;
        Directory.CreateDirectory(Path.Combine(home, "temp"));
        await File.WriteAllTextAsync(folder.File("nginx.conf"), ShippedFile.With("nginx.conf", ("/run/nginx.pid", $"{home}/pid"), ("/var/log/nginx/", $"{home}/"), ("/var/lib/nginx/", $"{home}/temp/"), ("/etc/nginx/", $"{home}/")));
        await File.WriteAllTextAsync(folder.File("sluice.conf"), ShippedFile.With("sluice.conf", [("/etc/nginx/", $"{home}/"), ("/var/log/nginx/", $"{home}/"), ("listen 80 ", $"listen 127.0.0.1:{port} "), .. changes]));

        // The first is asked first: nginx goes round by weight.
        await File.WriteAllTextAsync(folder.File("sluice-upstream.conf"), ShippedFile.With(
            "sluice-upstream.conf", ("127.0.0.1:8081 max_fails=2", $"127.0.0.1:{First.Port} weight=1000 max_fails=0"), ("127.0.0.1:8082 max_fails=2", $"127.0.0.1:{Second.Port} max_fails=0")));
    }
}

/// <summary>What nginx takes for a node.</summary>
internal sealed class FakeNode : IAsyncDisposable
{
    private readonly WebApplication app;

    private FakeNode(WebApplication app) => this.app = app;

    public int Port => new Uri(app.Urls.First()).Port;

    /// <summary>Every request that came.</summary>
    public ConcurrentQueue<(string Method, string Target, IReadOnlyDictionary<string, string> Headers)> Seen { get; } = new();

    public static async Task<FakeNode> StartAsync(RequestDelegate answer)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var node = new FakeNode(builder.Build());
        node.app.Run(context =>
        {
            var target = context.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpRequestFeature>()!.RawTarget;
            node.Seen.Enqueue((context.Request.Method, target, context.Request.Headers.ToDictionary(header => header.Key, header => header.Value.ToString(), StringComparer.OrdinalIgnoreCase)));
            return answer(context);
        });
        await node.app.StartAsync();
        return node;
    }

    public ValueTask DisposeAsync() => app.DisposeAsync();
}

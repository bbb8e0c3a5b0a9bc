using Sluice.Tests.Integration.Cluster;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Publishing;

/// <summary>A real nginx with the shipped edge configuration, in front of one port and over one folder.</summary>
internal sealed class NginxEdge : IAsyncDisposable
{
    private readonly TempFolder home = new();
    private ChildProcess? nginx;

    public HttpClient Http { get; private set; } = null!;

    public int Port { get; private init; }

    /// <param name="site">The folder that is published to.</param>
    public static async Task<NginxEdge> StartAsync(int originPort, string site, int? port = null)
    {
        var edge = new NginxEdge { Port = port ?? FreePort.Next() };
        try
        {
            edge.Http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new Uri($"http://127.0.0.1:{edge.Port}"), Timeout = TimeSpan.FromSeconds(30) };
            await edge.WriteAsync(originPort, site);
            edge.nginx = ChildProcess.Start(NginxInFront.Program, ["-p", edge.home.Path, "-c", edge.home.File("nginx.conf"), "-g", $"daemon off;{(Environment.UserName == "root" ? " user root;" : "")}"]);
            await Eventually.TrueAsync(
                async () =>
                {
                    Assert.False(edge.nginx.HasExited, edge.nginx.Output);
                    return (int)(await edge.Http.GetAsync("/manifest.json")).StatusCode == 404;
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
        if (nginx is not null)
        {
            await nginx.EndAsync();
            await nginx.DisposeAsync();
        }

        Http?.Dispose();
        home.Dispose();
    }

    private async Task WriteAsync(int originPort, string site)
    {
        Directory.CreateDirectory(home.File("temp"));
        var shipped = Path.Combine(Programs.Root, "deploy/nginx");
        var edge = await File.ReadAllTextAsync(Path.Combine(shipped, "edge.conf"));
        foreach (var (from, to) in new[] { ("127.0.0.1:80;", $"127.0.0.1:{originPort};"), ("listen 8000 ", $"listen 127.0.0.1:{Port} "), ("/var/lib/sluice/site/", $"{site}/"), ("/etc/nginx/", $"{shipped}/"), ("/var/cache/nginx/sluice", home.File("cache")) })
        {
            Assert.Contains(from, edge, StringComparison.Ordinal);
            edge = edge.Replace(from, to, StringComparison.Ordinal);
        }

        await File.WriteAllTextAsync(home.File("edge.conf"), edge);
        await File.WriteAllTextAsync(home.File("nginx.conf"), $$"""
            load_module /usr/lib/nginx/modules/ngx_http_cache_purge_module.so;
            worker_processes 1;
            pid {{home.File("pid")}};
            error_log {{home.File("error.log")}} warn;
            events { worker_connections 1024; }
            http {
              types { text/html html; application/json json; text/css css; text/javascript js; image/svg+xml svg; }
              default_type application/octet-stream;
              access_log off;
              client_body_temp_path {{home.File("temp/body")}};
              proxy_temp_path {{home.File("temp/proxy")}};
              fastcgi_temp_path {{home.File("temp/fastcgi")}};
              uwsgi_temp_path {{home.File("temp/uwsgi")}};
              scgi_temp_path {{home.File("temp/scgi")}};
              include {{home.File("edge.conf")}};
            }
            """);
    }
}

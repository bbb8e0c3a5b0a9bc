using Sluice.Tests.Integration.Cluster;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Publishing;

/// <summary>A real nginx with the shipped edge configuration, in front of one port and over one folder.</summary>
internal static class NginxEdge
{
    /// <param name="site">The folder that is published to.</param>
    public static Task<EdgeServer> StartAsync(int originPort, string site, int? port = null) => EdgeServer.StartAsync(
        port,
        async (at, home) =>
        {
            Directory.CreateDirectory(home.File("temp"));
            await File.WriteAllTextAsync(home.File("edge.conf"), await EdgeServer.ShippedAsync(
                "nginx/edge.conf", ("127.0.0.1:80;", $"127.0.0.1:{originPort};"), ("listen 8000 ", $"listen 127.0.0.1:{at} "), ("/var/lib/sluice/site/", $"{site}/"), ("/etc/nginx/", $"{Path.Combine(Programs.Root, "deploy/nginx")}/"),
                ("/var/cache/nginx/sluice", home.File("cache"))));
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
            return ChildProcess.Start(NginxInFront.Program, ["-p", home.Path, "-c", home.File("nginx.conf"), "-g", $"daemon off;{(Environment.UserName == "root" ? " user root;" : "")}"]);
        },
        "/manifest.json",
        404);
}

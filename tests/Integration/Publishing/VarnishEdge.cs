using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Publishing;

/// <summary>A real varnishd with the shipped edge configuration, in front of one port.</summary>
internal static class VarnishEdge
{
    private static string Program => File.Exists("/usr/sbin/varnishd") ? "/usr/sbin/varnishd" : "varnishd";

    /// <param name="purgers">The one address that may purge, in the place of this host's.</param>
    public static Task<EdgeServer> StartAsync(int originPort, int? port = null, string? purgers = null) => EdgeServer.StartAsync(
        port,
        async (at, home) =>
        {
            await File.WriteAllTextAsync(home.File("edge.vcl"), await EdgeServer.ShippedAsync("varnish/edge.vcl", (".port = \"80\";", $".port = \"{originPort}\";"), ("  \"127.0.0.1\";\n", $"  \"{purgers ?? "127.0.0.1"}\";\n"), ("first_byte_timeout = 5s;", "first_byte_timeout = 1s;")));
            return ChildProcess.Start(Program, ["-F", "-j", "none", "-n", home.File("work"), "-a", $"127.0.0.1:{at}", "-f", home.File("edge.vcl"), "-s", "malloc,32m", "-p", "thread_pools=1", "-p", "thread_pool_min=10"]);
        },
        "/health/live",
        200);
}

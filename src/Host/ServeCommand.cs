using System.Reflection;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;

namespace Sluice.Host;

/// <summary><c>sluice serve</c>: a node until somebody stops it.</summary>
internal static class ServeCommand
{
    public static async Task<int> RunAsync(List<KeyValuePair<string, string?>> overrides, bool seed, CancellationToken cancel)
    {
        if (seed)
        {
            overrides.InsertRange(0, DemoShop.Settings);
        }

        var settings = Node.Load(overrides);
        using var folder = Own(settings);
        await using var node = await Node.OpenAsync(settings);
        await node.App.StartAsync(cancel);
        var url = AddressOf(node);
        folder?.Announce(url);
        Banner(node, url);
        if (seed)
        {
            await DemoShop.SeedAsync(url, settings.Get<NodeOptions>().Data, cancel);
        }

        // SIGTERM and Ctrl-C: stop taking requests, write what was accepted, then end.
        await node.App.WaitForShutdownAsync(cancel);
        return Commands.Well;
    }

    /// <summary>The folder's lock where the engine in it is embedded; processes that share a Redis server may share the folder.</summary>
    public static DataFolder? Own(Settings settings) =>
        settings.Get<RedisOptions>().Connection.Equals("embedded", StringComparison.OrdinalIgnoreCase) ? DataFolder.Own(settings.Get<NodeOptions>().Data) : null;

    /// <summary>The first address, as a client on this machine reaches it.</summary>
    public static string AddressOf(Node node) =>
        (node.App.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() ?? "")
        .Replace("://[::]", "://localhost", StringComparison.Ordinal).Replace("://0.0.0.0", "://localhost", StringComparison.Ordinal);

    private static void Banner(Node node, string url)
    {
        var options = node.Settings.Get<NodeOptions>();
        var rows = new List<(string, string)>
        {
            ("roles", options.Roles.ToString()),
            ("modules", string.Join(", ", node.Modules.Select(module => module.Name))),
            ("engines", node.Engines),
            ("shop", url),
            ("API docs", $"{url}/docs"),
            ("admin key", Path.GetFullPath(Path.Combine(options.Data, "admin.key"))),
        };
        rows.AddRange(node.Settings.NotDefault.Select(setting => ("set", setting)));
        var version = typeof(ServeCommand).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0];
        Console.Error.WriteLine($"Sluice {version}");
        foreach (var (name, value) in rows)
        {
            Console.Error.WriteLine($"  {name,-10} {value}");
        }
    }
}

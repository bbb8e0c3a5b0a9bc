using System.Globalization;

namespace Sluice.Tests.Integration.Servers;

/// <summary>
/// Nothing reaches one port of this host and nothing comes from it, and nobody is told: packets are dropped by the kernel, connections stay open. Needs root and iptables; a machine where it cannot be done
/// fails the test and says so. The rules name the port of one server of one test, and are taken out again with this.
/// </summary>
internal sealed class NetworkCut : IAsyncDisposable
{
    private static readonly string Program = File.Exists("/usr/sbin/iptables") ? "/usr/sbin/iptables" : "iptables";

    private readonly List<string[]> rules = [];

    /// <param name="from">Addresses of this host: only what comes from one of them, and what goes there, is dropped. None: everything.</param>
    public static async Task<NetworkCut> OfAsync(int port, params IReadOnlyList<string> from)
    {
        var cut = new NetworkCut();
        try
        {
            foreach (var address in from.Count == 0 ? [null] : from.AsEnumerable<string?>())
            {
                foreach (var (portSide, addressSide) in new[] { ("--dport", "-s"), ("--sport", "-d") })
                {
                    string[] rule = ["INPUT", "-i", "lo", "-p", "tcp", portSide, port.ToString(CultureInfo.InvariantCulture), .. address is null ? Array.Empty<string>() : [addressSide, address], "-j", "DROP"];
                    await RunAsync("-I", rule);
                    cut.rules.Add(rule);
                }
            }

            return cut;
        }
        catch
        {
            await cut.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var rule in rules)
        {
            await RunAsync("-D", rule);
        }

        rules.Clear();
    }

    private static async Task RunAsync(string verb, string[] rule)
    {
        await using var process = ChildProcess.Start(Program, ["-w", "10", verb, .. rule]);
        Assert.True(await process.WaitAsync(TimeSpan.FromSeconds(30)) == 0, $"The network drill needs the right to drop packets (root, CAP_NET_ADMIN): {process.Output}");
    }
}

using System.Net;
using Microsoft.AspNetCore.HttpOverrides;

namespace Sluice.Host;

/// <summary>Whose word about a caller is taken: nobody's, unless the setting <c>KnownProxies</c> names them.</summary>
internal static class Proxies
{
    /// <exception cref="SettingsException">One of them is no address.</exception>
    public static ForwardedHeadersOptions Trust(string known)
    {
        var options = new ForwardedHeadersOptions { ForwardLimit = null };

        // The framework would believe everything on loopback, and with it every program on this machine.
        options.KnownProxies.Clear();
        options.KnownIPNetworks.Clear();
        foreach (var text in known.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (IPAddress.TryParse(text, out var address))
            {
                options.KnownProxies.Add(address);
            }
            else if (System.Net.IPNetwork.TryParse(text, out var network))
            {
                options.KnownIPNetworks.Add(network);
            }
            else
            {
                throw new SettingsException([$"KnownProxies: '{text}' is neither an address nor a network such as 10.0.0.0/8"]);
            }
        }

        // With nobody to believe the headers are not even looked at: the middleware takes empty lists for "everybody".
        options.ForwardedHeaders = options.KnownProxies.Count + options.KnownIPNetworks.Count > 0 ? ForwardedHeaders.XForwardedFor | ForwardedHeaders.XForwardedProto : ForwardedHeaders.None;
        return options;
    }
}

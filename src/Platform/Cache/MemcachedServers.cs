using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Sluice.Platform.Cache;

/// <summary>
/// <c>memcached://host:port,host:port</c>: the servers, and which of them has a key. Each node finds the same one by itself (rendezvous hashing), however the servers are ordered; a server more or less moves only its own share of the keys.
/// A server that is away is not stood in for: two nodes that disagree about who is away would share with different servers, and a change would drop the key at one of them only.
/// </summary>
internal sealed class MemcachedServers
{
    public const string Scheme = "memcached://";

    // memcached's own bounds: longer keys are refused, and so are spaces and control characters.
    private const int KeyBytesMax = 250, ServersMax = 64, DefaultPort = 11_211;

    private const string Hashed = "sha256:";

    private MemcachedServers(IReadOnlyList<(string Host, int Port)> all) => All = all;

    public IReadOnlyList<(string Host, int Port)> All { get; }

    /// <summary>Null: this is no such address.</summary>
    public static MemcachedServers? TryParse(string text)
    {
        if (!text.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
        {
            return null;
        }

        var all = new List<(string, int)>();
        foreach (var part in text[Scheme.Length..].TrimEnd('/').Split(','))
        {
            // As a URL's authority, so that [::1]:11211 is read too; user, path and query are nothing that memcached knows.
            if (!Uri.TryCreate($"tcp://{part.Trim()}", UriKind.Absolute, out var server) || server.Host.Length == 0 || server.UserInfo.Length > 0 || server.PathAndQuery != "/" || server.Fragment.Length > 0 || server.Port == 0)
            {
                return null;
            }

            all.Add((server.DnsSafeHost, server.Port < 0 ? DefaultPort : server.Port));
        }

        return all.Count is >= 1 and <= ServersMax && all.Distinct().Count() == all.Count ? new MemcachedServers(all) : null;
    }

    /// <summary>The key as memcached takes it: as it is, or its hash where it is too long or has other characters than visible ASCII.</summary>
    public static string KeyOf(string key) =>
        key.Length is > 0 and <= KeyBytesMax && !key.StartsWith(Hashed, StringComparison.Ordinal) && !key.AsSpan().ContainsAnyExceptInRange('!', '~')
            ? key : Hashed + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)));

    /// <summary>The index of the server that has a key. What is in braces decides, as in a Redis Cluster: everything of one user is at one server.</summary>
    public int IndexOf(string key)
    {
        var (best, bestScore) = (0, 0UL);
        for (var i = 0; i < All.Count && All.Count > 1; i++)
        {
            var score = Score(All[i], TagOf(key));
            if (score >= bestScore)
            {
                (best, bestScore) = (i, score);
            }
        }

        return best;
    }

    public override string ToString() => string.Join(", ", All.Select(server => string.Create(CultureInfo.InvariantCulture, $"{server.Host}:{server.Port}")));

    private static ReadOnlySpan<char> TagOf(string key)
    {
        var open = key.IndexOf('{', StringComparison.Ordinal);
        var close = open < 0 ? -1 : key.IndexOf('}', open);
        return close > open + 1 ? key.AsSpan(open + 1, close - open - 1) : key;
    }

    // FNV-1a over server and tag, then Murmur3's last step, which spreads what differs in few bits only. The same on every node and in every release: another hash is another server for each key.
    private static ulong Score((string Host, int Port) server, ReadOnlySpan<char> tag)
    {
        var hash = 14_695_981_039_346_656_037UL;
        foreach (var c in server.Host)
        {
            hash = (hash ^ char.ToLowerInvariant(c)) * 1_099_511_628_211UL;
        }

        hash = (hash ^ (ulong)server.Port) * 1_099_511_628_211UL;
        foreach (var c in tag)
        {
            hash = (hash ^ c) * 1_099_511_628_211UL;
        }

        hash = (hash ^ (hash >> 33)) * 0xFF51_AFD7_ED55_8CCDUL;
        hash = (hash ^ (hash >> 33)) * 0xC4CE_B9FE_1A85_EC53UL;
        return hash ^ (hash >> 33);
    }
}

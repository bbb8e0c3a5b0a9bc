using System.Globalization;
using System.Net;

namespace Sluice.Platform.Redis;

/// <summary>A node of a Redis Cluster as one of them describes it: a line of <c>CLUSTER NODES</c>, and of the file in which a node keeps what it knows.</summary>
/// <param name="Address">Null while it is unknown.</param>
/// <param name="IsMyself">It is the one that describes.</param>
/// <param name="PrimaryId">Whose replica it is; <c>-</c> for a primary.</param>
/// <param name="Epoch">Of its configuration, of a replica that of its primary: of two that claim a slot the higher one has it.</param>
/// <param name="Slots">First and last of each range.</param>
public sealed record NamedNode(string Id, IPEndPoint? Address, bool IsMyself, bool IsPrimary, string PrimaryId, long Epoch, IReadOnlyList<(int First, int Last)> Slots)
{
    public const int SlotsInAll = 16_384;

    public bool Has(int slot) => Slots.Any(range => slot >= range.First && slot <= range.Last);

    /// <summary>Lines that describe no node are passed over.</summary>
    public static IEnumerable<NamedNode> Parse(string view)
    {
        foreach (var fields in view.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(line => line.Split(' ')))
        {
            // <id> <ip:port@cport[,hostname]> <flags> <primary> <ping sent> <pong received> <config epoch> <link state> <slot> <slot> …
            if (fields.Length < 8)
            {
                continue;
            }

            var flags = fields[2].Split(',');
            var address = fields[1].Split('@')[0];
            var colon = address.LastIndexOf(':');
            var isKnown = IPAddress.TryParse(address.AsSpan(0, Math.Max(colon, 0)), out var ip) && !flags.Contains("noaddr");
            yield return new NamedNode(
                fields[0], isKnown ? new IPEndPoint(ip!, Number(address[(colon + 1)..])) : null, flags.Contains("myself"), flags.Contains("master"), fields[3], long.Parse(fields[6], CultureInfo.InvariantCulture),

                // "[93->-…" is a slot on its way: it belongs to whom it belonged until the move is over.
                [.. fields.Skip(8).Where(field => field[0] != '[').Select(field => field.Split('-')).Select(bounds => (Number(bounds[0]), Number(bounds[^1])))]);
        }
    }

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}

using StackExchange.Redis;

namespace Sluice.Platform.Redis;

/// <summary>
/// Asks the nodes of a Redis Cluster who has which slot. StackExchange.Redis follows a cluster by itself, but sends a script on to whoever has the slot by now: a claim that was meant for one life of a server would then
/// be taken by another, which may have less. So claims go over one connection for each primary, and this only says where to; docs/adr/0016 has the reasons.
/// </summary>
internal sealed class ClusterNodes : IPrimaries
{
    private static readonly TimeSpan AnswerTimeMax = TimeSpan.FromMilliseconds(400);

    private readonly IConnectionMultiplexer nodes;

    // Every node that was ever named as a primary, and of each slot its newest owner among them: a node that was cut off says what was.
    private readonly List<string> ids = [];
    private readonly List<NamedPrimary> named = [];
    private readonly (short Node, long Epoch)[] owners = [.. Enumerable.Repeat(((short)-1, -1L), NamedNode.SlotsInAll)];

    private ClusterNodes(IConnectionMultiplexer nodes) => this.nodes = nodes;

    public string Says { get; private set; } = "";

    /// <summary>Connects to the nodes that are named; the others it hears of from them.</summary>
    public static async Task<ClusterNodes> ConnectAsync(ConfigurationOptions settings)
    {
        var own = settings.Clone();
        own.ReconnectRetryPolicy = new LinearRetry(1_000);
        return new ClusterNodes(await ConnectionMultiplexer.ConnectAsync(own));
    }

    public async Task<Primaries?> AskAsync()
    {
        var failures = new List<string>();
        var answers = (await Task.WhenAll(nodes.GetServers().Select(async node =>
        {
            try
            {
                return await node.ClusterNodesRawAsync().WaitAsync(AnswerTimeMax);
            }
            catch (Exception e) when (e is RedisException or TimeoutException or ObjectDisposedException)
            {
                lock (failures)
                {
                    failures.Add(e.Message);
                }

                return null;
            }
        }))).OfType<string>().ToList();
        var heard = answers.Select(Note).ToHashSet(StringComparer.Ordinal);
        var all = owners.Select(owner => owner.Node).Where(node => node >= 0).Distinct().ToList();
        var primariesHeard = all.Count(node => heard.Contains(ids[node]));
        if (all.Count == 0 || primariesHeard * 2 <= all.Count)
        {
            Says = $"of the {all.Count} primaries of the Redis Cluster {primariesHeard} answer; no majority, no claims ({failures.FirstOrDefault() ?? "its slots are given to nobody yet"})";
            return null;
        }

        var slots = Array.ConvertAll(owners, owner => all.IndexOf(owner.Node));
        return new Primaries([.. all.Select(node => named[node])], key => slots[nodes.HashSlot(key)]);
    }

    public ValueTask DisposeAsync() => nodes.DisposeAsync();

    // Returns whose view it is.
    private string Note(string view)
    {
        var myself = "";
        foreach (var each in NamedNode.Parse(view))
        {
            if (each.IsMyself)
            {
                myself = each.Id;
            }

            if (!each.IsPrimary || each.Slots.Count == 0 || each.Address is null)
            {
                continue;
            }

            var primary = new NamedPrimary(each.Address, each.Epoch);
            var node = (short)ids.IndexOf(each.Id);
            if (node < 0)
            {
                node = (short)ids.Count;
                ids.Add(each.Id);
                named.Add(primary);
            }
            else if (primary.Epoch >= named[node].Epoch)
            {
                named[node] = primary;
            }

            foreach (var (first, last) in each.Slots)
            {
                foreach (ref var owner in owners.AsSpan(first..(last + 1)))
                {
                    if (primary.Epoch > owner.Epoch)
                    {
                        owner = (node, primary.Epoch);
                    }
                }
            }
        }

        return myself;
    }
}

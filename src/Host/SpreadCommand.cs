using Sluice.Modules.Orders.Contracts;
using Sluice.Operations.Nodes;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;

namespace Sluice.Host;

/// <summary><c>sluice spread</c>: moves orders between shards while the shop stands still. docs/shards.md.</summary>
internal static class SpreadCommand
{
    public static async Task<int> RunAsync(List<KeyValuePair<string, string?>> overrides, int? shards, CancellationToken cancel)
    {
        var settings = Settings.Load(Node.Sections, overrides);
        var (sql, data) = (settings.Get<SqlOptions>(), settings.Get<NodeOptions>().Data);
        if (sql.Shards.Count == 0 || sql.Contradictions().Any())
        {
            throw new SettingsException(["Sql:Shards: name every database that has orders or shall have some, beside a server in Sql:Connection"]);
        }

        using var folder = ServeCommand.Own(settings);
        if (folder is null && await RunningAsync(settings, data) is { Length: > 0 } running)
        {
            await Console.Error.WriteLineAsync($"sluice: still running: {running}. Stop every node first: what they write meanwhile would be left behind.");
            return Commands.WrongArguments;
        }

        using var home = new Database(sql, data);
        Migrations.Run(home, Node.Schemas);
        using var move = await ShardMove.PlanAsync(sql, shards ?? sql.Shards.Count, data, home, Node.Schemas);
        var spread = new SpreadOrders(move);
        if (await spread.WhyNotAsync() is { } whyNot)
        {
            await Console.Error.WriteLineAsync($"sluice: {whyNot}");
            return Commands.WrongArguments;
        }

        Console.WriteLine($"{move.MovingCount} of {ClaimIds.BucketCount} buckets move, so that {move.ShardCount} shards have the orders.");
        var told = 0L;
        long moved;
        try
        {
            moved = await spread.RunAsync(copied =>
            {
                cancel.ThrowIfCancellationRequested();
                if (copied >= told + 100_000)
                {
                    told = copied;
                    Console.WriteLine($"{copied:N0} orders are copied.");
                }
            });
        }
        catch (OperationCanceledException)
        {
            await Console.Error.WriteLineAsync("sluice: broken off. No node starts until it is run again.");
            return Commands.Broken;
        }

        Console.WriteLine($"{moved:N0} orders went to another shard. Start the nodes with Sql:Shards:0 to {move.ShardCount - 1}.");
        return Commands.Well;
    }

    // Nodes that share a Redis say there that they run. One with an embedded Redis owns the folder, and so do we.
    private static async Task<string> RunningAsync(Settings settings, string data)
    {
        using var logs = LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.None));
        await using var redis = await RedisConnection.OpenAsync(settings.Get<RedisOptions>(), data, logs);
        var nodes = settings.Get<NodesOptions>();
        return string.Join(", ", (await new NodeRegistry(redis, nodes).ListAsync()).Where(node => node.Silence < nodes.SilenceMax).Select(node => $"node {node.Node.NodeId} at {node.Node.Address}"));
    }
}

using System.Reflection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>
/// Opens shards that were away when this node started, and shuts all of them when the map is another one than at the start: somebody moves buckets, and this node would write where nobody looks.
/// </summary>
public sealed partial class ShardKeeper(Shards shards, IReadOnlyList<Assembly> assemblies, TimeProvider time, ILogger<ShardKeeper> log) : BackgroundService
{
    private static readonly TimeSpan Round = TimeSpan.FromSeconds(1);

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Rounds.RunAsync(RoundAsync, Round, (error, says) => LogFailed(log, error, says), time, stoppingToken);

    internal async Task RoundAsync()
    {
        if (shards.IsOutdated || await ShardMap.ReadAsync(shards.Main) is not { } map)
        {
            return;
        }

        if (map.Version != shards.MapVersion)
        {
            shards.Outdate();
            LogMapChanged(log);
            return;
        }

        foreach (var shard in shards.All.Where(shard => !shard.IsOpen))
        {
            try
            {
                if (await Shards.PrepareAsync(shard, map, [.. assemblies]) is { } wrong)
                {
                    shard.Shut(wrong);
                    continue;
                }

                shard.Open();
                LogOpen(log, shard.Index);
            }
            catch (DependencyUnavailableException e)
            {
                // Still away; the others are not to wait for it.
                shard.Shut(e.Message);
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Shard {Shard} is away; orders of its users wait: {Says}")]
    internal static partial void LogAway(ILogger log, int shard, string says);

    [LoggerMessage(Level = LogLevel.Information, Message = "Shard {Shard} is there")]
    private static partial void LogOpen(ILogger log, int shard);

    [LoggerMessage(Level = LogLevel.Critical, Message = "The map of the shards was changed while this node ran. Start it again")]
    private static partial void LogMapChanged(ILogger log);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Looking at the shards failed, trying again: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, string says);
}

using System.Data.Common;
using Dapper;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using StackExchange.Redis;

namespace Sluice.Platform.Cache;

/// <summary>
/// Tells every node what has changed. A note of it is written in the transaction of the change (<c>cache_changes</c>, in the database that the transaction is of). Who made the change tells of it right after the commit; half a second later a round tells it once more and
/// deletes the note, so that it is told also when the first one died in between. There is a round for every database in which this node is at home, and for every shard. Telling twice does no harm. What nodes share is dropped first and then they are told: who hears of it finds the new state.
/// </summary>
/// <param name="homes">The databases in which this node is at home; the main one among them or not.</param>
public sealed partial class CacheChanges(Shards shards, IReadOnlyList<Database> homes, CacheTiers tiers, TieredCache cache, TimeProvider time, ILogger<CacheChanges> log) : BackgroundService
{
    /// <summary>The channel on which nodes hear of changes; a message is a key.</summary>
    internal const string Channel = "{sluice:cache}:changes";

    private const int RowsMax = 500;

    // Far longer than a node takes from its commit to telling.
    private static readonly TimeSpan Round = TimeSpan.FromMilliseconds(500), LeftAge = TimeSpan.FromMilliseconds(500);

    private readonly BatchInsert insertNotes = new("cache_changes", "id", "cache_key", "is_private", "made_at");
    private ISubscriber? hearing;

    /// <summary>Notes a change in the transaction that makes it. Tell it with <see cref="TellAsync"/> when that is committed.</summary>
    public async Task AddAsync(DbTransaction transaction, IReadOnlyList<CacheKey> keys)
    {
        // Ids of no meaning: in a table that holds the notes of a second no two are the same.
        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        var ids = keys.Select(_ => Random.Shared.NextInt64()).ToList();
        await insertNotes.RunAsync(transaction, keys.Count, (row, column) => column switch
        {
            0 => ids[row],
            1 => keys[row].Name,
            2 => keys[row].IsPrivate ? 1 : 0,
            _ => now,
        });
    }

    /// <summary>Tells of changes that were noted and are committed. When that fails they are told later; the caller's work is done either way.</summary>
    public async Task TellAsync(IReadOnlyList<CacheKey> keys)
    {
        try
        {
            await DropAsync(keys);
        }
        catch (DependencyUnavailableException e)
        {
            LogLater(log, keys.Count, e.Message);
        }
    }

    /// <summary>Tells of changes that are committed in the main database and were not noted, because there are too many; what cannot be told now is noted now.</summary>
    /// <exception cref="DependencyUnavailableException">Neither went: do it again.</exception>
    public async Task TellUnnotedAsync(IReadOnlyList<CacheKey> keys)
    {
        try
        {
            await DropAsync(keys);
        }
        catch (DependencyUnavailableException)
        {
            await shards.Main.WriteAsync(transaction => AddAsync(transaction, keys), LostCommit.RunAgain);
        }
    }

    /// <summary>Drops what is kept under these keys, and tells everybody who may have it in memory.</summary>
    /// <exception cref="DependencyUnavailableException">Not all of it is done: do it again.</exception>
    public async Task DropAsync(IReadOnlyList<CacheKey> keys)
    {
        FaultPoints.Reach("change.committed");
        try
        {
            DependencyUnavailableException? undropped = null;
            try
            {
                await (tiers.Shared?.DropAsync([.. keys.Select(key => key.Name)]) ?? Task.CompletedTask);
            }
            catch (DependencyUnavailableException e) when (!tiers.SharedIsTelling)
            {
                // One memcached of several may be away for hours: the others' keys are dropped, and all nodes hear of all of them now. It is told again until it went.
                undropped = e;
            }

            if (tiers.Telling is { } telling)
            {
                await Task.WhenAll(keys.Where(key => !key.IsPrivate).Select(key => telling.GuardAsync(Channel, db => db.PublishAsync(RedisChannel.Literal(Channel), key.Name))));
            }

            if (undropped is not null)
            {
                throw undropped;
            }
        }
        finally
        {
            // Also when Redis is away: whoever made the change sees it through this node.
            foreach (var key in keys)
            {
                cache.Hear(key.Name);
            }
        }
    }

    // One for each database: what waits in one that is away waits for it alone.
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(
        homes.Select(home => (Func<Task>)(() => TellAllNotedAsync(home))).Concat(homes.Contains(shards.Main) ? shards.Others.Select(shard => (Func<Task>)(() => TellAllNotedAsync(shard.Database))) : [])
            .Prepend(LookAsync).Select(round => Rounds.RunAsync(round, Round, (error, says) => LogFailed(log, error, says), time, stoppingToken)));

    /// <summary>One round of everything but the shards.</summary>
    internal async Task RoundAsync()
    {
        await LookAsync();
        foreach (var home in homes)
        {
            await TellAllNotedAsync(home);
        }
    }

    private Task LookAsync()
    {
        cache.Sweep();
        return ListenAsync();
    }

    private async Task TellAllNotedAsync(Database database)
    {
        var before = time.GetUtcNow().ToUnixTimeMilliseconds() - (long)LeftAge.TotalMilliseconds;
        while (await TellNotedAsync(database, before) == RowsMax)
        {
        }
    }

    private async Task<int> TellNotedAsync(Database database, long before)
    {
        var noted = (await database.ReadAsync(connection => connection.QueryAsync<(long Id, string Key, long IsPrivate)>(
            "SELECT id, cache_key, is_private FROM cache_changes WHERE made_at < @before ORDER BY made_at LIMIT @RowsMax", new { before, RowsMax }))).AsList();
        if (noted.Count > 0)
        {
            await DropAsync([.. noted.Select(row => new CacheKey(row.Key, row.IsPrivate != 0))]);

            // Of many ids MariaDB may think that the whole table is the shorter way, and waits there for notes that are not committed yet. The time keeps it among the old ones.
            await database.WriteAsync(
                transaction => transaction.Connection!.ExecuteAsync("DELETE FROM cache_changes WHERE made_at < @before AND id IN @ids", new { before, ids = SqlList.Of(noted.Select(row => row.Id)) }, transaction), LostCommit.RunAgain);
        }

        return noted.Count;
    }

    // After a failover it is another server that tells; what was told meanwhile nobody heard.
    private async Task ListenAsync()
    {
        if (tiers.Telling is not { } telling)
        {
            return;
        }

        var subscriber = telling.DbOf(Channel).Multiplexer.GetSubscriber();
        if (ReferenceEquals(subscriber.Multiplexer, hearing?.Multiplexer))
        {
            return;
        }

        await telling.GuardAsync(Channel, async _ =>
        {
            await subscriber.SubscribeAsync(RedisChannel.Literal(Channel), (_, key) => cache.Hear(key.ToString()));
            return true;
        });
        subscriber.Multiplexer.ConnectionRestored += (_, _) => cache.HearAll();
        hearing = subscriber;
        cache.HearAll();
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Count} changes are told to the caches later: {Says}")]
    private static partial void LogLater(ILogger log, int count, string says);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Telling caches of changes failed, trying again: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, string says);
}

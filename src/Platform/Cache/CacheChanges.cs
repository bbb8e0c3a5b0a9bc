using System.Collections.Concurrent;
using System.Data.Common;
using Dapper;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using StackExchange.Redis;

namespace Sluice.Platform.Cache;

/// <summary>
/// Tells every node what has changed. A note of it is written in the transaction of the change (<c>cache_changes</c>). Who made the change tells of it right after the commit; half a second later a round tells it once more and
/// deletes the note, so that it is told also when the first one died in between. Telling twice does no harm. What nodes share is dropped first and then they are told: who hears of it finds the new state.
/// </summary>
public sealed partial class CacheChanges(Database database, CacheTiers tiers, TimeProvider time, ILogger<CacheChanges> log) : BackgroundService
{
    /// <summary>The channel on which nodes hear of changes; a message is a key.</summary>
    internal const string Channel = "{sluice:cache}:changes";

    private const int RowsMax = 500;

    // Far longer than a node takes from its commit to telling.
    private static readonly TimeSpan Round = TimeSpan.FromMilliseconds(500), LeftAge = TimeSpan.FromMilliseconds(500);

    // When this node heard of a change of a key, as a timestamp. Kept longer than anything that was read before can be in memory.
    private readonly ConcurrentDictionary<string, long> heard = new(StringComparer.Ordinal);
    private long heardAll, sweptAt;
    private ISubscriber? hearing;

    /// <summary>Notes a change in the transaction that makes it. Tell it with <see cref="TellAsync"/> when that is committed.</summary>
    public static async Task AddAsync(DbTransaction transaction, IReadOnlyCollection<CacheKey> keys)
    {
        var now = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        await transaction.Connection!.ExecuteAsync(
            "INSERT INTO cache_changes (id, cache_key, is_private, made_at) VALUES (@id, @key, @isPrivate, @now)",
            keys.Select(key => new { id = Guid.NewGuid().ToString("N"), key = key.Name, isPrivate = key.IsPrivate ? 1 : 0, now }),
            transaction);
    }

    /// <summary>Tells of changes that were noted and are committed. When that fails they are told later; the caller's work is done either way.</summary>
    public async Task TellAsync(IReadOnlyCollection<CacheKey> keys)
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

    /// <summary>Tells of changes that are committed and were not noted, because there are too many; what cannot be told now is noted now.</summary>
    /// <exception cref="DependencyUnavailableException">Neither went: do it again.</exception>
    public async Task TellUnnotedAsync(IReadOnlyCollection<CacheKey> keys)
    {
        try
        {
            await DropAsync(keys);
        }
        catch (DependencyUnavailableException)
        {
            await database.WriteAsync(transaction => AddAsync(transaction, keys), LostCommit.RunAgain);
        }
    }

    /// <summary>Drops what is kept under these keys, and tells everybody who may have it in memory.</summary>
    /// <exception cref="DependencyUnavailableException">Not all of it is done: do it again.</exception>
    public async Task DropAsync(IReadOnlyCollection<CacheKey> keys)
    {
        if (tiers.Shared is { } shared)
        {
            await shared.DropAsync([.. keys.Select(key => key.Name)]);
            foreach (var key in keys.Where(key => !key.IsPrivate))
            {
                await shared.Redis.GuardAsync(Channel, db => db.PublishAsync(RedisChannel.Literal(Channel), key.Name));
            }
        }

        foreach (var key in keys)
        {
            Hear(key.Name);
        }
    }

    /// <summary>Whether something changed after this was begun to be read, as far as this node has heard.</summary>
    internal bool IsOutdated(CacheKey key, long asOf) => asOf <= Volatile.Read(ref heardAll) || (!heard.IsEmpty && heard.TryGetValue(key.Name, out var at) && asOf <= at);

    internal void Hear(string key) => heard[key] = time.GetTimestamp();

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Rounds.RunAsync(RoundAsync, Round, (error, says) => LogFailed(log, error, says), time, stoppingToken);

    /// <summary>Listens where it does not yet, tells what was noted a while ago, and forgets what it heard long ago.</summary>
    internal async Task RoundAsync()
    {
        Sweep();
        await ListenAsync();
        var before = time.GetUtcNow().ToUnixTimeMilliseconds() - (long)LeftAge.TotalMilliseconds;
        var left = (await database.ReadAsync(connection => connection.QueryAsync<(string Id, string Key, long IsPrivate)>(
            "SELECT id, cache_key, is_private FROM cache_changes WHERE made_at < @before ORDER BY made_at LIMIT @RowsMax", new { before, RowsMax }))).AsList();
        if (left.Count > 0)
        {
            await DropAsync([.. left.Select(row => new CacheKey(row.Key, row.IsPrivate != 0))]);
            await database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync("DELETE FROM cache_changes WHERE id IN @ids", new { ids = SqlList.Of(left.Select(row => row.Id)) }, transaction), LostCommit.RunAgain);
        }
    }

    // After a failover it is another server that tells; what was told meanwhile nobody heard.
    private async Task ListenAsync()
    {
        if (tiers.Shared is not { } shared)
        {
            return;
        }

        var subscriber = shared.Redis.DbOf(Channel).Multiplexer.GetSubscriber();
        if (ReferenceEquals(subscriber.Multiplexer, hearing?.Multiplexer))
        {
            return;
        }

        await shared.Redis.GuardAsync(Channel, async _ =>
        {
            await subscriber.SubscribeAsync(RedisChannel.Literal(Channel), (_, key) => Hear(key.ToString()));
            return true;
        });
        subscriber.Multiplexer.ConnectionRestored += (_, _) => HearAll();
        hearing = subscriber;
        HearAll();
    }

    private void HearAll() => Volatile.Write(ref heardAll, time.GetTimestamp());

    private void Sweep()
    {
        if (time.GetElapsedTime(sweptAt) < tiers.HeardAge)
        {
            return;
        }

        sweptAt = time.GetTimestamp();
        foreach (var (key, at) in heard)
        {
            if (time.GetElapsedTime(at) > tiers.HeardAge)
            {
                heard.TryRemove(new(key, at));
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Count} changes are told to the caches later: {Says}")]
    private static partial void LogLater(ILogger log, int count, string says);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Telling caches of changes failed, trying again: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, string says);
}

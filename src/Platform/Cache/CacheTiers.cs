using Microsoft.Extensions.Logging;
using Sluice.Platform.Redis;

namespace Sluice.Platform.Cache;

/// <summary>What there is to keep answers in, beside the memory of each node.</summary>
public sealed class CacheTiers : IAsyncDisposable
{
    private readonly bool isOwn;

    private CacheTiers(ISharedStore? store, bool isOwn, RedisConnection? telling, bool isAlone, TimeSpan heardAge, TimeProvider time)
    {
        (this.isOwn, Telling, IsAlone, HeardAge) = (isOwn, telling, isAlone, heardAge);
        Shared = store is null ? null : new SharedAnswers(store, time);
        SharedIsTelling = store is RedisStore;
    }

    /// <summary>For the start banner; empty where the cache has no server of its own.</summary>
    public string Describe => isOwn ? $"; cache: {Shared!.Describe}" : "";

    /// <summary>What nodes share; null where they share nothing, or there is only this one.</summary>
    internal SharedAnswers? Shared { get; }

    /// <summary>The Redis through which nodes tell each other what has changed; null where they do not. What they share is in it too, or elsewhere.</summary>
    internal RedisConnection? Telling { get; }

    /// <summary>One Redis does both, so that when the one is away the other is too.</summary>
    internal bool SharedIsTelling { get; }

    /// <summary>There is no other node, so this one's memory may also keep what is private.</summary>
    internal bool IsAlone { get; }

    /// <summary>Longer than anything that was read before stays in memory: so long a change that was heard of is remembered.</summary>
    internal TimeSpan HeardAge { get; }

    /// <exception cref="Hosting.DependencyUnavailableException">The cache's own Redis does not answer, or what answers is not what was named.</exception>
    public static async Task<CacheTiers> OpenAsync(CacheOptions options, RedisConnection redis, string dataFolder, ILoggerFactory logs, TimeProvider time)
    {
        var heardAge = options.StaleMax + options.ProcessAge + TimeSpan.FromMinutes(1);
        if (options.Connection.Length == 0)
        {
            return redis.IsEmbedded ? Of(null, null) : Of(new RedisStore(redis, ownsConnection: false), redis);
        }

        if (options.Connection.Equals("none", StringComparison.OrdinalIgnoreCase))
        {
            return Of(null, null);
        }

        // Neither of these two tells anybody anything: that stays with the Redis that sells. The embedded one has nobody to tell.
        var telling = redis.IsEmbedded ? null : redis;
        if (MemcachedServers.TryParse(options.Connection) is { } servers)
        {
            return Of(await MemcachedStore.OpenAsync(servers, options.CallTimeMax, time, logs.CreateLogger<MemcachedStore>()), telling);
        }

        if (options.Connection.StartsWith(MongoStore.Scheme, StringComparison.OrdinalIgnoreCase))
        {
            return Of(await MongoStore.OpenAsync(options.Connection, options.CallTimeMax, time, logs.CreateLogger<MongoStore>()), telling);
        }

        var own = await RedisConnection.OpenAsync(new RedisOptions { Connection = options.Connection, AcceptWeakDurability = true, CallTimeMax = options.CallTimeMax, CaFile = redis.CaFile }, dataFolder, logs);
        return Of(new RedisStore(own, ownsConnection: true), own);

        CacheTiers Of(ISharedStore? store, RedisConnection? by) => new(store, options.Connection.Length > 0 && store is not null, by, redis.IsEmbedded, heardAge, time);
    }

    public ValueTask DisposeAsync() => Shared?.DisposeAsync() ?? ValueTask.CompletedTask;
}

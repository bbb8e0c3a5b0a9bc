using Microsoft.Extensions.Logging;
using Sluice.Platform.Redis;

namespace Sluice.Platform.Cache;

/// <summary>What there is to keep answers in, beside the memory of each node.</summary>
public sealed class CacheTiers : IAsyncDisposable
{
    private CacheTiers(SharedAnswers? shared, bool isAlone, TimeSpan heardAge) => (Shared, IsAlone, HeardAge) = (shared, isAlone, heardAge);

    /// <summary>For the start banner; empty where the cache has no server of its own.</summary>
    public string Describe => Shared is { OwnsConnection: true } own ? $"; cache: {own.Redis.Describe}" : "";

    /// <summary>What nodes share; null where they share nothing, or there is only this one.</summary>
    internal SharedAnswers? Shared { get; }

    /// <summary>There is no other node, so this one's memory may also keep what is private.</summary>
    internal bool IsAlone { get; }

    /// <summary>Longer than anything that was read before stays in memory: so long a change that was heard of is remembered.</summary>
    internal TimeSpan HeardAge { get; }

    /// <exception cref="Hosting.DependencyUnavailableException">The cache's own Redis does not answer.</exception>
    public static async Task<CacheTiers> OpenAsync(CacheOptions options, RedisConnection redis, string dataFolder, ILoggerFactory logs, TimeProvider time)
    {
        var heardAge = options.StaleMax + options.ProcessAge + TimeSpan.FromMinutes(1);
        return options.Connection.Length == 0 ? new CacheTiers(redis.IsEmbedded ? null : new SharedAnswers(redis, time), redis.IsEmbedded, heardAge)
            : options.Connection.Equals("none", StringComparison.OrdinalIgnoreCase) ? new CacheTiers(null, redis.IsEmbedded, heardAge)
            : new CacheTiers(
                new SharedAnswers(await RedisConnection.OpenAsync(new RedisOptions { Connection = options.Connection, AcceptWeakDurability = true }, dataFolder, logs), time) { OwnsConnection = true },
                redis.IsEmbedded,
                heardAge);
    }

    public ValueTask DisposeAsync() => Shared?.DisposeAsync() ?? ValueTask.CompletedTask;
}

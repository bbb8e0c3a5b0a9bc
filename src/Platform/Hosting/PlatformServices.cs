using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Admission;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using Sluice.Platform.WriteQueue;

namespace Sluice.Platform.Hosting;

/// <summary>Composes the building blocks. The options objects, the databases and the Redis connection are opened before, so that a start that cannot work says so at once.</summary>
public static class PlatformServices
{
    /// <param name="schemas">What brings a shard's schema up to date; empty on a node that leaves that to others.</param>
    public static void AddPlatform(this IServiceCollection services, NodeOptions node, NodeDatabases databases, Shards shards, RedisConnection redis, CacheTiers tiers, IReadOnlyList<Assembly> schemas)
    {
        services.AddSingleton(node);
        services.AddSingleton(databases);
        services.AddSingleton(databases.Main);
        services.AddSingleton(shards);
        if (shards.MapVersion > 0)
        {
            services.AddHostedService(provider => ActivatorUtilities.CreateInstance<ShardKeeper>(provider, schemas));
        }

        services.AddSingleton(redis);
        services.AddSingleton(tiers);
        services.AddSingleton(TimeProvider.System);
        services.AddSingleton(provider => new ClaimIds(node.NodeId, provider.GetRequiredService<TimeProvider>()));

        services.AddSingleton<TieredCache>();
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<CacheChanges>(provider, databases.Homes));
        services.AddHostedService(provider => provider.GetRequiredService<CacheChanges>());

        services.AddSingleton<PoolMetrics>();
        services.AddSingleton<QueueSignal>();
        services.AddSingleton(provider =>
        {
            var pools = provider.GetRequiredService<PoolsOptions>();
            return new AckJournal(pools, Path.Combine(node.Data, "acknowledged"), writesDown: redis.IsEmbedded && pools.Durability != Durability.Committed);
        });
        services.AddSingleton<PoolRebuilder>();
        services.AddSingleton<PoolStore>();
        services.AddSingleton<LeftUnits>();
        services.AddSingleton<Lanes>();
        services.AddSingleton<PoolClaims>();
        services.AddSingleton<ClaimWaiters>();
        services.AddSingleton<ClaimWriter>();
        services.AddSingleton<IQueueUse>(provider => provider.GetRequiredService<ClaimWriter>());
        services.AddSingleton<SqlClaims>();
        services.AddSingleton<RedisAway>();
        services.AddSingleton<Releases>();
        services.AddSingleton<ShardReleases>();
        services.AddSingleton<PoolAudit>();
        services.AddSingleton(_ => Certificates.LoadOrCreateKey(node.Data));
        services.AddSingleton<Certificates>();
        services.AddSingleton<PoolKeeper>();

        var tokenSecret = KeyFiles.LoadOrCreate(Path.Combine(node.Data, "token.key"), KeyFiles.NewSecret);
        services.AddSingleton(provider => new UserTokens(tokenSecret, provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<TokenKeys>(provider, tokenSecret));
        services.AddSingleton(provider => new Access(
            provider.GetRequiredService<UserTokens>(), KeyFiles.LoadOrCreate(Path.Combine(node.Data, "admin.key"), KeyFiles.NewSecret),
            provider.GetRequiredService<OidcOptions>().Issuer.Length > 0 ? provider.GetRequiredService<OidcTokens>() : null));
        services.AddSingleton<OidcTokens>();
        services.AddSingleton<Edge>();
        services.AddSingleton<Idempotency>();
        services.AddSingleton<ApiNodes>();
        services.AddSingleton<RateLimits>();
        services.AddSingleton<AddressLimit>();
        services.AddSingleton(provider => new ClaimsAtOnce(
            provider.GetRequiredService<AdmissionOptions>(), provider.GetRequiredService<PoolsOptions>().WaitingClaimsMax, provider.GetRequiredService<TimeProvider>()));
    }

    /// <summary>What a module asks for by its name, because it may have engines of its own: <c>[FromKeyedServices("Accounts")] Database</c>, <c>Idempotency</c>, <c>RateLimits</c>.</summary>
    /// <param name="redis">The module's own, or null.</param>
    public static void AddModuleEngines(this IServiceCollection services, IModule module, Database database, RedisConnection? redis)
    {
        services.AddKeyedSingleton(module.Name, database);
        services.AddKeyedSingleton(module.Name, (provider, _) => new Idempotency(database, provider.GetRequiredService<TimeProvider>()));
        services.AddKeyedSingleton(module.Name, (provider, _) => redis is null ? provider.GetRequiredService<RateLimits>() : ActivatorUtilities.CreateInstance<RateLimits>(provider, redis));
    }

    /// <summary>Background work of the platform on nodes with the role api.</summary>
    public static void AddPlatformApi(this IServiceCollection services, NodeDatabases databases)
    {
        services.AddHostedService(provider => provider.GetRequiredService<TokenKeys>());
        if (databases.IsHomeInMain)
        {
            services.AddHostedService<KeepAcknowledged>();
            services.AddHostedService(provider => provider.GetRequiredService<RedisAway>());
        }
    }

    /// <summary>Background work of the platform on nodes with the role worker.</summary>
    public static void AddPlatformWorkers(this IServiceCollection services, NodeDatabases databases, WriteQueueOptions queue)
    {
        if (!databases.IsHomeInMain)
        {
            return;
        }

        services.AddHostedService(provider => provider.GetRequiredService<PoolKeeper>());
        if (queue.Engine == QueueEngine.Redis)
        {
            services.AddHostedService<QueueDrain>();
            return;
        }

        // The reader first: services stop in the other order, and what the carrier brings at the end must still be written.
        services.AddSingleton<Brokers>();
        services.AddHostedService<QueueReader>();
        services.AddHostedService<QueueCarrier>();
    }
}

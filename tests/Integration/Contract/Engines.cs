using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using Sluice.Platform.WriteQueue;
using Sluice.Tests.Integration.Contract;
using Sluice.Tests.Integration.Servers;

[assembly: AssemblyFixture(typeof(Engines))]

namespace Sluice.Tests.Integration.Contract;

/// <summary>The servers that must keep the same contract.</summary>
public enum Engine
{
    /// <summary>Garnet inside this process, as a node without any setting runs it.</summary>
    Garnet,

    /// <summary>A real redis-server, every write fsynced.</summary>
    Redis,

    /// <summary>A real primary with two replicas and three Sentinels; a claim is acknowledged when a replica has it.</summary>
    Sentinel,

    /// <summary>Three real primaries of a Redis Cluster, each with a replica; a claim is acknowledged when the replica has it.</summary>
    RedisCluster,

    /// <summary>A real redis-server, and a real mariadbd in the place of SQLite, every commit flushed.</summary>
    MariaDb,

    /// <summary>Claims without Redis, on SQLite: all of a pool is set aside and sold by SQL. Redis is there for the audit only.</summary>
    SqlAlone,

    /// <summary>The same on a real mariadbd.</summary>
    MariaDbAlone,
}

/// <summary>Engines for one node: a Redis that others share, and a database of its own.</summary>
/// <param name="Durability">What a node on these engines promises.</param>
/// <param name="SqlSells">A node on these engines takes Redis to be away.</param>
public sealed record EnginePair(RedisConnection Redis, SqlOptions Sql, Durability Durability = Durability.Logged, bool SqlSells = false);

/// <summary>
/// One server of each kind for the whole run, started when the first test asks. Tests share them, so each takes pool ids of its own from <see cref="NextPoolId"/>.
/// </summary>
public sealed class Engines : IAsyncDisposable
{
    private static long lastPoolId;

    private readonly TempFolder folder = new();
    private readonly Lazy<Task<RedisConnection>> garnet;
    private readonly Lazy<Task<RedisServer>> redisServer = new(RedisServer.StartAsync);
    private readonly Lazy<Task<RedisConnection>> redis;
    private readonly Lazy<Task<RedisGroup>> group = new(RedisGroup.StartAsync);
    private readonly Lazy<Task<RedisConnection>> sentinel;
    private readonly Lazy<Task<RedisClusterServers>> clusterServers = new(RedisClusterServers.StartAsync);
    private readonly Lazy<Task<RedisConnection>> cluster;
    private readonly Lazy<Task<MariaDbServer>> mariaDb = new(() => MariaDbServer.StartAsync());
    private readonly Lazy<Task<RabbitMqServer>> rabbitMq = new(RabbitMqServer.StartAsync);
    private readonly Lazy<KafkaCluster> kafka = new(() => new KafkaCluster());

    public Engines()
    {
        // Two shared cores and thousands of histories in flight: the product's two seconds are for users who wait, not for this.
        var patience = TimeSpan.FromSeconds(30);
        garnet = new(() => RedisConnection.OpenAsync(new RedisOptions { CallTimeMax = patience }, folder.Path, NullLoggerFactory.Instance));
        redis = new(async () =>
        {
            var server = await redisServer.Value;
            return await RedisConnection.OpenAsync(new RedisOptions { Connection = server.Connection, CallTimeMax = patience }, folder.Path, NullLoggerFactory.Instance);
        });
        sentinel = new(async () => await RedisConnection.OpenAsync((await group.Value).Options(patience, replicaWaitMax: TimeSpan.FromSeconds(10)), folder.Path, NullLoggerFactory.Instance, replicated: true));
        cluster = new(async () => await RedisConnection.OpenAsync((await clusterServers.Value).Options(patience, replicaWaitMax: TimeSpan.FromSeconds(10)), folder.Path, NullLoggerFactory.Instance, replicated: true));
    }

    /// <summary>An id that no other test has.</summary>
    public static long NextPoolId() => Interlocked.Increment(ref lastPoolId);

    public async Task<EnginePair> OpenAsync(Engine engine) => engine switch
    {
        Engine.Garnet => new(await garnet.Value, Sql(SqlOptions.Embedded)),
        Engine.Redis => new(await redis.Value, Sql(SqlOptions.Embedded)),
        Engine.Sentinel => new(await sentinel.Value, Sql(SqlOptions.Embedded), Durability.Replicated),
        Engine.RedisCluster => new(await cluster.Value, Sql(SqlOptions.Embedded), Durability.Replicated),
        Engine.MariaDb => new(await redis.Value, Sql(await (await mariaDb.Value).NewDatabaseAsync())),
        Engine.SqlAlone => new(await garnet.Value, Sql(SqlOptions.Embedded), SqlSells: true),
        Engine.MariaDbAlone => new(await garnet.Value, Sql(await (await mariaDb.Value).NewDatabaseAsync()), SqlSells: true),
    };

    /// <summary>The server behind <see cref="Engine.MariaDb"/>.</summary>
    public Task<MariaDbServer> MariaDbAsync() => mariaDb.Value;

    /// <summary>The server behind <see cref="QueueEngine.RabbitMq"/>.</summary>
    public Task<RabbitMqServer> RabbitMqAsync() => rabbitMq.Value;

    /// <summary>A queue that nobody else uses, on a server that others share.</summary>
    public async Task<WriteQueueOptions> QueueAsync(QueueEngine engine, int inFlightMax = 40_000, int lagMax = 2_000_000) => new()
    {
        Engine = engine, Name = $"test-{NextPoolId()}", RepublishAfter = TimeSpan.FromSeconds(1), InFlightMax = inFlightMax, LagMax = lagMax, BatchRowsMax = 100,
        Connection = engine switch
        {
            QueueEngine.Redis => "",
            QueueEngine.RabbitMq => (await rabbitMq.Value).Connection,
            QueueEngine.Kafka => kafka.Value.Connection,
        },
    };

    /// <summary>The same for a server process.</summary>
    public static IReadOnlyList<string> QueueSettings(WriteQueueOptions queue) =>
        [$"WriteQueue:Engine={queue.Engine}", $"WriteQueue:Connection={queue.Connection}", $"WriteQueue:Name={queue.Name}", "WriteQueue:RepublishAfter=00:00:02"];

    private static SqlOptions Sql(string connection) =>
        new() { Connection = connection, LockWaitMax = TimeSpan.FromSeconds(30), StatementTimeMax = TimeSpan.FromMinutes(1), ConnectTimeMax = TimeSpan.FromSeconds(30), ConnectionsMax = 32 };

    public async ValueTask DisposeAsync()
    {
        // One that could not be opened has failed its tests already; it must not keep the server's process from being ended.
        foreach (var connection in new[] { garnet, redis, sentinel, cluster }.Where(connection => connection is { IsValueCreated: true, Value.IsCompletedSuccessfully: true }))
        {
            await (await connection.Value).DisposeAsync();
        }

        if (group is { IsValueCreated: true, Value.IsCompletedSuccessfully: true })
        {
            await (await group.Value).DisposeAsync();
        }

        if (clusterServers is { IsValueCreated: true, Value.IsCompletedSuccessfully: true })
        {
            await (await clusterServers.Value).DisposeAsync();
        }

        if (redisServer.IsValueCreated)
        {
            await (await redisServer.Value).DisposeAsync();
        }

        if (mariaDb is { IsValueCreated: true, Value.IsCompletedSuccessfully: true })
        {
            await (await mariaDb.Value).DisposeAsync();
        }

        if (rabbitMq is { IsValueCreated: true, Value.IsCompletedSuccessfully: true })
        {
            await (await rabbitMq.Value).DisposeAsync();
        }

        if (kafka.IsValueCreated)
        {
            await kafka.Value.DisposeAsync();
        }

        folder.Dispose();
    }
}

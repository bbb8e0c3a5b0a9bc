using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Dapper;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;

namespace Sluice.Tests.Integration.Contract;

/// <summary>The cache of one node, over a table of facts that have a version and nothing else.</summary>
internal sealed class CacheNode : IAsyncDisposable
{
    private readonly RedisConnection redis;
    private readonly CacheTiers tiers;
    private readonly ConcurrentDictionary<string, int> loadsOf = new(StringComparer.Ordinal);
    private int loads, restored;

    private CacheNode(RedisConnection redis, CacheTiers tiers, CacheOptions options, Database database)
    {
        (this.redis, this.tiers, Database) = (redis, tiers, database);
        Cache = new TieredCache(tiers, options, TimeProvider.System);
        Changes = new CacheChanges(Shards.None(database), [database], tiers, Cache, TimeProvider.System, NullLogger<CacheChanges>.Instance);
    }

    public Database Database { get; }

    public CacheChanges Changes { get; }

    public TieredCache Cache { get; }

    public int Loads => loads;

    /// <summary>How often a connection through which it hears of changes came back: so often it took everything for changed, beside its start.</summary>
    public int Restored => Volatile.Read(ref restored);

    /// <summary>For a test that stops a read of SQL in the middle: after it has read, before it returns.</summary>
    public Func<Task> Between { get; set; } = () => Task.CompletedTask;

    /// <summary>A database with the table, for all nodes of a test.</summary>
    public static async Task<Database> NewDatabaseAsync(string folder)
    {
        var database = new Database(new SqlOptions(), folder);
        Migrations.Run(database, typeof(Database).Assembly);
        await database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync("CREATE TABLE facts (name TEXT PRIMARY KEY, version BIGINT NOT NULL)", transaction: transaction));
        return database;
    }

    public static async Task<CacheNode> OpenAsync(string redisConnection, Database database, string folder, CacheOptions? options = null)
    {
        var redis = await RedisConnection.OpenAsync(new RedisOptions { Connection = redisConnection, CallTimeMax = TimeSpan.FromSeconds(20) }, folder, NullLoggerFactory.Instance);
        options ??= new CacheOptions();
        var node = new CacheNode(redis, await CacheTiers.OpenAsync(options, redis, folder, NullLoggerFactory.Instance, TimeProvider.System), options, database);

        // Before the node itself: what it does then is counted already.
        redis.DbOf(CacheChanges.Channel).Multiplexer.ConnectionRestored += (_, _) => Interlocked.Increment(ref node.restored);
        await Servers.Eventually.TrueAsync(
            async () =>
            {
                try
                {
                    await node.Changes.RoundAsync();
                    return true;
                }
                catch (DependencyUnavailableException)
                {
                    return false;
                }
            },
            "the node listens");
        return node;
    }

    /// <summary>How often this fact was read from SQL.</summary>
    public int LoadsOf(CacheKey key) => loadsOf.GetValueOrDefault(key.Name);

    /// <summary>The version that this node shows, null when it says that there is no such fact.</summary>
    public async Task<long?> SeeAsync(CacheKey key, long known = 0) => await Cache.GetAsync(key, () => LoadAsync(key.Name), known) is { Json: { } json } answer
        ? answer.Version == long.Parse(Encoding.ASCII.GetString(json), CultureInfo.InvariantCulture) ? answer.Version : throw new InvalidOperationException("Version and answer are of two states.")
        : null;

    /// <summary>The versions of several facts of one user, asked for together.</summary>
    public async Task<IReadOnlyList<long>> SeeManyAsync(params CacheKey[] keys) =>
        [.. (await Cache.GetManyAsync([.. keys.Select(key => new CachePart(key, () => LoadAsync(key.Name)))])).Select(answer => answer.Version)];

    /// <summary>Raises the version by one; the change is noted, not told.</summary>
    public Task<long> ChangeAsync(CacheKey key) => Database.WriteAsync(async transaction =>
    {
        await Changes.AddAsync(transaction, [key]);
        return await transaction.Connection!.QuerySingleAsync<long>(
            "INSERT INTO facts (name, version) VALUES (@Name, 1) ON CONFLICT (name) DO UPDATE SET version = version + 1 RETURNING version", new { key.Name }, transaction);
    });

    public async ValueTask DisposeAsync()
    {
        Cache.Dispose();
        Changes.Dispose();
        await tiers.DisposeAsync();
        await redis.DisposeAsync();
    }

    private async Task<CachedAnswer> LoadAsync(string name)
    {
        Interlocked.Increment(ref loads);
        loadsOf.AddOrUpdate(name, 1, (_, before) => before + 1);
        var version = await Database.ReadAsync(connection => connection.QuerySingleOrDefaultAsync<long?>("SELECT version FROM facts WHERE name = @name", new { name }));
        await Between();
        return version is { } found ? new CachedAnswer(found, Encoding.ASCII.GetBytes(found.ToString(CultureInfo.InvariantCulture))) : CachedAnswer.None;
    }
}

using System.Data.Common;
using System.Globalization;
using Dapper;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using Sluice.Platform.WriteQueue;
using Sluice.Tests.Integration.Servers;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>The claim path of one node as the host composes it, on an engine that others share and a database of its own. No HTTP; the worker runs when a test says so.</summary>
internal sealed class PoolNode : IDisposable
{
    public const string Kind = "plain";

    private readonly TempFolder folder = new();
    private readonly PoolMetrics metrics = new();
    private readonly bool sqlSells;
    private readonly QueueSignal signal = new();
    private readonly bool ownsDatabase;

    /// <param name="database">Another node's, to stand beside it.</param>
    /// <param name="kinds">Kinds of pools whose modules it runs; null: the plain one.</param>
    public PoolNode(
        EnginePair engines, PoolsOptions? options = null, WriteQueueOptions? queue = null, TimeProvider? clock = null, Database? database = null, IReadOnlyList<IPoolKind>? kinds = null)
    {
        kinds ??= [new PlainKind(Kind)];
        var redis = Redis = engines.Redis;
        Queue = queue ?? new WriteQueueOptions();
        var time = clock ?? TimeProvider.System;
        Database = database ?? new Database(engines.Sql, folder.Path);
        ownsDatabase = database is null;
        if (ownsDatabase)
        {
            Migrations.Run(Database, typeof(Database).Assembly);
        }

        Ids = new ClaimIds(nodeId: ownsDatabase ? 1 : 2, time);

        var settings = options ?? new PoolsOptions { Durability = engines.Durability, DegradedClaimsPerSecond = 100_000 };
        Journal = new AckJournal(settings);

        // On the real clock even where a test turns the node's own: a rebuild waits for others, who do not know that clock.
        Rebuilder = new PoolRebuilder(Database, redis, Journal, TimeProvider.System, NullLogger<PoolRebuilder>.Instance);
        Pools = new PoolStore(Database, redis, Rebuilder, Ids, time);
        var waiters = new ClaimWaiters(Database, time);
        Writer = new ClaimWriter(Database, redis, Rebuilder, waiters, Journal, kinds, metrics, time, NullLogger<ClaimWriter>.Instance);
        Sql = new SqlClaims(Database, Writer, metrics, settings, time);
        Sql.Begin();
        Away = new RedisAway(redis, Database, Rebuilder, Writer, Journal, Sql, settings, time, NullLogger<RedisAway>.Instance);
        sqlSells = engines.SqlSells;
        if (sqlSells)
        {
            Away.GoOver();
        }

        Lanes = new Lanes(Pools, Database, redis, TimeProvider.System);
        Claims = new PoolClaims(Pools, Lanes, redis, Rebuilder, Ids, waiters, signal, metrics, Journal, Away, Sql, settings, Queue, time);
        Releases = new Releases(Database, redis, Claims, Rebuilder, time);
        Audit = new PoolAudit(Database, Shards.None(Database), redis, kinds, time);
        Keeper = new PoolKeeper(Database, redis, Rebuilder, Pools, Lanes, Releases, Ids, time, NullLogger<PoolKeeper>.Instance);
        Drain = NewDrain();
        Keeping = new KeepAcknowledged(Journal, Database, redis, Writer, time, NullLogger<KeepAcknowledged>.Instance);
    }

    public RedisConnection Redis { get; }

    public WriteQueueOptions Queue { get; }

    public QueueSignal Signal => signal;

    public Database Database { get; }

    public ClaimIds Ids { get; }

    public AckJournal Journal { get; }

    public KeepAcknowledged Keeping { get; }

    public PoolRebuilder Rebuilder { get; }

    public PoolStore Pools { get; }

    public Lanes Lanes { get; }

    public PoolClaims Claims { get; }

    public ClaimWriter Writer { get; }

    public Releases Releases { get; }

    /// <summary>The engine without Redis.</summary>
    public SqlClaims Sql { get; }

    public RedisAway Away { get; }

    public PoolKeeper Keeper { get; }

    public PoolMetrics Metrics => metrics;

    public PoolAudit Audit { get; }

    public QueueDrain Drain { get; }

    /// <summary>A further worker on the same partitions, as another process would be.</summary>
    public QueueDrain NewDrain(IQueueUse? use = null) => new(use ?? Writer, Redis, signal, Queue, TimeProvider.System, NullLogger<QueueDrain>.Instance);

    /// <summary>A pool that takes claims. The id is nobody else's.</summary>
    public async Task<long> OpenPoolAsync(long units, long limit = 1, bool apply = true, long? setAside = null, string kind = Kind, int lanes = 1)
    {
        var id = Engines.NextPoolId();
        await Database.WriteAsync(transaction => Pools.CreateAsync(transaction, id, kind, "A pool", units, limit, Gate.Open, opensAt: null, closesAt: null, setAside ?? (sqlSells ? units : 0), lanes));
        if (apply)
        {
            await Pools.ApplyAsync(id);
        }

        return id;
    }

    public async Task<ClaimAnswer> ClaimAsync(long poolId, string user, int units = 1, string? key = null) =>
        await Claims.ClaimAsync(poolId, Kind, user, units, key) ?? throw new InvalidOperationException($"No pool {poolId}.");

    /// <summary>One claim for each of the users from <paramref name="first"/> on, all accepted. Returns their ids.</summary>
    public async Task<HashSet<long>> ClaimEachAsync(long poolId, int first, int count)
    {
        var claims = new HashSet<long>();
        foreach (var user in Enumerable.Range(first, count))
        {
            var answer = await ClaimAsync(poolId, $"u-{user}", key: Key(user));
            Assert.Equal(ClaimOutcome.Accepted, answer.Outcome);
            claims.Add(answer.ClaimIds[0]);
        }

        return claims;
    }

    /// <summary>Puts claims into the queue behind the script's back, as a Redis that forgot what it had sold would.</summary>
    public async Task<IReadOnlyList<Claim>> PushAsync(long poolId, params (string User, int Units, string? Key)[] wishes)
    {
        var claims = wishes.Select(wish => new Claim(Ids.Next(wish.User), poolId, wish.User, wish.Units, wish.Key)).ToList();
        await Redis.DbOf(new PoolKeys(poolId).Log).ListRightPushAsync(new PoolKeys(poolId).Log, [.. claims.Select(claim => (RedisValue)ClaimEntry.ToQueue(claim))]);
        return claims;
    }

    /// <summary>Writes a batch as if it had been peeked this moment.</summary>
    public async Task WriteAsync(long poolId, RedisValue[] batch) =>
        Assert.True(await Writer.WriteAsync(ClaimWriter.PartitionOf(poolId, (await Pools.FindAsync(poolId))!.Generation), batch), "The pool was rebuilt meanwhile.");

    /// <summary>Works until the queue is empty, and Redis knows what SQL has sold.</summary>
    public async Task DrainAsync()
    {
        while (await Drain.RoundAsync() > 0)
        {
        }

        await Keeper.FoldAsync();
    }

    /// <summary>Waits until workers have emptied the pool's queue.</summary>
    public Task EmptyAsync(long poolId) => Eventually.TrueAsync(async () => await ClaimWriter.PartitionOf(poolId).DepthAsync(Redis) == 0, $"the queue of pool {poolId} is empty");

    /// <summary>Cancels: SQL decides, Redis follows with <see cref="Releases.ReturnPendingAsync"/>.</summary>
    public Task<IReadOnlyList<long>> ReleaseAsync(params long[] claimIds) => Database.WriteAsync(transaction => Releases.ReleaseAsync(transaction, claimIds));

    public Task<IReadOnlyList<(long Id, string User, int Units, ClaimState State)>> WrittenAsync(long poolId) => Database.ReadAsync<IReadOnlyList<(long, string, int, ClaimState)>>(
        async connection => [.. await connection.QueryAsync<(long, string, int, ClaimState)>("SELECT id, user_id, units, state FROM claims WHERE pool_id = @poolId ORDER BY id", new { poolId })]);

    /// <summary>Units left and what each user holds, in Redis.</summary>
    public async Task<(long Left, SortedDictionary<string, string> Holders)> InRedisAsync(long poolId)
    {
        var keys = new PoolKeys(poolId);
        var holders = (await Redis.DbOf(keys.Holders).HashGetAllAsync(keys.Holders)).ToDictionary(user => user.Name.ToString(), user => user.Value.ToString());
        return ((long)await Redis.DbOf(keys.Left).StringGetAsync(keys.Left), new SortedDictionary<string, string>(holders, StringComparer.Ordinal));
    }

    /// <summary>Everything of the pool agrees, in Redis and in SQL, and nothing is on its way.</summary>
    public async Task AssertAuditHoldsAsync(long poolId)
    {
        var audit = await Audit.RunAsync(poolId);
        Assert.True(
            audit!.Verdict == Verdict.Holds,
            $"{audit.Verdict}: {string.Join("; ", audit.Checks.Where(check => !check.Holds))} depth {audit.QueueDepth} left {audit.LeftUnits}");
    }

    /// <summary>A key as long as the edge demands.</summary>
    public static string Key(int number) => string.Create(CultureInfo.InvariantCulture, $"key-{number:000000000000}");

    public void Dispose()
    {
        signal.Dispose();
        Sql.Dispose();
        Away.Dispose();
        Keeper.Dispose();
        metrics.Dispose();
        if (ownsDatabase)
        {
            Database.Dispose();
        }

        folder.Dispose();
    }

    /// <summary>Claims that are nothing but claims.</summary>
    internal sealed class PlainKind(string kind) : IPoolKind
    {
        public string Kind => kind;

        public Task WriteAsync(DbTransaction transaction, long poolId, IReadOnlyList<Claim> claims) => Task.CompletedTask;

        public Task WrittenAsync(IReadOnlyList<Claim> claims) => Task.CompletedTask;

        public Task<IReadOnlyList<AuditCheck>> AuditAsync(DbConnection snapshot, long poolId, IReadOnlyList<long> lanes) => Task.FromResult<IReadOnlyList<AuditCheck>>([]);
    }
}

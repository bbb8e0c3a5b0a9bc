using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Data.Common;
using System.Globalization;
using Dapper;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using Sluice.Platform.WriteQueue;
using StackExchange.Redis;

namespace Sluice.Platform.Pools;

/// <summary>
/// Writes claims from the queue into SQL: for each batch one transaction with the claims, the guarded count of the pool, and the module's rows.
/// Delivered twice, a claim has no second effect: its id is the primary key.
/// </summary>
public sealed partial class ClaimWriter(
    Database database, RedisConnection redis, PoolRebuilder rebuilder, ClaimWaiters waiters, AckJournal journal, IEnumerable<IPoolKind> poolKinds, PoolMetrics metrics, TimeProvider time, ILogger<ClaimWriter> log)
    : IQueueUse
{
    /// <summary>Why a claim was refused whose user has another one for the same request: the same key, or a limit of one. Asked first of one engine and then of the other, or before and after Redis forgot.</summary>
    internal const string AskedAgain = "asked-again";

    private readonly FrozenDictionary<string, IPoolKind> kinds = poolKinds.ToFrozenDictionary(kind => kind.Kind);
    private readonly BatchInsert insertClaims = new(
        "claims", "id", "pool_id", "user_id", "units", "idempotency_key", "ordinal", "state", "reason", "written_at");

    // Claims of a batch that was not written because its pool was rebuilt meanwhile, until it is known where they are. Bounded by one batch for each pool and drain.
    private readonly ConcurrentDictionary<long, IReadOnlyList<Claim>> inHand = new();

    // What kind of pool each is that was written here. Bounded by the pools that exist.
    private readonly ConcurrentDictionary<long, IPoolKind> kindOf = new();

    private readonly PoolsToDrain toDrain = new(database, redis, journal, [.. poolKinds.Select(kind => kind.Kind)], time);

    /// <summary>The queue partition of a pool.</summary>
    /// <param name="generation"><see cref="Pool.Generation"/>, read before the batch is peeked; only <see cref="WriteAsync(QueuePartition, RedisValue[])"/> asks for it.</param>
    /// <param name="kind">The pool's kind; only a broker asks for it.</param>
    public static QueuePartition PartitionOf(long poolId, long generation = -1, string kind = "")
    {
        var keys = new PoolKeys(poolId);
        return new QueuePartition(kind, poolId.ToString(CultureInfo.InvariantCulture), keys.Log, keys.Journal, keys.Dead, generation);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueuePartition>> PartitionsAsync()
    {
        var (partitions, isNew) = await toDrain.LookAsync();
        if (isNew)
        {
            foreach (var (poolId, _) in inHand)
            {
                await RescueAsync(poolId);
            }
        }

        return partitions;
    }

    /// <inheritdoc/>
    public IReadOnlyCollection<string> Topics => kinds.Keys;

    /// <inheritdoc/>
    public async ValueTask<QueuePartition?> FindAsync(string name, long generation) =>
        long.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var poolId) &&
        await database.ReadAsync(connection => connection.QuerySingleOrDefaultAsync<string?>("SELECT kind FROM pools WHERE id = @poolId AND lanes = 1", new { poolId })) is { } kind && kinds.ContainsKey(kind)
            ? PartitionOf(poolId, generation, kind)
            : null;

    /// <inheritdoc/>
    /// <exception cref="FormatException">An entry is no claim.</exception>
    public async Task<bool> WriteAsync(QueuePartition partition, RedisValue[] entries)
    {
        var (poolId, claims) = Parse(partition, entries);
        if (await CommitAsync(poolId, partition.Generation, claims))
        {
            return true;
        }

        // The pool was rebuilt between the peek and the commit. Usually the batch still is where it was; a Redis that forgot it was rebuilt without it.
        toDrain.Forget();
        inHand.AddOrUpdate(poolId, claims, (_, before) => [.. before, .. claims]);
        await RescueAsync(poolId);
        return false;
    }

    /// <inheritdoc/>
    /// <exception cref="FormatException">An entry is no claim.</exception>
    public async Task<bool> WriteDeliveredAsync(QueuePartition partition, RedisValue[] entries)
    {
        var (poolId, claims) = Parse(partition, entries);
        if (await CommitAsync(poolId, partition.Generation, claims))
        {
            return true;
        }

        // Rebuilt since they were published. What stands with its user was counted by that rebuild, and is as good as if it had been published after it; what does not, Redis has forgotten, and it is in hand here.
        toDrain.Forget();
        if (await PoolLook.MissingAsync(redis, poolId, claims) is not var (look, missing))
        {
            return false;
        }

        List<Claim> known = [.. claims.ExceptBy(missing.Select(claim => claim.Id), claim => claim.Id)];
        return (known.Count == 0 || await CommitAsync(poolId, look.Generation, known)) && (missing.Count == 0 || await BringBackAsync(poolId, missing));
    }

    /// <inheritdoc/>
    public async Task<int> CountWrittenAsync(QueuePartition partition, RedisValue[] entries)
    {
        var poolId = long.Parse(partition.Name, CultureInfo.InvariantCulture);
        List<long> ids = [.. entries.Select(entry => ClaimEntry.TryFromQueue(poolId, entry, out var claim) ? claim.Id : 0).TakeWhile(id => id != 0)];
        var written = ids.Count == 0 ? [] : (await database.ReadAsync(connection => connection.QueryAsync<long>("SELECT id FROM claims WHERE id IN @ids", new { ids = SqlList.Of(ids) }))).ToHashSet();
        return ids.TakeWhile(written.Contains).Count();
    }

    private (long PoolId, List<Claim> Claims) Parse(QueuePartition partition, RedisValue[] entries)
    {
        var poolId = long.Parse(partition.Name, CultureInfo.InvariantCulture);
        toDrain.Fill(poolId);
        var claims = new List<Claim>(entries.Length);
        foreach (var entry in entries)
        {
            claims.Add(ClaimEntry.TryFromQueue(poolId, entry, out var claim) ? claim : throw new FormatException($"Not a claim: {entry}"));
        }

        return (poolId, claims);
    }

    /// <returns>False: the pool was rebuilt since this generation, and nothing was written.</returns>
    private async Task<bool> CommitAsync(long poolId, long generation, List<Claim> claims)
    {
        // May run again, as the queue may deliver again: a claim that is written is found by its id.
        if (await database.WriteAsync(transaction => WriteAsync(transaction, poolId, generation, claims), LostCommit.RunAgain) is not { } rejected)
        {
            return false;
        }

        await TellAsync(poolId, claims, rejected);
        if (rejected > 0)
        {
            // Redis sold what SQL does not have: it forgot something. Nothing more is sold until it was rebuilt.
            LogRejected(log, rejected, poolId);
            if (await rebuilder.RebuildAsync(poolId) is null)
            {
                // Who is at it may have read SQL before this refusal. The batch stays, comes again, and is counted as refused again.
                throw new DependencyUnavailableException("redis", $"pool {poolId} is being rebuilt by another process.");
            }
        }

        return true;
    }

    /// <summary>
    /// Writes what this node has acknowledged, past the queue, because that is out of reach. When the queue is back and delivers it again, it is found by its id.
    /// Nothing is written of a pool that was rebuilt since <paramref name="generation"/>: who rebuilt it reaches Redis and may have read SQL already. These claims are handed in or brought back instead.
    /// </summary>
    /// <exception cref="DependencyUnavailableException">SQL is away too.</exception>
    internal async Task WriteAcknowledgedAsync(long poolId, long generation, List<Claim> claims)
    {
        // May run again: a claim that is written is found by its id.
        if (await database.WriteAsync(transaction => WriteAsync(transaction, poolId, generation, claims), LostCommit.RunAgain) is not { } rejected)
        {
            return;
        }

        await TellAsync(poolId, claims, rejected);
    }

    /// <summary>Tells the module, those who wait, and the metrics of claims that are committed. The module first: who hears of a claim finds it in what the module shows.</summary>
    /// <exception cref="DependencyUnavailableException">The module could not be told: call again.</exception>
    internal async Task TellAsync(long poolId, List<Claim> claims, int rejected)
    {
        await kindOf[poolId].WrittenAsync(claims);
        journal.Forget(poolId, claims.Select(claim => claim.Id));
        waiters.Announce(claims);
        metrics.Committed(claims.Count - rejected, rejected);
    }

    /// <summary>Brings claims back that Redis has forgotten, as far as there is room; what finds none is recorded as rejected. Idempotent.</summary>
    /// <returns>False: another process is rebuilding the pool. Call again.</returns>
    /// <exception cref="DependencyUnavailableException">SQL or Redis went away: call again.</exception>
    public async Task<bool> BringBackAsync(long poolId, IReadOnlyCollection<Claim> claims)
    {
        if (await rebuilder.RescueAsync(poolId, claims) is not { } refused)
        {
            return false;
        }

        if (refused.Count > 0)
        {
            await RejectAsync(poolId, [.. refused], "forgotten-by-redis");
            waiters.Announce(refused);
            metrics.Committed(0, refused.Count);
        }

        return true;
    }

    // Finds out what became of the claims in hand, and gives them up when that is settled.
    private async Task RescueAsync(long poolId)
    {
        if (inHand.TryGetValue(poolId, out var claims) && await BringBackAsync(poolId, [.. claims.DistinctBy(claim => claim.Id)]))
        {
            inHand.TryRemove(new(poolId, claims));
        }
    }

    /// <param name="generation">Of the pool, from before the peek; null: the claims are not from a queue.</param>
    /// <returns>
    /// How many claims SQL refused, now or when they were delivered before: above the capacity or the user's limit.
    /// Null: the pool was rebuilt since <paramref name="generation"/>, and nothing was done.
    /// </returns>
    internal async Task<int?> WriteAsync(DbTransaction transaction, long poolId, long? generation, List<Claim> claims)
    {
        var connection = transaction.Connection!;
        // The pool's row first, and until the commit: capacity, count, places and generation stay what they are now, and of two workers one waits here.
        var pool = await connection.QuerySingleAsync<Pool>($"SELECT {Pool.Columns} FROM pools WHERE id = @poolId{Dialect.ForUpdate(transaction)}", new { poolId }, transaction);
        kindOf[poolId] = kinds[pool.Kind];
        if (generation is { } known && pool.Generation != known)
        {
            return null;
        }

        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        // An entry may be in one batch twice: a server that died while it moved from one list to another shows it in both.
        claims = [.. claims.DistinctBy(claim => claim.Id)];
        var places = pool.PerUserLimit == 1 && claims.TrueForAll(claim => claim.Units == 1) ? null : await Places.ReadAsync(transaction, pool, claims);

        // The last line against overselling: what the pool does not have is not written as sold, whatever Redis said. In the order of the queue.
        var room = pool.CapacityUnits - pool.ClaimedUnits;
        var fits = claims.Sum(claim => (long)claim.Units) <= room;
        var fresh = fits && places is null ? await InsertAsync(transaction, claims, now) : [];
        if (fresh.Count == claims.Count)
        {
            await CountAndWriteRowsAsync(transaction, pool, claims);
            return 0;
        }

        // Rare: redelivered claims, a pool at its end, or limits above one. One look tells which claims are new.
        var written = (await connection.QueryAsync<(long Id, ClaimState State)>(
            "SELECT id, state FROM claims WHERE id IN @ids", new { ids = SqlList.Of(claims.Select(claim => claim.Id)) }, transaction)).ToDictionary(row => row.Id, row => row.State);
        room -= claims.Where(claim => fresh.Contains(claim.Id)).Sum(claim => (long)claim.Units);
        List<Claim> next = [], refused = [];
        foreach (var claim in claims.Where(claim => !written.ContainsKey(claim.Id)))
        {
            if (!Fits(claim))
            {
                // Before anybody is refused: of those before it some may be refused by a unique key, and then what they would take is free.
                await InsertNextAsync();
            }

            if (Fits(claim))
            {
                next.Add(claim);
                room -= claim.Units;
                places?.Take(claim);
            }
            else
            {
                refused.Add(claim);
            }
        }

        await InsertNextAsync();
        var again = await AskedAgainAsync(transaction, pool, refused);
        await RejectAsync(transaction, again, AskedAgain, now);
        await RejectAsync(transaction, [.. refused.Except(again)], "refused-by-sql", now);
        await CountAndWriteRowsAsync(transaction, pool, [.. claims.Where(claim => fresh.Contains(claim.Id))]);
        return refused.Count + claims.Count(claim => written.TryGetValue(claim.Id, out var state) && state == ClaimState.Rejected);

        bool Fits(Claim claim) => claim.Units <= room && (places is null || places.Has(claim));

        async Task InsertNextAsync()
        {
            var inserted = await InsertAsync(transaction, next, now, places is null ? null : places.OrdinalOf);
            foreach (var claim in next.Where(claim => !inserted.Contains(claim.Id)))
            {
                room += claim.Units;
                places?.GiveBack(claim);
                refused.Add(claim);
            }

            fresh.UnionWith(inserted);
            next.Clear();
        }
    }

    // As Claim.lua would have answered "already claimed", had it known: the user has what was promised, in the other claim.
    private static async Task<List<Claim>> AskedAgainAsync(DbTransaction transaction, Pool pool, List<Claim> refused)
    {
        if (refused.Count == 0)
        {
            return refused;
        }

        var had = (await transaction.Connection!.QueryAsync<(string UserId, string? Key, ClaimState State)>(
            "SELECT user_id, idempotency_key, state FROM claims WHERE pool_id = @poolId AND user_id IN @users AND state IN (@confirmed, @released)",
            new { poolId = pool.Id, users = SqlList.Of(refused.Select(claim => claim.UserId).Distinct()), confirmed = ClaimState.Confirmed, released = ClaimState.Released },
            transaction)).ToLookup(row => row.UserId, StringComparer.Ordinal);
        return refused.FindAll(claim => had[claim.UserId].Any(row =>
            (claim.IdempotencyKey is { } key && row.Key == key) || (pool.PerUserLimit == 1 && row.State == ClaimState.Confirmed)));
    }

    private async Task CountAndWriteRowsAsync(DbTransaction transaction, Pool pool, List<Claim> fresh)
    {
        if (fresh.Count == 0)
        {
            return;
        }

        var units = fresh.Sum(claim => (long)claim.Units);
        var counted = await transaction.Connection!.ExecuteAsync(
            "UPDATE pools SET claimed_units = claimed_units + @units WHERE id = @id AND claimed_units + @units <= capacity_units",
            new { id = pool.Id, units },
            transaction);
        if (counted != 1)
        {
            throw new InvalidOperationException($"Pool {pool.Id} has no room for {units} units.");
        }

        await kindOf[pool.Id].WriteAsync(transaction, pool.RootId ?? pool.Id, fresh);
    }

    private Task<HashSet<long>> InsertAsync(DbTransaction transaction, List<Claim> claims, long now, Func<Claim, int?>? ordinal = null) =>
        InsertAsync(transaction, claims, now, ClaimState.Confirmed, reason: null, ordinal ?? (_ => 0));

    // A refused claim keeps a row, so that its owner is told and the certificate counts it. It holds no place and no key.
    private Task<HashSet<long>> RejectAsync(DbTransaction transaction, List<Claim> claims, string reason, long now) =>
        InsertAsync(transaction, [.. claims.Select(claim => claim with { IdempotencyKey = null })], now, ClaimState.Rejected, reason, _ => null);

    // May run again: what is recorded has its id.
    private Task RejectAsync(long poolId, List<Claim> claims, string reason) => database.WriteAsync(
        async transaction =>
        {
            await PoolStore.LockAsync(transaction, [poolId]);
            await RejectAsync(transaction, claims, reason, time.GetUtcNow().ToUnixTimeMilliseconds());
        },
        LostCommit.RunAgain);

    private Task<HashSet<long>> InsertAsync(
        DbTransaction transaction, List<Claim> claims, long now, ClaimState state, string? reason, Func<Claim, int?> ordinal) =>
        insertClaims.RunAsync(transaction, claims.Count, (row, column) => column switch
        {
            0 => claims[row].Id,
            1 => claims[row].PoolId,
            2 => claims[row].UserId,
            3 => claims[row].Units,
            4 => claims[row].IdempotencyKey,
            5 => ordinal(claims[row]),
            6 => (int)state,
            7 => reason,
            _ => now,
        });

    /// <summary>Gives up on the claim of a dead letter: recorded as rejected, its units go back by a rebuild.</summary>
    public async Task GiveUpAsync(long poolId, DeadLetter letter)
    {
        if (ClaimEntry.TryFromQueue(poolId, letter.Entry, out var claim))
        {
            await RejectAsync(poolId, [claim], "given-up-by-operator");
        }
    }

    [LoggerMessage(Level = LogLevel.Critical, Message = "SQL refused {Count} acknowledged claims of pool {PoolId}; rebuilding it")]
    private static partial void LogRejected(ILogger log, int count, long poolId);
}

using System.Collections.Concurrent;
using System.Data.Common;
using System.Threading.RateLimiting;
using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;

namespace Sluice.Platform.Pools;

/// <summary>
/// Claims without Redis: the rules of Claim.lua on SQL's rows, one transaction for a whole batch. It sells only what was set aside for it (<see cref="Pool.SetAsideUnits"/>), which Redis never had,
/// so whatever Redis has promised, and whoever still reaches it, no unit is sold twice. docs/adr/0013.
/// </summary>
/// <remarks>
/// A claim is written when it is answered. The times are those of this node's clock, not of Redis'. Bounded by <see cref="PoolsOptions.DegradedClaimsPerSecond"/>: SQL is there for everybody else too.
/// A pool that was rebuilt since this node began to sell of it through SQL is not sold of any more: somebody reaches Redis, which from then on knows all that SQL has sold, and nothing more may come to that.
/// </remarks>
public sealed class SqlClaims(Database database, ClaimWriter writer, PoolMetrics metrics, PoolsOptions options, TimeProvider time) : IDisposable
{
    // As in Claim.lua: claims that a user may have had above the limit, released ones included.
    private const int PastClaimsMax = 32;

    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(20);

    // Of each pool of which this node sells: the rebuild since which it does. Bounded by the pools that set something aside.
    private readonly ConcurrentDictionary<long, (long Generation, long From)> since = new();

    private volatile bool selling;
    private int asking;

    private readonly TokenBucketRateLimiter rate = new(new TokenBucketRateLimiterOptions
    {
        TokenLimit = options.DegradedClaimsPerSecond,
        TokensPerPeriod = Math.Max(1, options.DegradedClaimsPerSecond / 10),
        ReplenishmentPeriod = TimeSpan.FromSeconds(1) / Math.Min(10, options.DegradedClaimsPerSecond),
        QueueLimit = 0,
    });

    /// <summary>This node's claims come here from now on.</summary>
    internal void Begin() => selling = true;

    /// <summary>Nothing more is sold here, and what was on its way is done when this returns. What comes later is answered 503, until the node asks Redis again.</summary>
    internal async Task EndAsync()
    {
        selling = false;
        while (Interlocked.CompareExchange(ref asking, 0, 0) > 0)
        {
            // Bounded by SQL's own times.
            await Task.Delay(LookAgain, time);
        }

        since.Clear();
    }

    /// <summary>Notes an answer for each claim of the batch, or why there is none. Safe to ask again with the same claims: what was written is found by its id.</summary>
    /// <exception cref="DependencyUnavailableException">SQL is away, or nothing of the pool is set aside: for all of them there is no answer.</exception>
    internal async Task AskAsync(long poolId, IReadOnlyList<PendingClaim> batch)
    {
        Interlocked.Increment(ref asking);
        try
        {
            if (!selling)
            {
                throw new DependencyUnavailableException("redis", "Redis is just back.");
            }

            await AskBatchAsync(poolId, batch);
        }
        catch (DependencyUnavailableException)
        {
            metrics.AnsweredBySql(null, batch.Count);
            throw;
        }
        finally
        {
            Interlocked.Decrement(ref asking);
        }
    }

    public void Dispose() => rate.Dispose();

    private async Task AskBatchAsync(long poolId, IReadOnlyList<PendingClaim> batch)
    {
        var admitted = new List<PendingClaim>(batch.Count);
        foreach (var claim in batch)
        {
            using var lease = rate.AttemptAcquire();
            if (lease.IsAcquired)
            {
                admitted.Add(claim);
            }
            else
            {
                claim.Fail(new DependencyUnavailableException("redis", $"Redis is away, and SQL takes no more than {options.DegradedClaimsPerSecond} claims a second."));
            }
        }

        if (admitted.Count < batch.Count)
        {
            metrics.AnsweredBySql(null, batch.Count - admitted.Count);
        }

        if (admitted.Count == 0)
        {
            return;
        }

        // May run again: a claim that the first run has written is found by its id.
        var (answers, written) = await database.WriteAsync(transaction => AskAsync(transaction, poolId, admitted), LostCommit.RunAgain);
        if (written.Count > 0)
        {
            await writer.TellAsync(poolId, written, rejected: 0);
        }

        for (var i = 0; i < admitted.Count; i++)
        {
            metrics.AnsweredBySql(answers[i]?.Outcome, 1);
            if (answers[i] is { } answer)
            {
                admitted[i].Note(answer);
            }
            else
            {
                admitted[i].Fail(new DependencyUnavailableException("redis", $"what is set aside of pool {poolId} is sold; the rest waits for Redis."));
            }
        }
    }

    private async Task<(List<ClaimAnswer?> Answers, List<Claim> Written)> AskAsync(DbTransaction transaction, long poolId, List<PendingClaim> batch)
    {
        var connection = transaction.Connection!;

        // The pool's row first, and until the commit, as the claim writer does.
        var pool = await connection.QuerySingleAsync<Pool>($"SELECT {Pool.Columns} FROM pools WHERE id = @poolId{Dialect.ForUpdate(transaction)}", new { poolId }, transaction);
        if (pool.SetAsideUnits == 0)
        {
            throw new DependencyUnavailableException("redis", $"Redis is away, and nothing of pool {poolId} is set aside to be sold without it.");
        }

        DemandUnrebuilt(pool);
        var rows = await connection.QueryAsync<Row>(
            "SELECT id AS Id, user_id AS UserId, units AS Units, idempotency_key AS IdempotencyKey, state AS State FROM claims " +
            "WHERE pool_id = @poolId AND user_id IN @users AND state IN (@confirmed, @released) ORDER BY id",
            new { poolId, users = SqlList.Of(batch.Select(claim => claim.UserId).Distinct()), confirmed = ClaimState.Confirmed, released = ClaimState.Released },
            transaction);
        var users = rows.GroupBy(row => row.UserId).ToDictionary(user => user.Key, user => user.ToList(), StringComparer.Ordinal);

        // Both bounds: a Redis that had forgotten something may have sold more than its share, and SQL has written that.
        var unwritten = Math.Max(0, pool.CapacityUnits - pool.ClaimedUnits);
        var left = Math.Max(0, Math.Min(pool.SetAsideUnits - pool.SoldAsideUnits, unwritten));
        var shut = Shut(pool, time.GetUtcNow().ToUnixTimeMilliseconds());
        var (answers, fresh) = (new List<ClaimAnswer?>(batch.Count), new List<Claim>());
        foreach (var claim in batch)
        {
            if (!users.TryGetValue(claim.UserId, out var had))
            {
                users[claim.UserId] = had = [];
            }

            var answer = Judge(claim, had, pool.PerUserLimit, shut, left, unwritten);
            answers.Add(answer);
            if (answer is { Outcome: ClaimOutcome.Accepted } && !had.Exists(row => row.Id == claim.ClaimId))
            {
                left -= claim.Units;
                unwritten -= claim.Units;
                var key = claim.Key.Length == 0 ? null : claim.Key;
                had.Add(new(claim.ClaimId, claim.UserId, claim.Units, key, ClaimState.Confirmed));
                fresh.Add(new(claim.ClaimId, poolId, claim.UserId, claim.Units, key, claim.Terms));
            }
        }

        if (fresh.Count > 0)
        {
            var sold = await connection.ExecuteAsync(
                "UPDATE pools SET sold_aside_units = sold_aside_units + @units WHERE id = @poolId AND sold_aside_units + @units <= set_aside_units",
                new { poolId, units = fresh.Sum(claim => (long)claim.Units) },
                transaction);
            if (sold != 1 || await writer.WriteAsync(transaction, poolId, generation: null, fresh) != 0)
            {
                throw new InvalidOperationException($"Pool {poolId} does not take what was judged to fit.");
            }
        }

        return ([.. answers.Select(answer => answer is { } told ? told with { LeftUnits = left } : answer)], fresh);
    }

    // A rebuild counts the generation up with the pool's row locked, before it reads what SQL has sold. So what is sold here was either read by it, or is not sold.
    // One that was broken off, because Redis went away again, looks the same. So the pool is sold of again, after the time that Redis must be away, as long as this node hears nothing of it.
    private void DemandUnrebuilt(Pool pool)
    {
        var known = since.GetOrAdd(pool.Id, (pool.Generation, 0L));
        if (known.Generation != pool.Generation)
        {
            since[pool.Id] = known = (pool.Generation, time.GetTimestamp());
        }

        if (known.From != 0 && time.GetElapsedTime(known.From) < options.DegradeAfter)
        {
            throw new DependencyUnavailableException("redis", $"pool {pool.Id} was rebuilt: others reach Redis, this node does not yet.");
        }
    }

    // The order of the rules is the contract, and Claim.lua's: a retry finds its claim whatever became of the pool since.
    // Null: there may be units in Redis' share, so nobody is told "sold out"; it is known when Redis is back.
    private static ClaimAnswer? Judge(PendingClaim claim, List<Row> had, long limit, ClaimOutcome? shut, long left, long unwritten)
    {
        // This very claim: the first run of a commit that got lost, or Redis took it before it went away and it was written since.
        if (had.Exists(row => row.Id == claim.ClaimId))
        {
            return Answer(ClaimOutcome.Accepted, claim.ClaimId);
        }

        if (claim.Key.Length > 0 && had.Find(row => row.IdempotencyKey == claim.Key) is { } same)
        {
            return Answer(same.Units == claim.Units ? ClaimOutcome.AlreadyClaimed : ClaimOutcome.KeyReused, same.Id) with { IsReleased = same.IsReleased };
        }

        var active = had.FindAll(row => !row.IsReleased);
        if (limit == 1 && active.Count > 0)
        {
            return Answer(ClaimOutcome.AlreadyClaimed, active[0].Id);
        }

        if (shut is { } closed)
        {
            return Answer(closed);
        }

        if (active.Sum(row => (long)row.Units) + claim.Units > limit || had.Count >= limit + PastClaimsMax)
        {
            return Answer(ClaimOutcome.LimitReached, [.. active.Select(row => row.Id)]);
        }

        if (claim.Units <= left)
        {
            return Answer(ClaimOutcome.Accepted, claim.ClaimId);
        }

        return claim.Units > unwritten ? Answer(ClaimOutcome.SoldOut) : null;
    }

    private static ClaimAnswer Answer(ClaimOutcome outcome, params long[] claimIds) => new(outcome, claimIds, IsReleased: false, LeftUnits: 0);

    private static ClaimOutcome? Shut(Pool pool, long now) => pool switch
    {
        { Gate: Gate.Paused } => ClaimOutcome.Paused,
        { Gate: Gate.Closed } => ClaimOutcome.Closed,
        { ClosesAt: { } closes } when now >= closes => ClaimOutcome.Closed,
        { Gate: not Gate.Open } => ClaimOutcome.NotOpen,
        { OpensAt: { } opens } when now < opens => ClaimOutcome.NotOpen,
        _ => null,
    };

    [method: Dapper.ExplicitConstructor]
    private sealed record Row(long Id, string UserId, int Units, string? IdempotencyKey, ClaimState State)
    {
        public bool IsReleased => State == ClaimState.Released;
    }
}

using System.Collections.Concurrent;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.WriteQueue;

namespace Sluice.Platform.Pools;

/// <summary>
/// The way of a claim on this node; README.md in this folder numbers its steps. Accepted means: logged as <see cref="PoolsOptions.Durability"/> says, and never sold twice.
/// </summary>
public sealed class PoolClaims(
    PoolStore pools, RedisConnection redis, PoolRebuilder rebuilder, ClaimIds ids, ClaimWaiters waiters, QueueSignal queueSignal, PoolMetrics metrics,
    AckJournal journal, RedisAway away, SqlClaims sql, PoolsOptions options, WriteQueueOptions queueOptions, TimeProvider time)
{
    // One lane for each pool that was asked for here: bounded by the pools that exist.
    private readonly ConcurrentDictionary<long, Lane> lanes = new();

    /// <summary>Asks for units of a pool for a user. One Redis round trip for a whole batch of users; safe to retry with the same key.</summary>
    /// <param name="kind">The kind that the pool must have; another module's pool is none.</param>
    /// <param name="units">1–1,000.</param>
    /// <param name="key">The caller's idempotency key (16–64 of <c>A–Z a–z 0–9 _ -</c>), or null.</param>
    /// <returns>The answer, or null when there is no such pool.</returns>
    /// <exception cref="DependencyUnavailableException">Redis (or, with <see cref="Durability.Committed"/>, SQL) did not answer: whether the claim was taken is unknown until the same key is asked again.</exception>
    public ValueTask<ClaimAnswer?> ClaimAsync(long poolId, string kind, string userId, int units, string? key)
    {
        return lanes.TryGetValue(poolId, out var lane) ? AskAsync(lane) : FindAndAskAsync();

        async ValueTask<ClaimAnswer?> FindAndAskAsync() =>
            await pools.FindAsync(poolId) is { } pool ? await AskAsync(lanes.GetOrAdd(poolId, _ => NewLane(poolId, pool.Kind))) : null;

        ValueTask<ClaimAnswer?> AskAsync(Lane of)
        {
            if (of.Kind != kind)
            {
                return default;
            }

            // Step 2: into the batch that forms while the one before is in flight.
            var answer = of.Batcher.Add(new PendingClaim(userId, units, key ?? "", ids.Next(userId)));
            return new(options.Durability == Durability.Committed ? CommittedAsync(answer) : answer);
        }
    }

    /// <summary>Step 1: true when this user can be told "sold out" at once, without reading the request any further. Touches neither Redis nor SQL.</summary>
    public bool IsSoldOutFor(long poolId, string userId) => lanes.TryGetValue(poolId, out var lane) && lane.SoldOut.Covers(userId);

    /// <summary>Units came back to a pool on this node: forget that it was sold out.</summary>
    public void Refilled(long poolId)
    {
        if (lanes.TryGetValue(poolId, out var lane))
        {
            lane.SoldOut.Forget();
        }
    }

    private async Task<ClaimAnswer?> CommittedAsync(Task<ClaimAnswer?> asked)
    {
        var answer = await asked;
        return answer is { Outcome: ClaimOutcome.Accepted or ClaimOutcome.AlreadyClaimed, IsReleased: false } held &&
            await waiters.WaitAsync(held.ClaimIds[0], options.CommitWaitMax, CancellationToken.None) is null or ClaimState.Rejected
            ? throw new DependencyUnavailableException("sql", "the claim is logged but not committed; ask again with the same key.")
            : answer;
    }

    private Lane NewLane(long poolId, string kind)
    {
        var keys = new PoolKeys(poolId);
        var soldOut = new SoldOutBelief(keys, redis, options, time);
        return new Lane(new ClaimBatcher(poolId, keys, redis, rebuilder, queueSignal, options, metrics, journal, away, sql, queueOptions.LagMax, soldOut.Hear), soldOut, kind);
    }

    private sealed record Lane(ClaimBatcher Batcher, SoldOutBelief SoldOut, string Kind);
}

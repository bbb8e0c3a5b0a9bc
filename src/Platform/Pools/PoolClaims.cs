using System.Collections.Concurrent;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.WriteQueue;

namespace Sluice.Platform.Pools;

/// <summary>
/// The way of a claim on this node; README.md in this folder numbers its steps. Accepted means: logged as <see cref="PoolsOptions.Durability"/> says, and never sold twice.
/// </summary>
public sealed class PoolClaims(
    PoolStore pools, Lanes lanes, RedisConnection redis, PoolRebuilder rebuilder, ClaimIds ids, ClaimWaiters waiters, QueueSignal queueSignal, PoolMetrics metrics,
    AckJournal journal, RedisAway away, SqlClaims sql, PoolsOptions options, WriteQueueOptions queueOptions, TimeProvider time)
{
    // How long a claim goes on from lane to lane: others are always faster, or the lanes are not to be had.
    private static readonly TimeSpan LanesTimeMax = TimeSpan.FromSeconds(5);

    // Each pool that was asked for here, and which one a lane is of: bounded by the pools that exist.
    private readonly ConcurrentDictionary<long, Known> known = new(), ofLane = new();

    /// <summary>Asks for units of a pool for a user. One Redis round trip for a whole batch of users; safe to retry with the same key.</summary>
    /// <param name="kind">The kind that the pool must have; another module's pool is none.</param>
    /// <param name="units">1–1,000.</param>
    /// <param name="key">The caller's idempotency key (16–64 of <c>A–Z a–z 0–9 _ -</c>), or null.</param>
    /// <param name="terms">What the buyer is promised beside the units (<see cref="Claim.Terms"/>), or null. A retry finds its claim by the key, whatever its terms are.</param>
    /// <returns>The answer, or null when there is no such pool.</returns>
    /// <exception cref="DependencyUnavailableException">Redis (or, with <see cref="Durability.Committed"/>, SQL) did not answer: whether the claim was taken is unknown until the same key is asked again.</exception>
    public ValueTask<ClaimAnswer?> ClaimAsync(long poolId, string kind, string userId, int units, string? key, string? terms = null)
    {
        return known.TryGetValue(poolId, out var pool) ? AskAsync(pool) : FindAndAskAsync();

        async ValueTask<ClaimAnswer?> FindAndAskAsync() => await FindAsync(poolId) is { } found ? await AskAsync(found) : null;

        ValueTask<ClaimAnswer?> AskAsync(Known of)
        {
            if (of.Kind != kind)
            {
                return default;
            }

            // Step 2: into the batch that forms while the one before is in flight.
            var lane = of.LaneOf(userId);
            var claim = new PendingClaim(userId, units, key ?? "", ids.Next(userId), terms);
            var answer = of.Lanes.Length == 1 ? lane.Batcher.Add(claim) : AskLanesAsync(of, lane, claim);
            return new(options.Durability == Durability.Committed ? CommittedAsync(answer) : answer);
        }
    }

    /// <summary>The claim that a user has made with this key, whatever became of the pool since; null: none. Three round trips, so only for those who would be refused otherwise.</summary>
    /// <exception cref="DependencyUnavailableException">Redis did not answer, or the pool is being rebuilt: whether there is one is not known.</exception>
    public async Task<ClaimAnswer?> FindByKeyAsync(long poolId, string kind, string userId, string key)
    {
        if (!known.TryGetValue(poolId, out var pool) && (pool = await FindAsync(poolId)) is null || pool.Kind != kind)
        {
            return null;
        }

        // As a claim does: a pool that is not to be had is rebuilt, or its rebuild waited for.
        var lane = pool.LaneOf(userId).Id;
        var started = time.GetTimestamp();
        while (true)
        {
            var (holder, isFrozen) = await PoolLook.HolderAsync(redis, lane, userId);
            if (holder is not null)
            {
                var found = ClaimEntry.FromHolder(holder).FirstOrDefault(claim => claim.Key == key);
                return found.Id > 0 ? new(ClaimOutcome.AlreadyClaimed, [found.Id], found.Released, LeftUnits: 0) : null;
            }

            if (time.GetElapsedTime(started) > ClaimBatcher.RebuildWaitMax)
            {
                throw new DependencyUnavailableException("redis", $"pool {poolId} is being rebuilt; ask again with the same key.");
            }

            await rebuilder.ReopenAsync(lane, isFrozen);
        }
    }

    /// <summary>Step 1: true when this user can be told "sold out" at once, without reading the request any further. Touches neither Redis nor SQL.</summary>
    public bool IsSoldOutFor(long poolId, string userId) => known.TryGetValue(poolId, out var pool) && pool.LaneOf(userId).SoldOut.Covers(userId) && pool.IsEmpty(time, options.SoldOutBelief);

    /// <summary>Units came back to a pool, or to a lane of it, on this node: forget that it was sold out.</summary>
    public void Refilled(long id)
    {
        if (known.TryGetValue(id, out var pool) || ofLane.TryGetValue(id, out pool))
        {
            pool.Forget();
        }
    }

    // A lane that has too little gets some from the others. Only when all of them together have too little the claim is told so.
    private async Task<ClaimAnswer?> AskLanesAsync(Known pool, Lane lane, PendingClaim claim)
    {
        var started = time.GetTimestamp();
        while (true)
        {
            if (await lane.Batcher.Add(claim) is not { Outcome: ClaimOutcome.SoldOut } answer)
            {
                return await claim.Task;
            }

            // This thread has others of the same batch to tell.
            await Task.Yield();
            var left = await lanes.FillAsync(pool.Id, lane.Id, claim.Units);
            if (left < claim.Units)
            {
                pool.Hear(left, time);
                return answer with { LeftUnits = left };
            }

            if (time.GetElapsedTime(started) > LanesTimeMax)
            {
                throw new DependencyUnavailableException("queue", $"the last units of pool {pool.Id} go from lane to lane faster than this claim; nothing was accepted.");
            }

            claim = new PendingClaim(claim.UserId, claim.Units, claim.Key, claim.ClaimId, claim.Terms);
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

    private async Task<Known?> FindAsync(long poolId)
    {
        // A lane is nobody's to ask for: whoever did would hold units in two of them.
        if (await pools.FindAsync(poolId) is not { RootId: null } pool)
        {
            return null;
        }

        var laneIds = (await pools.LanesAsync([poolId]))[poolId].Select(lane => lane.Id);
        var found = known.GetOrAdd(poolId, _ => new Known(poolId, pool.Kind, [.. laneIds.Select(NewLane)]));
        foreach (var lane in found.Lanes)
        {
            ofLane[lane.Id] = found;
        }

        return found;
    }

    private Lane NewLane(long id)
    {
        var keys = new PoolKeys(id);
        var soldOut = new SoldOutBelief(keys, redis, options, time);
        return new Lane(id, new ClaimBatcher(id, keys, redis, rebuilder, queueSignal, options, metrics, journal, away, sql, queueOptions.LagMax, soldOut.Hear), soldOut);
    }

    private sealed record Lane(long Id, ClaimBatcher Batcher, SoldOutBelief SoldOut);

    private sealed class Known(long id, string kind, Lane[] lanes)
    {
        // When all lanes were last seen empty, 0: never, or units came back since. Only where there are several.
        private long emptyAt;

        public long Id => id;

        public string Kind => kind;

        public Lane[] Lanes => lanes;

        public Lane LaneOf(string userId) => lanes[Pools.Lanes.Of(userId, lanes.Length)];

        public bool IsEmpty(TimeProvider time, TimeSpan belief) => lanes.Length == 1 || (Volatile.Read(ref emptyAt) is not 0 and var at && time.GetElapsedTime(at) < belief);

        public void Hear(long left, TimeProvider time) => Volatile.Write(ref emptyAt, left == 0 ? time.GetTimestamp() : 0);

        public void Forget()
        {
            Volatile.Write(ref emptyAt, 0);
            foreach (var lane in lanes)
            {
                lane.SoldOut.Forget();
            }
        }
    }
}

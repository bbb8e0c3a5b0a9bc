using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;

namespace Sluice.Platform.Pools;

/// <summary>
/// Moves units between the lanes of a pool, so that nobody is told "sold out" while another lane has some: for a claim that met an empty lane, and ahead of that when lanes have run apart. docs/lanes.md.
/// </summary>
/// <remarks>Any number of nodes at once, without a lock: of two that take from the same lane one is refused by SQL (<see cref="PoolStore.MoveAsync"/>), and looks again.</remarks>
public sealed class Lanes(PoolStore pools, Database database, RedisConnection redis, TimeProvider time)
{
    /// <summary>Lanes that differ by less are not evened out ahead of need.</summary>
    private const int DifferenceMin = 16;

    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(20), FillTimeMax = TimeSpan.FromSeconds(2);

    private readonly Lock fillingLock = new();

    // One for each lane that is empty and asked for: whoever meets it meanwhile waits for the same, and what they want is brought in one go.
    private readonly Dictionary<long, Filling> filling = [];

    /// <summary>The lane of a user, the same on every node and for good: a limit for each user holds in the lane as it does in the pool.</summary>
    public static int Of(string userId, int lanes) => lanes == 1 ? 0 : ClaimIds.Bucket(userId) % lanes;

    /// <summary>Brings units to a lane that has fewer than a claim asked for, as far as the others have some.</summary>
    /// <returns>Units that the pool has left in all its lanes. As many as were asked for: claim again. Fewer: so many are not to be had.</returns>
    /// <exception cref="DependencyUnavailableException">A lane cannot be looked at, or is being rebuilt: whether the pool is sold out is not known.</exception>
    public Task<long> FillAsync(long poolId, long laneId, int units)
    {
        lock (fillingLock)
        {
            if (filling.TryGetValue(laneId, out var running))
            {
                running.WantedUnits += units;
                return running.Done;
            }

            running = filling[laneId] = new Filling { WantedUnits = units };
            return running.Done = Task.Run(() => FillAndForgetAsync(poolId, laneId, units, running));
        }
    }

    /// <summary>Evens out the lanes of every open pool that have run apart: half of what the fullest has above the emptiest.</summary>
    /// <returns>How many pools.</returns>
    internal async Task<int> LevelAsync()
    {
        var levelled = 0;
        foreach (var poolId in await database.ReadAsync(connection => connection.QueryAsync<long>("SELECT id FROM pools WHERE lanes > 1 AND gate = @open", new { open = Gate.Open })))
        {
            if (await LookAsync(poolId) is not { } lanes)
            {
                continue;
            }

            var (fullest, emptiest) = (lanes.MaxBy(lane => lane.Left)!, lanes.MinBy(lane => lane.Left)!);
            if (fullest.Left - emptiest.Left >= DifferenceMin && emptiest.Left * 2 < fullest.Left)
            {
                await pools.MoveAsync(fullest.Pool, emptiest.Pool.Id, (fullest.Left - emptiest.Left) / 2);
                levelled++;
            }
        }

        return levelled;
    }

    private async Task<long> FillAndForgetAsync(long poolId, long laneId, int units, Filling wanted)
    {
        try
        {
            return await FillOnceAsync(poolId, laneId, units, wanted);
        }
        finally
        {
            lock (fillingLock)
            {
                filling.Remove(laneId);
            }
        }
    }

    private async Task<long> FillOnceAsync(long poolId, long laneId, int units, Filling wanted)
    {
        var started = time.GetTimestamp();
        while (true)
        {
            if (await LookAsync(poolId) is { } lanes)
            {
                var total = lanes.Sum(lane => lane.Left);
                if (total >= units)
                {
                    await GatherAsync(lanes, laneId, wanted);
                    return total;
                }

                // Units that were on their way from one lane to another while they were counted are in neither.
                if (await IsUnchangedAsync(poolId, lanes))
                {
                    return total;
                }
            }

            if (time.GetElapsedTime(started) > FillTimeMax)
            {
                throw new DependencyUnavailableException("redis", $"lanes of pool {poolId} are being rebuilt; what is left is not known.");
            }

            await Task.Delay(LookAgain, time);
        }
    }

    private async Task GatherAsync(List<Lane> lanes, long laneId, Filling wanted)
    {
        var has = lanes.Find(lane => lane.Pool.Id == laneId)!.Left;
        long units;
        lock (fillingLock)
        {
            units = wanted.WantedUnits;
        }

        foreach (var lane in lanes.Where(lane => lane.Pool.Id != laneId).OrderByDescending(lane => lane.Left).TakeWhile(lane => lane.Left > 0 && has < units))
        {
            // Half of it, or others would have to fetch it back soon; more where that is not enough.
            var more = Math.Max(lane.Left / 2, Math.Min(lane.Left, units - has));
            await pools.MoveAsync(lane.Pool, laneId, more);
            has += more;
        }
    }

    // Null: something is being rebuilt or on its way; look again.
    private async Task<List<Lane>?> LookAsync(long poolId)
    {
        var lanes = (await pools.LanesAsync([poolId]))[poolId].ToList();
        var pending = lanes.FindAll(lane => lane.TakingUnits > 0 || lane.AppliedVersion < lane.Version);
        foreach (var lane in pending)
        {
            // Another node is at it, or died over it: either way it can be finished here.
            await pools.ApplyAsync(lane.Id);
            await pools.FinishTakingAsync(lane.Id);
        }

        if (pending.Count > 0)
        {
            return null;
        }

        var looks = lanes.ConvertAll(lane => (Lane: lane, Keys: new PoolKeys(lane.Id), Look: LookAtAsync(new PoolKeys(lane.Id))));
        var found = new List<Lane>();
        await redis.EachAsync(looks, each => each.Keys.Meta, async each =>
        {
            var (run, frozen, left) = await each.Look;
            if (run == await redis.RunAsync(each.Keys.Meta) && string.IsNullOrEmpty(frozen))
            {
                found.Add(new(each.Lane, left));
            }
        });
        return found.Count == lanes.Count ? found : null;
    }

    private async Task<(string? Run, string? Frozen, long Left)> LookAtAsync(PoolKeys keys)
    {
        var meta = redis.GuardAsync(keys.Meta, db => db.HashGetAsync(keys.Meta, ["run", "frozen"]));
        var left = (long)await redis.GuardAsync(keys.Left, db => db.StringGetAsync(keys.Left));
        return ((await meta)[0], (await meta)[1], left);
    }

    private async Task<bool> IsUnchangedAsync(long poolId, List<Lane> lanes)
    {
        var versions = (await pools.LanesAsync([poolId]))[poolId].ToDictionary(lane => lane.Id, lane => lane.Version);
        return lanes.TrueForAll(lane => versions[lane.Pool.Id] == lane.Pool.Version);
    }

    private sealed record Lane(Pool Pool, long Left);

    /// <summary>What those who wait for a lane want together.</summary>
    private sealed class Filling
    {
        public long WantedUnits { get; set; }

        public Task<long> Done { get; set; } = Task.FromResult(0L);
    }
}

using System.Collections.Concurrent;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;

namespace Sluice.Platform.Pools;

/// <summary>What is left of pools, for pages: all of it, wherever it is sold: in Redis, set aside, or on its way between the two or between lanes. Claims never look here.</summary>
public sealed class LeftUnits(RedisConnection redis)
{
    // What Redis last said, for the time in which it is away. Bounded by the pools that exist.
    private readonly ConcurrentDictionary<long, long> lastLeft = new();

    /// <summary>Units left of each pool. One round trip for each server of Redis; where it is away what it last said, less what SQL has sold since, or SQL's figures.</summary>
    /// <param name="lanes">As <see cref="PoolStore.LanesAsync"/> gives them.</param>
    public async Task<Dictionary<long, long>> ReadAsync(ILookup<long, Pool> lanes)
    {
        var known = new Dictionary<long, long>();
        var asked = lanes.SelectMany(of => of).ToList().ConvertAll(lane =>
        {
            var key = new PoolKeys(lane.Id).Left;
            return (lane, Key: key, Left: redis.GuardAsync(key, db => db.StringGetAsync(key)));
        });
        try
        {
            await redis.EachAsync(asked, one => one.Key, async one =>
            {
                if (await one.Left is { IsNull: false } units)
                {
                    known[one.lane.Id] = lastLeft[one.lane.Id] = (long)units;
                }
            });
        }
        catch (DependencyUnavailableException)
        {
            // Where Redis is away it sells nothing, so what was left there still is; of a pool that was not looked at since the start SQL knows all but what waits in the queue. Pages go on.
        }

        return lanes.ToDictionary(of => of.Key, of => of.Sum(lane =>
        {
            var unwritten = Math.Max(0, lane.CapacityUnits - lane.ClaimedUnits);
            return known.TryGetValue(lane.Id, out var left) ? left + Aside(lane)
                : lastLeft.TryGetValue(lane.Id, out left) ? Math.Min(left + Aside(lane), unwritten)
                : unwritten;
        }));

        static long Aside(Pool pool) => pool.SetAsideUnits - pool.SoldAsideUnits + pool.TakingUnits;
    }
}

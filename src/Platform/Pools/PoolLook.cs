using System.Globalization;
using Sluice.Platform.Redis;
using StackExchange.Redis;

namespace Sluice.Platform.Pools;

/// <summary>What a pool in Redis says of itself: the life of the server in which it was rebuilt last, who has frozen it, and its generation.</summary>
internal sealed record PoolLook(string? Run, string Freeze, long Generation)
{
    private const int PerCallMax = 1_000;

    /// <summary>One round trip.</summary>
    public static async Task<PoolLook> ReadAsync(RedisConnection redis, long poolId)
    {
        var meta = await redis.GuardAsync(new PoolKeys(poolId).Meta, db => db.HashGetAsync(new PoolKeys(poolId).Meta, ["run", "frozen", "generation"]));
        return new(meta[0], meta[1].ToString(), meta[2].IsNull ? 0 : long.Parse(meta[2].ToString(), CultureInfo.InvariantCulture));
    }

    /// <summary>The claims that a user has in a pool (<see cref="ClaimEntry.FromHolder"/>), empty: none. Null: the pool is frozen, of another life, or was rebuilt meanwhile. Three round trips.</summary>
    public static async Task<(string? Holder, bool IsFrozen)> HolderAsync(RedisConnection redis, long poolId, string userId)
    {
        var (run, look) = (await redis.RunAsync(new PoolKeys(poolId).Meta), await ReadAsync(redis, poolId));
        var holder = await redis.GuardAsync(new PoolKeys(poolId).Holders, db => db.HashGetAsync(new PoolKeys(poolId).Holders, userId));
        return (look.Freeze.Length == 0 && look.Run == run && await ReadAsync(redis, poolId) == look ? holder.ToString() : null, look.Freeze.Length > 0);
    }

    /// <summary>Which of the claims the pool does not know. What SQL or the queue has stands with its user, in a pool that is open and of this life of the server. One round trip for 1,000 claims, and two looks.</summary>
    /// <returns>Null: the pool was frozen, of another life, or rebuilt meanwhile. Ask again.</returns>
    public static async Task<(PoolLook Look, List<Claim> Missing)?> MissingAsync(RedisConnection redis, long poolId, IReadOnlyList<Claim> claims)
    {
        var look = await ReadAsync(redis, poolId);
        if (look.Freeze.Length > 0 || look.Run != await redis.RunAsync(new PoolKeys(poolId).Meta))
        {
            return null;
        }

        var missing = new List<Claim>();
        foreach (var chunk in claims.Chunk(PerCallMax))
        {
            var held = await redis.GuardAsync(new PoolKeys(poolId).Holders, db => db.HashGetAsync(new PoolKeys(poolId).Holders, [.. chunk.Select(claim => (RedisValue)claim.UserId)]));
            missing.AddRange(chunk.Where((claim, i) => !ClaimEntry.FromHolder(held[i].ToString()).Any(other => other.Id == claim.Id)));
        }

        return await ReadAsync(redis, poolId) == look && look.Run == await redis.RunAsync(new PoolKeys(poolId).Meta) ? (look, missing) : null;
    }
}

using System.Globalization;
using StackExchange.Redis;

namespace Sluice.Platform.Pools;

/// <summary>
/// Every Redis key of a pool, or of one lane of it, all in one slot by the tag <c>{pool:&lt;id&gt;.0}</c>. Lanes have ids of their own, and so slots of their own.
/// </summary>
public sealed class PoolKeys
{
    public PoolKeys(long poolId)
    {
        var tag = string.Create(CultureInfo.InvariantCulture, $"{{pool:{poolId}.0}}");
        Meta = tag + ":meta";
        Left = tag + ":left";
        Holders = tag + ":holders";
        Log = tag + ":log";
        Journal = tag + ":journal";
        Dead = tag + ":dead";
        Handed = tag + ":handed";
        Mark = tag + ":mark";
        Claim = [Meta, Left, Holders, Log];
        Release = [Meta, Left, Holders];
        Configure = [Meta, Left];
        Rebuild = [Meta, Left, Holders, Log, Handed];
        HandIn = [Meta, Handed];
    }

    /// <summary>Hash: run, gate, frozen, frozenAt, frozenIn, opensAt, closesAt, limit, capacity, version, refills, generation.</summary>
    public RedisKey Meta { get; }

    /// <summary>Integer ≥ 0: units that nobody has.</summary>
    public RedisKey Left { get; }

    /// <summary>Hash: user → claims, see Claim.lua.</summary>
    public RedisKey Holders { get; }

    /// <summary>List: claims that SQL does not have yet; the queue partition of this pool.</summary>
    public RedisKey Log { get; }

    /// <summary>List: the newest entries that were acknowledged, bounded.</summary>
    public RedisKey Journal { get; }

    /// <summary>List: entries that could not be written, with their errors.</summary>
    public RedisKey Dead { get; }

    /// <summary>Hash: claim id → entry, what nodes have acknowledged and hand in while the pool is being rebuilt.</summary>
    public RedisKey Handed { get; }

    /// <summary>String without a meaning: written so that there is something to wait for, see <see cref="Redis.RedisConnection.RunReplicatedAsync"/>.</summary>
    public RedisKey Mark { get; }

    /// <summary>KEYS of Claim.lua.</summary>
    public RedisKey[] Claim { get; }

    /// <summary>KEYS of Release.lua.</summary>
    public RedisKey[] Release { get; }

    /// <summary>KEYS of Rebuild.lua.</summary>
    public RedisKey[] Rebuild { get; }

    /// <summary>KEYS of HandIn.lua.</summary>
    public RedisKey[] HandIn { get; }

    /// <summary>KEYS of Configure.lua.</summary>
    public RedisKey[] Configure { get; }
}

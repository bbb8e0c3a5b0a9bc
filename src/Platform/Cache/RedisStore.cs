using Sluice.Platform.Redis;
using StackExchange.Redis;

namespace Sluice.Platform.Cache;

/// <summary>Shared answers in Redis. A lease is a value that begins with <c>L</c>. Ages to the millisecond.</summary>
/// <param name="ownsConnection">The connection is of the cache alone and ends with it.</param>
internal sealed class RedisStore(RedisConnection redis, bool ownsConnection) : ISharedStore
{
    private static readonly RedisScript KeepScript = RedisScript.Load("Keep.lua");

    private readonly Resting resting = new("redis");

    public string Describe => redis.Describe;

    /// <summary>None: Redis takes 512 MiB.</summary>
    public long TooLarge => 0;

    public RedisConnection Redis => redis;

    /// <summary>One round trip, one command.</summary>
    /// <inheritdoc/>
    public async Task<Taken> TakeAsync(string key, TimeSpan leaseAge)
    {
        var lease = NewLease();
        return new(await resting.AskAsync(() => redis.GuardAsync(key, db => db.StringSetAndGetAsync(key, lease, leaseAge, keepTtl: false, When.NotExists, CommandFlags.DemandMaster))), lease);
    }

    public async Task<string?> TakeOverAsync(string key, Taken standing, TimeSpan leaseAge)
    {
        var lease = NewLease();
        return await ReplaceAsync(key, standing.Bytes, lease, leaseAge) ? lease : null;
    }

    public Task<bool> KeepAsync(string key, string lease, CachedAnswer answer, TimeSpan age) => ReplaceAsync(key, lease, answer.ToBytes(), age);

    /// <summary>One round trip, one command.</summary>
    /// <inheritdoc/>
    public async Task<CachedAnswer?[]> FindAsync(string[] keys)
    {
        if (keys is [var only])
        {
            return [CachedAnswer.FromBytes((byte[]?)await resting.AskAsync(() => redis.GuardAsync(only, db => db.StringGetAsync(only, CommandFlags.DemandMaster))))];
        }

        var found = await resting.AskAsync(() => redis.GuardAsync(keys[0], db => db.StringGetAsync([.. keys.Select(key => (RedisKey)key)], CommandFlags.DemandMaster)));
        return [.. found.Select(value => CachedAnswer.FromBytes((byte[]?)value))];
    }

    /// <summary>One round trip, without the answers: the commands are sent one after the other, and only then waited for.</summary>
    /// <inheritdoc/>
    public async Task<long?[]> VersionsAsync(string[] keys)
    {
        var heads = await resting.AskAsync(() => redis.GuardAsync(keys[0], db => Task.WhenAll(keys.Select(key => db.StringGetRangeAsync(key, 0, CachedAnswer.HeadBytes - 1, CommandFlags.DemandMaster)))));
        return [.. heads.Select(head => CachedAnswer.VersionIn((byte[]?)head))];
    }

    public Task DropAsync(IReadOnlyCollection<string> keys) => resting.AskAsync(async () =>
    {
        await redis.DropAsync([.. keys.Select(key => (RedisKey)key)]);
        return true;
    });

    public ValueTask DisposeAsync() => ownsConnection ? redis.DisposeAsync() : ValueTask.CompletedTask;

    private static string NewLease() => $"L{Guid.NewGuid():N}";

    private async Task<bool> ReplaceAsync(string key, RedisValue lease, RedisValue by, TimeSpan age) =>
        (long)await resting.AskAsync(() => redis.RunScriptAsync(KeepScript, [key], [lease, by, (long)age.TotalMilliseconds])) == 1;
}

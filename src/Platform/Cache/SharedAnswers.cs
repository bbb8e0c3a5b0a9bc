using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using StackExchange.Redis;

namespace Sluice.Platform.Cache;

/// <summary>
/// The answers that nodes share, in Redis. Who finds none gets a lease for reading it from SQL; a change drops the key with whatever is there, a lease too; and only who still has the lease may put its answer there.
/// So nothing that was read before a change is kept after it, whatever the order in which things happen.
/// </summary>
internal sealed class SharedAnswers(RedisConnection redis, TimeProvider time) : IAsyncDisposable
{
    // Longer than a read of SQL takes. When it is over somebody else may read, and the first one's answer is shown but not kept.
    private static readonly TimeSpan LeaseAge = TimeSpan.FromSeconds(5);

    // How long to wait for another node's answer before reading it too, and how often to look.
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(250), Look = TimeSpan.FromMilliseconds(10);

    // A server that does not answer must not hold up every reader: after a failure one call in a second tries it, and all others do without.
    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(1);

    private static readonly RedisScript KeepScript = RedisScript.Load("Keep.lua");

    private long restsUntil;

    /// <summary>Set when the connection is of the cache alone and ends with it.</summary>
    public bool OwnsConnection { get; init; }

    public RedisConnection Redis => redis;

    /// <summary>The answer, or the lease to read it. One round trip; while another node reads it, some more, until its answer is there or it takes too long: then its lease is taken over.</summary>
    /// <exception cref="DependencyUnavailableException">Redis is away.</exception>
    public async Task<(CachedAnswer? Answer, string? Lease)> TakeAsync(string key)
    {
        var lease = $"L{Guid.NewGuid():N}";
        var started = time.GetTimestamp();
        while (true)
        {
            byte[]? found = await AskAsync(() => redis.GuardAsync(key, db => db.StringSetAndGetAsync(key, lease, LeaseAge, keepTtl: false, When.NotExists, CommandFlags.DemandMaster)));
            if (found is null)
            {
                return (null, lease);
            }

            if (CachedAnswer.FromBytes(found) is { } answer)
            {
                return (answer, null);
            }

            if (time.GetElapsedTime(started) > Patience)
            {
                return (null, await ReplaceAsync(key, found, lease, LeaseAge) ? lease : null);
            }

            await Task.Delay(Look, time);
        }
    }

    /// <summary>The answers that are there, null for each that is not; no lease. Keys of one slot, one round trip.</summary>
    /// <inheritdoc cref="TakeAsync"/>
    public async Task<CachedAnswer?[]> FindAsync(string[] keys)
    {
        var found = await AskAsync(() => redis.GuardAsync(keys[0], db => db.StringGetAsync([.. keys.Select(key => (RedisKey)key)], CommandFlags.DemandMaster)));
        return [.. found.Select(value => CachedAnswer.FromBytes((byte[]?)value))];
    }

    /// <summary>Only the versions, without the answers; null for each that is not there. Keys of one slot, one round trip: the commands are sent one after the other, and only then waited for.</summary>
    /// <inheritdoc cref="TakeAsync"/>
    public async Task<long?[]> VersionsAsync(string[] keys)
    {
        var heads = await AskAsync(() => redis.GuardAsync(keys[0], db => Task.WhenAll(keys.Select(key => db.StringGetRangeAsync(key, 0, CachedAnswer.HeadBytes - 1, CommandFlags.DemandMaster)))));
        return [.. heads.Select(head => CachedAnswer.VersionIn((byte[]?)head))];
    }

    /// <summary>False: something has changed since the lease was given, or it is over. Nothing is kept then.</summary>
    /// <inheritdoc cref="TakeAsync"/>
    public Task<bool> KeepAsync(string key, string lease, CachedAnswer answer, TimeSpan age) => ReplaceAsync(key, lease, answer.ToBytes(), age);

    /// <summary>Forgets what is kept, and whoever reads it now will not keep it.</summary>
    /// <inheritdoc cref="TakeAsync"/>
    public Task DropAsync(IReadOnlyCollection<string> keys) => AskAsync(async () =>
    {
        await redis.DropAsync([.. keys.Select(key => (RedisKey)key)]);
        return true;
    });

    public ValueTask DisposeAsync() => OwnsConnection ? redis.DisposeAsync() : ValueTask.CompletedTask;

    private async Task<bool> ReplaceAsync(string key, RedisValue lease, RedisValue by, TimeSpan age) =>
        (long)await AskAsync(() => redis.RunScriptAsync(KeepScript, [key], [lease, by, (long)age.TotalMilliseconds])) == 1;

    private async Task<T> AskAsync<T>(Func<Task<T>> call)
    {
        var until = Interlocked.Read(ref restsUntil);
        if (until != 0 && (until > Environment.TickCount64 || Interlocked.CompareExchange(ref restsUntil, Environment.TickCount64 + (long)Rest.TotalMilliseconds, until) != until))
        {
            throw new DependencyUnavailableException("redis", "it did not answer the cache a moment ago.");
        }

        try
        {
            var answer = await call();
            Interlocked.Exchange(ref restsUntil, 0);
            return answer;
        }
        catch (DependencyUnavailableException)
        {
            Interlocked.Exchange(ref restsUntil, Environment.TickCount64 + (long)Rest.TotalMilliseconds);
            throw;
        }
    }
}

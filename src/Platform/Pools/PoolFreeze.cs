using System.Globalization;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using StackExchange.Redis;

namespace Sluice.Platform.Pools;

/// <summary>
/// The right to rebuild one pool, which everybody else finds frozen meanwhile. It is a lease: as long as its holder is alive it says so every <see cref="Beat"/>, and
/// one that has not been heard of for <see cref="Lease"/> is taken over by the next who asks. That is safe at any moment, since every step names its token in the script that does it:
/// a holder that was only slow finds it gone and stops. Both times are by the clock of the Redis server, so the nodes' clocks may differ.
/// </summary>
internal sealed class PoolFreeze : IAsyncDisposable
{
    /// <summary>So long a pool stays frozen after a process that died in the middle of rebuilding it; long enough for a holder that is collecting garbage on a busy machine.</summary>
    public static readonly TimeSpan Lease = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan Beat = TimeSpan.FromMilliseconds(500);

    private static readonly RedisScript RebuildScript = RedisScript.Load("Rebuild.lua");

    private readonly RedisConnection redis;
    private readonly PoolKeys keys;
    private readonly long poolId;
    private readonly string token = Guid.NewGuid().ToString("N");
    private readonly CancellationTokenSource done = new();
    private Task beating = Task.CompletedTask;
    private bool thawed;

    private PoolFreeze(RedisConnection redis, PoolKeys keys, long poolId) => (this.redis, this.keys, this.poolId) = (redis, keys, poolId);

    /// <summary>Freezes the pool, or returns null when another process is at it.</summary>
    /// <param name="onlyAbandoned">Freeze only a pool that was left frozen.</param>
    public static async Task<PoolFreeze?> TakeAsync(RedisConnection redis, PoolKeys keys, long poolId, string run, bool onlyAbandoned, TimeProvider time)
    {
        var freeze = new PoolFreeze(redis, keys, poolId);
        if (!await freeze.StepAsync([onlyAbandoned ? "takeover" : "freeze", freeze.token, await freeze.NowAsync(), (long)Lease.TotalMilliseconds, run]))
        {
            freeze.done.Dispose();
            return null;
        }

        freeze.beating = freeze.BeatAsync(time);
        return freeze;
    }

    /// <summary>Puts users with their claims into the pool.</summary>
    public Task HoldAsync(IReadOnlyCollection<KeyValuePair<string, string>> users) =>
        DemandAsync(["hold", token, .. users.SelectMany(user => new RedisValue[] { user.Key, user.Value })]);

    /// <summary>Puts claims into the queue again.</summary>
    public Task RequeueAsync(IEnumerable<Claim> claims) => DemandAsync(["requeue", token, .. claims.Select(claim => (RedisValue)ClaimEntry.ToQueue(claim))]);

    /// <summary>Opens the pool again: the end of the freeze.</summary>
    public async Task ThawAsync(string run, Pool pool, long left, long refillsMin)
    {
        await DemandAsync([
            // Units that are being taken from Redis' share are in it until Configure.lua has taken them: it is to come after this, and to find that they still are there.
            "thaw", token, run, pool.Version - (pool.TakingUnits > 0 ? 1 : 0), PoolStore.GateName(pool.Gate), PoolStore.Optional(pool.OpensAt), PoolStore.Optional(pool.ClosesAt),
            pool.PerUserLimit, pool.RedisUnits, left, refillsMin, pool.Generation]);
        thawed = true;
    }

    /// <summary>A pool that was not thawed stays frozen, and whoever asks next may take it over at once.</summary>
    public async ValueTask DisposeAsync()
    {
        await done.CancelAsync();
        await beating;
        done.Dispose();
        if (!thawed)
        {
            await SayAsync(at: 0);
        }
    }

    private async Task BeatAsync(TimeProvider time)
    {
        using var timer = new PeriodicTimer(Beat, time);
        try
        {
            while (await timer.WaitForNextTickAsync(done.Token))
            {
                await SayAsync(at: null);
            }
        }
        catch (OperationCanceledException) when (done.IsCancellationRequested)
        {
            // The rebuild is over.
        }
    }

    // "I am alive" (null), or "I have given up" (0). Unheard it changes nothing: the rebuild's own steps meet the same failure and report it.
    private async Task SayAsync(long? at)
    {
        try
        {
            await StepAsync(["beat", token, at ?? await NowAsync()]);
        }
        catch (DependencyUnavailableException)
        {
            // See above.
        }
    }

    private async Task<long> NowAsync()
    {
        var clock = (string[])(await redis.GuardAsync(keys.Meta, static db => db.ExecuteAsync("TIME")))!;
        return (long.Parse(clock[0], CultureInfo.InvariantCulture) * 1_000) + (long.Parse(clock[1], CultureInfo.InvariantCulture) / 1_000);
    }

    private async Task DemandAsync(RedisValue[] arguments)
    {
        if (!await StepAsync(arguments))
        {
            throw new DependencyUnavailableException("redis", $"another process took the rebuild of pool {poolId} over.");
        }
    }

    private async Task<bool> StepAsync(RedisValue[] arguments) => (long)await redis.RunScriptAsync(RebuildScript, keys.Rebuild, arguments) == 1;
}

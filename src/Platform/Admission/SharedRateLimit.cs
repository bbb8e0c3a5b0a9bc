using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using StackExchange.Redis;

namespace Sluice.Platform.Admission;

/// <summary>How many nodes answer requests now. One, where nobody counts them: a node on the embedded engine is alone.</summary>
public sealed class ApiNodes
{
    private volatile int count = 1;

    public int Count
    {
        get => count;
        set => count = Math.Max(1, value);
    }
}

/// <summary>The limits that are shared by all nodes.</summary>
public sealed class RateLimits(AdmissionOptions options, RedisConnection redis, ApiNodes nodes, TimeProvider time)
{
    /// <summary>Claims of one user.</summary>
    public SharedRateLimit Claims { get; } = new("claims", options.ClaimsPerUserPerSecond, options.ClaimsPerUserBurst, redis, nodes, time);

    /// <summary>A further limit.</summary>
    /// <param name="name">Part of the key in Redis.</param>
    /// <param name="perSecond">In the long run, above 0; less than one is one in several seconds.</param>
    /// <param name="burst">At once.</param>
    public SharedRateLimit New(string name, double perSecond, int burst) => new(name, perSecond, burst, redis, nodes, time);
}

/// <summary>
/// One limit for each user (or address) over all nodes. A half of it is dealt out: each node admits its part of that half by itself, which is all that people who click like people ever need. Who wants more takes it from the other half,
/// which is counted in Redis, atomically. So all nodes together never admit more than the limit, and hardly anybody costs a round trip. While Redis is away the whole limit is dealt out.
/// </summary>
public sealed class SharedRateLimit(string name, double perSecond, int burst, RedisConnection redis, ApiNodes nodes, TimeProvider time)
{
    private static readonly RedisScript AdmitScript = RedisScript.Load("Admit.lua");

    // What this node admits by itself; what it would admit were Redis away; and what nobody gets through any node, so that a storm of one user does not reach Redis.
    private readonly LocalRateLimit own = new(perSecond, burst, time), alone = new(perSecond, burst, time), most = new(perSecond, burst, time);
    private readonly long interval = (long)(2_000_000 / perSecond);
    private readonly long tolerance = (long)(2_000_000 / perSecond) * (Math.Max(1, burst / 2) - 1);

    /// <summary>Completed with null when they may ask now, else with how long to wait. Completes at once for everybody who is within this node's part.</summary>
    public ValueTask<TimeSpan?> CheckAsync(string who)
    {
        var count = nodes.Count;
        if (count == 1)
        {
            return ValueTask.FromResult(own.Check(who));
        }

        if (most.Check(who) is { } wait)
        {
            return ValueTask.FromResult<TimeSpan?>(wait);
        }

        var waitAlone = alone.Check(who, count);
        return own.Check(who, count * 2) is null ? ValueTask.FromResult<TimeSpan?>(null) : new ValueTask<TimeSpan?>(AskAsync(who, waitAlone));
    }

    private async Task<TimeSpan?> AskAsync(string who, TimeSpan? waitAlone)
    {
        try
        {
            var wait = (long)await redis.RunScriptAsync(AdmitScript, [$"{{rate:{name}:{who}}}"], [interval, tolerance]);
            return wait == 0 ? null : TimeSpan.FromMicroseconds(wait);
        }
        catch (DependencyUnavailableException)
        {
            return waitAlone;
        }
    }
}

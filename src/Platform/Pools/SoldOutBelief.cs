using System.IO.Hashing;
using System.Runtime.InteropServices;
using Sluice.Platform.Redis;

namespace Sluice.Platform.Pools;

/// <summary>
/// What a node believes of one pool after it sold out, so that the crowd that came too late costs neither Redis nor SQL.
/// It never answers a user who holds a claim (a retry must find it), it ends at once when units come back on this node, and after
/// <see cref="PoolsOptions.SoldOutBelief"/> it is asked for again, so it cannot stick.
/// </summary>
internal sealed class SoldOutBelief(PoolKeys keys, RedisConnection redis, PoolsOptions options, TimeProvider time)
{
    /// <summary>More holders than this (16 bytes each) are not remembered; such a pool is asked every time.</summary>
    private const int HoldersMax = 2_000_000;

    private readonly Lock stateLock = new();
    private Known? known;
    private bool learning;
    private int forgotten;

    /// <summary>True when this user can be told "sold out" without asking.</summary>
    public bool Covers(string userId)
    {
        var now = known;
        return now is { IsSoldOut: true } && time.GetElapsedTime(now.Since) < options.SoldOutBelief && !now.Holders.Contains(Hash(userId));
    }

    /// <summary>Told after every script call: units left and the count of refills at that moment.</summary>
    public void Hear(long left, long refills)
    {
        int forgottenBefore;
        lock (stateLock)
        {
            if (left > 0)
            {
                known = known is null ? null : known with { IsSoldOut = false };
                return;
            }

            if (known is { } before && before.Refills == refills)
            {
                // Nobody can have become a holder since: that needs units, units need a refill, and a refill would have changed the count.
                known = before with { IsSoldOut = true, Since = time.GetTimestamp() };
                return;
            }

            if (learning)
            {
                return;
            }

            learning = true;
            forgottenBefore = forgotten;
        }

        _ = LearnAsync(refills, forgottenBefore);
    }

    /// <summary>Units may have come back: ask Redis from now on.</summary>
    public void Forget()
    {
        lock (stateLock)
        {
            known = null;
            forgotten++;
        }
    }

    // Reads who holds a claim. Valid only if nothing was refilled between the script call and the end of the reading.
    private async Task LearnAsync(long refills, int forgottenBefore)
    {
        try
        {
            var holders = new HashSet<ulong>();

            // With the values, which nobody needs: HSCAN … NOVALUES is an error before Redis 7.4.
            await foreach (var user in redis.DbOf(keys.Holders).HashScanAsync(keys.Holders, pageSize: 5_000))
            {
                holders.Add(Hash(user.Name.ToString()));
                if (holders.Count > HoldersMax)
                {
                    return;
                }
            }

            var meta = await redis.GuardAsync(keys.Meta, db => db.HashGetAsync(keys.Meta, ["refills", "frozen"]));
            lock (stateLock)
            {
                // Told to forget while it read: units came back after the last look at the count.
                if ((long)meta[0] == refills && meta[1].IsNullOrEmpty && forgotten == forgottenBefore)
                {
                    known = new(IsSoldOut: true, refills, holders, time.GetTimestamp());
                }
            }
        }
        catch (Exception e) when (e is StackExchange.Redis.RedisException or TimeoutException or Hosting.DependencyUnavailableException)
        {
            // Not learned; the next sold-out answer tries again.
            Forget();
        }
        finally
        {
            lock (stateLock)
            {
                learning = false;
            }
        }
    }

    // A user whose hash equals a holder's is asked for at Redis: slower for one in 10^13, never wrong.
    private static ulong Hash(string userId) => XxHash3.HashToUInt64(MemoryMarshal.AsBytes(userId.AsSpan()));

    private sealed record Known(bool IsSoldOut, long Refills, HashSet<ulong> Holders, long Since);
}

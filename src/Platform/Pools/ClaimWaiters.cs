using System.Collections.Concurrent;
using Dapper;
using Sluice.Platform.Sql;

namespace Sluice.Platform.Pools;

/// <summary>
/// Who waits for a claim to be written. A worker in this process says so at once; one in another process is found by looking into SQL now and then.
/// </summary>
public sealed class ClaimWaiters(Database database, TimeProvider time)
{
    private static readonly TimeSpan LookFirst = TimeSpan.FromMilliseconds(100), LookMax = TimeSpan.FromSeconds(2);

    private readonly ConcurrentDictionary<long, TaskCompletionSource> waiting = new();

    /// <summary>Returns the state as soon as SQL has the claim, or null when it has not after <paramref name="atMost"/>.</summary>
    public async Task<ClaimState?> WaitAsync(long claimId, TimeSpan atMost, CancellationToken cancel)
    {
        var started = time.GetTimestamp();
        var told = waiting.GetOrAdd(claimId, static _ => new(TaskCreationOptions.RunContinuationsAsynchronously));
        try
        {
            // Look once after registering: the claim may have been written just before.
            for (var look = LookFirst; ; look = TimeSpan.FromTicks(Math.Min(look.Ticks * 2, LookMax.Ticks)))
            {
                if (await StateAsync(claimId) is { } state)
                {
                    return state;
                }

                var leftTime = atMost - time.GetElapsedTime(started);
                if (leftTime <= TimeSpan.Zero)
                {
                    return null;
                }

                var pause = Task.Delay(leftTime < look ? leftTime : look, time, cancel);
                if (await Task.WhenAny(told.Task, pause) == pause)
                {
                    cancel.ThrowIfCancellationRequested();
                }
            }
        }
        finally
        {
            waiting.TryRemove(claimId, out _);
        }
    }

    /// <summary>Called by the worker after its commit.</summary>
    public void Announce(IReadOnlyList<Claim> claims)
    {
        if (waiting.IsEmpty)
        {
            return;
        }

        foreach (var claim in claims)
        {
            if (waiting.TryRemove(claim.Id, out var told))
            {
                told.TrySetResult();
            }
        }
    }

    private Task<ClaimState?> StateAsync(long claimId) => database.ReadAsync(connection =>
        connection.QuerySingleOrDefaultAsync<ClaimState?>("SELECT state FROM claims WHERE id = @claimId", new { claimId }));
}

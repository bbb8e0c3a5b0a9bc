using System.Collections.Concurrent;
using Dapper;
using Sluice.Platform.Sql;

namespace Sluice.Platform.Pools;

/// <summary>
/// Who waits for a claim to be written. A worker in this process says so at once; one in another process is found by looking into SQL now and then.
/// </summary>
public sealed class ClaimWaiters(Database database, TimeProvider time) : IDisposable
{
    private static readonly TimeSpan LookFirst = TimeSpan.FromMilliseconds(100), LookMax = TimeSpan.FromSeconds(2);

    private readonly ConcurrentDictionary<long, TaskCompletionSource> waiting = new();
    private readonly CancellationTokenSource stopping = new();

    /// <summary>Returns the state as soon as SQL has the claim, or null when it has not after <paramref name="atMost"/>.</summary>
    public async Task<ClaimState?> WaitAsync(long claimId, TimeSpan atMost, CancellationToken cancel)
    {
        // Whoever asks may have others of the same batch to answer on this thread, and SQL is read on the thread that asks.
        await Task.Yield();
        var started = time.GetTimestamp();
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancel, stopping.Token);
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
                if (leftTime <= TimeSpan.Zero || stopping.IsCancellationRequested)
                {
                    return null;
                }

                var pause = Task.Delay(leftTime < look ? leftTime : look, time, either.Token);
                await Task.WhenAny(told.Task, pause);
                cancel.ThrowIfCancellationRequested();
            }
        }
        finally
        {
            waiting.TryRemove(claimId, out _);
        }
    }

    /// <summary>The node is asked to stop: everybody is answered with what is known now, so that nobody holds the node up.</summary>
    public void StopWaiting() => stopping.Cancel();

    public void Dispose() => stopping.Dispose();

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

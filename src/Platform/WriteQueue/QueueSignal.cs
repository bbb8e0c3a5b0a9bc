namespace Sluice.Platform.WriteQueue;

/// <summary>Rung by whoever put something into a queue in this process, so that the drain does not wait for its next look.</summary>
public sealed class QueueSignal : IDisposable
{
    private readonly SemaphoreSlim bell = new(0, 1);
    private int rung;

    public void Ring()
    {
        if (Interlocked.Exchange(ref rung, 1) == 0)
        {
            bell.Release();
        }
    }

    /// <summary>Returns when the bell rang since the last call, or after <paramref name="atMost"/>.</summary>
    public async Task WaitAsync(TimeSpan atMost, CancellationToken cancel)
    {
        if (await bell.WaitAsync(atMost, cancel))
        {
            Volatile.Write(ref rung, 0);
        }
    }

    public void Dispose() => bell.Dispose();
}

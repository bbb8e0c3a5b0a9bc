using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>So many at once, so many more wait in order, and everybody beyond is told at once to come later.</summary>
/// <param name="what">What they wait for: "to write".</param>
internal sealed class Turns(int atOnceMax, int waitingMax, string what) : IDisposable
{
    private readonly SemaphoreSlim free = new(atOnceMax, atOnceMax);
    private int waiting;

    /// <exception cref="DependencyUnavailableException">Too many wait already.</exception>
    public async Task TakeAsync(CancellationToken cancel)
    {
        if (Interlocked.Increment(ref waiting) > waitingMax)
        {
            Interlocked.Decrement(ref waiting);
            throw new DependencyUnavailableException("sql", $"more than {waitingMax} requests wait for their turn {what}.");
        }

        try
        {
            await free.WaitAsync(cancel);
        }
        finally
        {
            Interlocked.Decrement(ref waiting);
        }
    }

    public void Release() => free.Release();

    public void Dispose() => free.Dispose();
}

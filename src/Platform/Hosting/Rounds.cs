namespace Sluice.Platform.Hosting;

/// <summary>Work that is done again and again until the node ends.</summary>
public static class Rounds
{
    /// <summary>
    /// The edge of the process: whatever fails, an engine that is away or something nobody thought of, ends no service. It is said once, until a round has gone well again; the next round goes on where this one stopped.
    /// </summary>
    /// <param name="pause">Between two rounds.</param>
    /// <param name="failed">Gets the exception, or null where its message says all, and the message.</param>
    public static async Task RunAsync(Func<Task> round, TimeSpan pause, Action<Exception?, string> failed, TimeProvider time, CancellationToken stopping)
    {
        await Task.Yield();
        var failing = false;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await round();
                failing = false;
            }
            catch (Exception e)
            {
                if (!failing)
                {
                    failed(e is DependencyUnavailableException ? null : e, e.Message);
                }

                failing = true;
            }

            await Task.Delay(pause, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}

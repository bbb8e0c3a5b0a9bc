using Sluice.Platform.Hosting;

namespace Sluice.Platform.Cache;

/// <summary>A server that does not answer must not hold up every reader: after a failure one call in a second tries it, and all others do without. One of these for each server.</summary>
/// <param name="dependency">The engine's name as an operator knows it.</param>
internal sealed class Resting(string dependency)
{
    private const long RestMs = 1_000;

    private long restsUntil;

    /// <exception cref="DependencyUnavailableException">The call failed, or one did a moment ago and this one was not made.</exception>
    public async Task<T> AskAsync<T>(Func<Task<T>> call)
    {
        var until = Interlocked.Read(ref restsUntil);
        if (until != 0 && (until > Environment.TickCount64 || Interlocked.CompareExchange(ref restsUntil, Environment.TickCount64 + RestMs, until) != until))
        {
            throw new DependencyUnavailableException(dependency, "it did not answer the cache a moment ago.");
        }

        try
        {
            var answer = await call();
            Interlocked.Exchange(ref restsUntil, 0);
            return answer;
        }
        catch (DependencyUnavailableException)
        {
            Interlocked.Exchange(ref restsUntil, Environment.TickCount64 + RestMs);
            throw;
        }
    }
}

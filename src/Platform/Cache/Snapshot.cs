namespace Sluice.Platform.Cache;

/// <summary>
/// A value kept in this process for a moment. One caller loads it when it is too old, the others meanwhile get the old one: however many ask, the engine behind is asked once.
/// </summary>
/// <typeparam name="T">An immutable value.</typeparam>
public sealed class Snapshot<T>(Func<Task<T>> load, TimeSpan age, TimeProvider time)
    where T : class
{
    /// <summary>A value older than so many times its age is from before a pause in which nobody looked: it is not shown, unless there is nothing else.</summary>
    private const int AgesMax = 10;

    private readonly Lock stateLock = new();
    private T? value;
    private long loadedAt;
    private Task<T>? loading;
    private int generation;

    /// <summary>
    /// The value, at most <c>age</c> old, or one load older while it is being loaded. After a pause of ten ages the first who looks waits for the load: another node may have changed
    /// anything since. When that load fails there is still the old one.
    /// </summary>
    public ValueTask<T> GetAsync()
    {
        lock (stateLock)
        {
            if (value is not null && time.GetElapsedTime(loadedAt) < age)
            {
                return ValueTask.FromResult(value);
            }

            loading ??= LoadAsync(generation);
            return value is null ? new(loading)
                : time.GetElapsedTime(loadedAt) < age * AgesMax ? ValueTask.FromResult(value)
                : new(NewOrOldAsync(loading, value));
        }
    }

    /// <summary>The next <see cref="GetAsync"/> waits for a value that was loaded after this call.</summary>
    public void Invalidate()
    {
        lock (stateLock)
        {
            value = null;
            loading = null;
            generation++;
        }
    }

    private static async Task<T> NewOrOldAsync(Task<T> loading, T old)
    {
        await ((Task)loading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return loading.IsCompletedSuccessfully ? await loading : old;
    }

    private async Task<T> LoadAsync(int startedIn)
    {
        await Task.Yield();
        try
        {
            var loaded = await load();
            lock (stateLock)
            {
                // A load that began before an invalidation may have read the old state: its value is for those who waited for it, not for later ones.
                if (startedIn == generation)
                {
                    (value, loadedAt, loading) = (loaded, time.GetTimestamp(), null);
                }
            }

            return loaded;
        }
        catch
        {
            lock (stateLock)
            {
                if (startedIn == generation)
                {
                    loading = null;
                }
            }

            throw;
        }
    }
}

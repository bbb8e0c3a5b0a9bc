using Sluice.Platform.Hosting;

namespace Sluice.Platform.Cache;

/// <summary>
/// The answers that nodes share. Who finds none gets a lease for reading it from SQL; a change drops the key with whatever is there, a lease too; and only who still has the lease may put its answer there.
/// So nothing that was read before a change is kept after it, whatever the order in which things happen. What holds them is <see cref="ISharedStore"/>'s affair.
/// </summary>
internal sealed class SharedAnswers(ISharedStore store, TimeProvider time) : IAsyncDisposable
{
    // Longer than a read of SQL takes. When it is over somebody else may read, and the first one's answer is shown but not kept.
    private static readonly TimeSpan LeaseAge = TimeSpan.FromSeconds(5);

    // How long to wait for another node's answer before reading it too, and how often to look.
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(250), Look = TimeSpan.FromMilliseconds(10);

    public string Describe => store.Describe;

    /// <inheritdoc cref="ISharedStore.TooLarge"/>
    public long TooLarge => store.TooLarge;

    /// <summary>The answer, or the lease to read it. One round trip where it is there; while another node reads it, some more, until its answer is there or it takes too long: then its lease is taken over.</summary>
    /// <exception cref="DependencyUnavailableException">The engine is away.</exception>
    public async Task<(CachedAnswer? Answer, string? Lease)> TakeAsync(string key)
    {
        var started = time.GetTimestamp();
        while (true)
        {
            var taken = await store.TakeAsync(key, LeaseAge);
            if (taken.Bytes is null)
            {
                return (null, taken.Lease);
            }

            if (CachedAnswer.FromBytes(taken.Bytes) is { } answer)
            {
                return (answer, null);
            }

            if (time.GetElapsedTime(started) > Patience)
            {
                return (null, await store.TakeOverAsync(key, taken, LeaseAge));
            }

            await Task.Delay(Look, time);
        }
    }

    /// <summary>The answers that are there, null for each that is not; no lease. Keys of one user, one round trip.</summary>
    /// <inheritdoc cref="TakeAsync"/>
    public Task<CachedAnswer?[]> FindAsync(string[] keys) => store.FindAsync(keys);

    /// <summary>Only the versions; null for each that is not there. Keys of one user, one round trip.</summary>
    /// <inheritdoc cref="TakeAsync"/>
    public Task<long?[]> VersionsAsync(string[] keys) => store.VersionsAsync(keys);

    /// <summary>False: something has changed since the lease was given, or it is over, or the engine takes nothing so large. Nothing is kept then.</summary>
    /// <inheritdoc cref="TakeAsync"/>
    public Task<bool> KeepAsync(string key, string lease, CachedAnswer answer, TimeSpan age) => store.KeepAsync(key, lease, answer, age);

    /// <summary>Forgets what is kept, and whoever reads it now will not keep it.</summary>
    /// <inheritdoc cref="TakeAsync"/>
    public Task DropAsync(IReadOnlyCollection<string> keys) => store.DropAsync(keys);

    public ValueTask DisposeAsync() => store.DisposeAsync();
}

namespace Sluice.Platform.Cache;

/// <summary>
/// Where nodes share answers: Redis, memcached or MongoDB. A key holds an answer, or a lease to read it from SQL. Each call on one key is atomic against all others, from whichever node; nothing but that is asked of an engine:
/// what it forgets is read again.
/// </summary>
internal interface ISharedStore : IAsyncDisposable
{
    /// <summary>For the start banner: engine and addresses, no password.</summary>
    string Describe { get; }

    /// <summary>Answers that were not kept because the engine takes none of that size, since the start.</summary>
    long TooLarge { get; }

    /// <summary>What is there; where nothing is, a lease is put there and is the caller's.</summary>
    /// <exception cref="Hosting.DependencyUnavailableException">The engine is away or slow. Whether a lease was put there is unknown: it is over after its age.</exception>
    Task<Taken> TakeAsync(string key, TimeSpan leaseAge);

    /// <summary>Puts a new lease in the place of what was taken to be there, if it still is. Null: it is not.</summary>
    /// <inheritdoc cref="TakeAsync"/>
    Task<string?> TakeOverAsync(string key, Taken standing, TimeSpan leaseAge);

    /// <summary>Puts a value in the place of a lease, if that lease still stands. False: it does not, or the value is too large; nothing is kept then.</summary>
    /// <inheritdoc cref="TakeAsync"/>
    Task<bool> KeepAsync(string key, string lease, CachedAnswer answer, TimeSpan age);

    /// <summary>The answers that are there, of keys with one tag (what is in braces); null for each that is not, and for leases. Nothing is put there.</summary>
    /// <inheritdoc cref="TakeAsync"/>
    Task<CachedAnswer?[]> FindAsync(string[] keys);

    /// <summary>Only their versions; null for each that is not there.</summary>
    /// <inheritdoc cref="TakeAsync"/>
    Task<long?[]> VersionsAsync(string[] keys);

    /// <summary>Deletes keys, leases too.</summary>
    /// <exception cref="Hosting.DependencyUnavailableException">Perhaps not all of them are deleted: do it again.</exception>
    Task DropAsync(IReadOnlyCollection<string> keys);
}

/// <summary>What <see cref="ISharedStore.TakeAsync"/> found.</summary>
/// <param name="Bytes">Null: nothing was there, and <paramref name="Lease"/> is the caller's. Otherwise an answer, or somebody else's lease.</param>
/// <param name="Lease">Names what is under the key now, in the engine's own way.</param>
internal readonly record struct Taken(byte[]? Bytes, string Lease);

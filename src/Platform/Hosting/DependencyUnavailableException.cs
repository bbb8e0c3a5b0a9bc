namespace Sluice.Platform.Hosting;

/// <summary>
/// An engine (Redis, SQL, what the cache shares in) is down, slow or full. Thrown by the guards in Redis/, Sql/ and Cache/, caught once at the HTTP edge → 503 with <c>Retry-After</c>.
/// Whether the work was done may be unknown: ask again with the same idempotency key.
/// </summary>
public sealed class DependencyUnavailableException(string dependency, string says, Exception? inner = null)
    : Exception($"{dependency}: {says}", inner)
{
    /// <summary>The engine's name as an operator knows it: <c>redis</c>, <c>sql</c>, <c>queue</c>, <c>memcached</c>, <c>mongodb</c>.</summary>
    public string Dependency { get; } = dependency;

    /// <summary>When asking again makes sense.</summary>
    public TimeSpan RetryAfter { get; init; } = TimeSpan.FromSeconds(1);
}

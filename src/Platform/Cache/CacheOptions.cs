using System.ComponentModel.DataAnnotations;

namespace Sluice.Platform.Cache;

/// <summary>Answers that are kept so that SQL is not asked for each of them. README.md in this folder says who may see what how late.</summary>
public sealed class CacheOptions
{
    /// <summary>
    /// Where nodes share what they have read. Empty: in the Redis of <c>Redis:Connection</c> (embedded: nowhere, the one process is everybody). <c>none</c>: nowhere, each node asks SQL by itself.
    /// Otherwise a server that may forget, which takes this work from the Redis that sells: the connection string of another Redis, written like <c>Redis:Connection</c> (<c>maxmemory-policy allkeys-lru</c>, no append-only file);
    /// <c>memcached://host:port,host:port</c>, 1 – 64 servers of memcached 1.6 or later, the same on every node, no password, no TLS, no proxy in between; or <c>mongodb://…</c> as MongoDB.Driver reads it (database <c>sluice</c> unless it names one), not tested against a server yet.
    /// </summary>
    [SharedElsewhere] public string Connection { get; init; } = "";

    /// <summary>How long one call to a server of the cache's own (<c>Cache:Connection</c>), and connecting to it, may take before SQL is asked instead, 100 ms – 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:00:30")] public TimeSpan CallTimeMax { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long a node shows from its own memory what all users see alike, 100 ms – 1 min. So long at most a node that is cut off from the others shows what has changed meanwhile.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:01:00")] public TimeSpan ProcessAge { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long nodes share what one of them has read, 1 s – 1 day; up to a tenth longer, so that not everything ends at once.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00")] public TimeSpan SharedAge { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The same for what there is not, 100 ms – 1 min: somebody may ask for it again and again.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:01:00")] public TimeSpan AbsentAge { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How old an answer may be that is shown because SQL cannot be asked, 1 s – 1 day.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00")] public TimeSpan StaleMax { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Memory of one node for what all users see alike, 1–16,384 MiB.</summary>
    [Range(1, 16_384)] public int ProcessMiBMax { get; init; } = 64;

    /// <summary>Questions to SQL at once for what is kept nowhere, 1–1,000; eight times as many wait, everybody beyond is answered 503.</summary>
    [Range(1, 1_000)] public int LoadsAtOnceMax { get; init; } = 32;

    /// <summary>An answer that is shown so often while it is kept in memory stays there when memory is short, 1–1,000,000.</summary>
    [Range(1, 1_000_000)] public int HotReadsMin { get; init; } = 100;
}

/// <summary>Empty, <c>none</c>, or servers that are not in this process.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class SharedElsewhereAttribute() : ValidationAttribute(
    "leave it empty, or write 'none', what Redis:Connection takes except 'embedded', memcached://host:port,host:port (1-64 different servers, no user, no path), or mongodb://… as its driver reads it")
{
    private static readonly Redis.RedisConnectionStringAttribute Connection = new();

    public override bool IsValid(object? value) => value is string text && (text.Length == 0 || text.Equals("none", StringComparison.OrdinalIgnoreCase) || IsElsewhere(text));

    private static bool IsElsewhere(string text) => text.StartsWith(MemcachedServers.Scheme, StringComparison.OrdinalIgnoreCase) ? MemcachedServers.TryParse(text) is not null
        : text.StartsWith(MongoStore.Scheme, StringComparison.OrdinalIgnoreCase) ? MongoStore.IsConnection(text)
        : !text.Contains("://", StringComparison.Ordinal) && !text.Equals(Redis.RedisOptions.Embedded, StringComparison.OrdinalIgnoreCase) && Connection.IsValid(text);
}

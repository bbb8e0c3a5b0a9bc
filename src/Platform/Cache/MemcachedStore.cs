using System.Globalization;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Cache;

/// <summary>
/// Shared answers in memcached 1.6 or later, by its meta protocol. A lease is an item without a value; what makes it somebody's is the number that memcached gives to each item that it stores (<c>cas</c>). A server that was started
/// again counts from one, so a number is good only over the connection that gave it: a lease is <c>connection:cas</c>, and none outlives its connection.
/// </summary>
internal sealed partial class MemcachedStore : ISharedStore
{
    /// <summary>memcached's own bound (<c>-I</c>, 1 MiB unless told otherwise) less what it needs beside the value. It says itself when it takes less.</summary>
    internal const int ValueBytesMax = 1_047_000;

    private readonly MemcachedServers servers;
    private readonly IReadOnlyList<MemcachedLink> links;
    private readonly ILogger log;
    private long tooLarge;

    private MemcachedStore(MemcachedServers servers, TimeSpan callTimeMax, TimeProvider time, ILogger log)
    {
        (this.servers, this.log) = (servers, log);
        links = [.. servers.All.Select(server => new MemcachedLink(server.Host, server.Port, 1024 * 1024, callTimeMax, time, log))];
    }

    public string Describe => $"memcached at {servers}";

    public long TooLarge => Interlocked.Read(ref tooLarge);

    /// <summary>A server that is away is no reason not to start: it may forget everything anyway.</summary>
    /// <exception cref="DependencyUnavailableException">Something else than memcached answers there, or one that cannot be used.</exception>
    public static async Task<MemcachedStore> OpenAsync(MemcachedServers servers, TimeSpan callTimeMax, TimeProvider time, ILogger log)
    {
        var store = new MemcachedStore(servers, callTimeMax, time, log);
        try
        {
            await Task.WhenAll(store.links.Select(TryAsync));
            return store;
        }
        catch
        {
            await store.DisposeAsync();
            throw;
        }
    }

    /// <summary>One round trip, one command: <c>mg</c> with <c>N</c> makes an empty item where there is none and tells one caller (<c>W</c>) that it is the one.</summary>
    /// <inheritdoc/>
    public async Task<Taken> TakeAsync(string key, TimeSpan leaseAge)
    {
        var (answer, connection) = await LinkOf(key).AskAsync(Take(key, leaseAge));
        return TakenFrom(answer, connection);
    }

    /// <summary>One round trip, two commands: the item is deleted if it is still the one that was found, and then there is room for a new lease. Whoever comes in between gets that, and this caller none.</summary>
    /// <inheritdoc/>
    public async Task<string?> TakeOverAsync(string key, Taken standing, TimeSpan leaseAge)
    {
        var (connection, cas) = Parse(standing.Lease);
        var answers = await LinkOf(key).AskOverAsync(connection, new MemcachedCommand($"md {MemcachedServers.KeyOf(key)} C{cas}"), Take(key, leaseAge));
        return answers is not null && TakenFrom(answers[1], connection) is { Bytes: null } taken ? taken.Lease : null;
    }

    /// <summary>Ages in whole seconds, rounded up. What is too large is counted, and its lease goes, so that nobody waits for it.</summary>
    /// <inheritdoc/>
    public async Task<bool> KeepAsync(string key, string lease, CachedAnswer answer, TimeSpan age)
    {
        var ((connection, cas), name, value) = (Parse(lease), MemcachedServers.KeyOf(key), answer.ToBytes());
        if (value.Length <= ValueBytesMax)
        {
            var answers = await LinkOf(key).AskOverAsync(connection, new MemcachedCommand($"ms {name} {value.Length} C{cas} T{Seconds(age)}", value));
            if (answers is null || answers[0].Code != "SERVER_ERROR")
            {
                return answers is not null && answers[0].Code == "HD";
            }
        }

        if (Interlocked.Increment(ref tooLarge) == 1)
        {
            LogTooLarge(log, key, value.Length);
        }

        await LinkOf(key).AskOverAsync(connection, new MemcachedCommand($"md {name} C{cas}"));
        return false;
    }

    public async Task<CachedAnswer?[]> FindAsync(string[] keys) => [.. (await ValuesAsync(keys)).Select(value => CachedAnswer.FromBytes(value))];

    /// <summary>memcached gives no part of a value: the whole ones are read.</summary>
    /// <inheritdoc/>
    public async Task<long?[]> VersionsAsync(string[] keys) => [.. (await ValuesAsync(keys)).Select(value => CachedAnswer.VersionIn(value))];

    /// <summary>One round trip to each server that has some. One that is away does not keep the others from theirs.</summary>
    /// <inheritdoc/>
    public Task DropAsync(IReadOnlyCollection<string> keys) => Task.WhenAll(keys.GroupBy(LinkOf).Select(async some =>
        Demand(await some.Key.AskAsync([.. some.Select(key => new MemcachedCommand($"md {MemcachedServers.KeyOf(key)}"))]), "HD", "NF")));

    public async ValueTask DisposeAsync()
    {
        foreach (var link in links)
        {
            await link.DisposeAsync();
        }
    }

    // One round trip, as keys of one tag are at one server.
    private async Task<byte[]?[]> ValuesAsync(string[] keys)
    {
        var answers = await LinkOf(keys[0]).AskAsync([.. keys.Select(key => new MemcachedCommand($"mg {MemcachedServers.KeyOf(key)} v"))]);
        Demand(answers, "VA", "EN");
        return [.. answers.Select(answer => answer.Value)];
    }

    private static async Task TryAsync(MemcachedLink link)
    {
        try
        {
            var (answer, connection) = await link.AskAsync(Take("{sluice:start}", TimeSpan.FromSeconds(1)));
            TakenFrom(answer, connection);
        }
        catch (DependencyUnavailableException e) when (e.InnerException is not (null or InvalidDataException))
        {
            // Away, which the link has logged.
        }
    }

    private static MemcachedCommand Take(string key, TimeSpan leaseAge) => new($"mg {MemcachedServers.KeyOf(key)} v c N{Seconds(leaseAge)}");

    private static Taken TakenFrom(MemcachedAnswer answer, long connection)
    {
        Demand([answer], "VA");
        return answer.Flag('c') is { } cas and not "0" ? new(answer.Flag('W') is null ? answer.Value : null, $"{connection}:{cas}")
            : throw new DependencyUnavailableException("memcached", "it does not number its items, and without that an old answer could be kept: start it without -C (--disable-cas).");
    }

    private static (long Connection, string Cas) Parse(string lease) => lease.Split(':') is [var connection, var cas] ? (long.Parse(connection, CultureInfo.InvariantCulture), cas) : throw new FormatException(lease);

    // 0 would be for ever.
    private static long Seconds(TimeSpan age) => Math.Max(1, (long)Math.Ceiling(age.TotalSeconds));

    private static void Demand(IEnumerable<MemcachedAnswer> answers, params string[] codes)
    {
        foreach (var answer in answers)
        {
            if (!codes.Contains(answer.Code, StringComparer.Ordinal))
            {
                throw Refused(answer);
            }
        }
    }

    // For example: out of memory, and nothing may be evicted (-M).
    private static DependencyUnavailableException Refused(MemcachedAnswer answer) => new("memcached", $"it answered '{answer.Code} {answer.Flags}'.");

    private MemcachedLink LinkOf(string key) => links[servers.IndexOf(key)];

    [LoggerMessage(Level = LogLevel.Warning, Message = "The answer under '{Key}' has {Bytes} bytes, and memcached takes no such item: it is not shared. Others of the kind are counted (sluice_cache_shared_too_large) and not told of again")]
    private static partial void LogTooLarge(ILogger log, string key, int bytes);
}

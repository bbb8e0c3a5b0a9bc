using System.Diagnostics;
using System.Net;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using StackExchange.Redis;

namespace Sluice.Platform.Redis;

/// <summary>Which server has which key: one for all, or one connection for each primary that <see cref="IPrimaries"/> name, four times a second.</summary>
internal sealed partial class RedisRoutes : IAsyncDisposable
{
    private static readonly TimeSpan LookAtPrimaries = TimeSpan.FromMilliseconds(250);

    // So long without a majority of the Sentinels (or of the primaries of a Redis Cluster), and this node may be alone with a primary that the others have replaced. Not at the first missed answer: a busy machine misses one now and then.
    private static readonly TimeSpan MajorityAgeMax = TimeSpan.FromSeconds(1);

    private readonly IPrimaries? primaries;
    private readonly ConfigurationOptions settings;
    private readonly RedisOptions options;
    private readonly bool replicated;
    private readonly ILogger log;
    private readonly CancellationTokenSource closing = new();
    private Task following = Task.CompletedTask;
    private volatile Serving now = Serving.None;
    private volatile string absent = "not connected yet.";
    private long heardAt;

    private RedisRoutes(IPrimaries? primaries, ConfigurationOptions settings, RedisOptions options, bool replicated, ILogger log) =>
        (this.primaries, this.settings, this.options, this.replicated, this.log) = (primaries, settings, options, replicated, log);

    /// <summary>Every server that takes writes; null where one is named and not to be had.</summary>
    public IReadOnlyList<RedisLink?> Links => now.Links;

    /// <summary>Why nobody has a key.</summary>
    public string Absent => absent;

    /// <summary>Connects to whoever are the primaries now, and follows them.</summary>
    /// <exception cref="DependencyUnavailableException">One does not answer, or does not keep what it is told.</exception>
    public static async Task<RedisRoutes> OpenAsync(ConfigurationOptions settings, RedisOptions options, bool replicated, ILogger log)
    {
        IPrimaries? primaries = options.Form switch
        {
            RedisForm.Sentinels => await Sentinels.ConnectAsync(settings, options),
            RedisForm.Cluster => await ClusterNodes.ConnectAsync(settings),
            _ => null,
        };
        if (options.Form == RedisForm.Cluster)
        {
            // Without it a connection stays with its one server, and does not go to where a slot has moved.
            settings.CommandMap = CommandMap.Create(["CLUSTER"], available: false);
        }

        var routes = new RedisRoutes(primaries, settings, options, replicated, log);
        try
        {
            await routes.LookAsync();
        }
        catch
        {
            await routes.DisposeAsync();
            throw;
        }

        routes.following = primaries is not null ? routes.FollowAsync() : Task.CompletedTask;
        return routes;
    }

    public RedisLink? TryLinkOf(RedisKey key)
    {
        var serving = now;
        var owner = serving.OwnerOf(key);
        return owner >= 0 && owner < serving.Links.Count ? serving.Links[owner] : null;
    }

    /// <exception cref="DependencyUnavailableException">Nobody has the key now.</exception>
    public RedisLink LinkOf(RedisKey key) => TryLinkOf(key) ?? throw new DependencyUnavailableException("redis", absent);

    public async ValueTask DisposeAsync()
    {
        await closing.CancelAsync();
        await following;
        closing.Dispose();
        await LeaveAsync(now.Links);
        if (primaries is not null)
        {
            await primaries.DisposeAsync();
        }
    }

    private async Task FollowAsync()
    {
        using var timer = new PeriodicTimer(LookAtPrimaries, TimeProvider.System);
        var failing = false;
        try
        {
            while (await timer.WaitForNextTickAsync(closing.Token))
            {
                try
                {
                    await LookAsync();
                    failing = false;
                }
                catch (Exception e)
                {
                    // The edge of the process: who was named is not there yet, or does not keep what it is told. Logged once, and told to everybody who is refused; the next look may find it well.
                    absent = e is DependencyUnavailableException known ? known.Message[(known.Dependency.Length + 2)..] : e.Message;
                    if (!failing)
                    {
                        LogAbsent(log, e is DependencyUnavailableException ? null : e, absent);
                    }

                    failing = true;
                }
            }
        }
        catch (OperationCanceledException) when (closing.IsCancellationRequested)
        {
            // The node ends.
        }
    }

    // Connects to whoever are the primaries now. One at a time.
    private async Task LookAsync()
    {
        var named = primaries is null ? null : await primaries.AskAsync();
        if (primaries is not null && named is null)
        {
            if (now.Links.Count == 0 || Stopwatch.GetElapsedTime(heardAt) > MajorityAgeMax)
            {
                var all = now.Links;
                (absent, now) = (primaries.Says, Serving.None);
                await LeaveAsync(all);
                throw new DependencyUnavailableException("redis", primaries.Says);
            }

            return;
        }

        heardAt = Stopwatch.GetTimestamp();

        // The old ones first: what they would accept from here on is lost.
        NamedPrimary?[] wanted = named is null ? new NamedPrimary?[1] : [.. named.All];
        var before = now.Links;
        var links = wanted.Select(primary => before.FirstOrDefault(link => link is not null && link.Named == primary)).ToArray();
        var left = before.Except(links).ToList();
        var ownerOf = named?.OwnerOf ?? Primaries.TheOnlyOne;
        now = new Serving(links, ownerOf);
        if (left.Exists(link => link is not null))
        {
            absent = "the primary is being replaced.";
            await LeaveAsync(left);
        }

        // Side by side: one that does not answer keeps nobody from the others.
        var opening = links.Select((link, at) => link is null ? OpenAsync(wanted[at]) : Task.FromResult<RedisLink?>(link)).ToList();
        await ((Task)Task.WhenAll(opening)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        now = new Serving([.. opening.Select(link => link.IsCompletedSuccessfully ? link.Result : null)], ownerOf);
        await Task.WhenAll(opening);
    }

    private async Task<RedisLink?> OpenAsync(NamedPrimary? named)
    {
        var next = await RedisLink.OpenAsync(settings, named, log);
        try
        {
            if (next.FollowsACluster)
            {
                throw new DependencyUnavailableException("redis", "the server is a node of a Redis Cluster: name at least three of its nodes in Redis:Connection.");
            }

            if (named is not null && !await next.IsPrimaryAsync())
            {
                throw new DependencyUnavailableException("redis", $"{named.Address} is named as primary and is a replica.");
            }

            if (!options.IsEmbedded && !options.AcceptWeakDurability)
            {
                await next.DemandDurabilityAsync(replicated);
            }
        }
        catch
        {
            await next.DisposeAsync();
            throw;
        }

        if (named is not null)
        {
            LogPrimary(log, named.Address, named.Epoch);
        }

        return next;
    }

    private static async Task LeaveAsync(IEnumerable<RedisLink?> links)
    {
        foreach (var link in links.OfType<RedisLink>())
        {
            await link.DisposeAsync();
        }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "The Redis primary is {Address} (failover {Epoch})")]
    private static partial void LogPrimary(ILogger log, EndPoint address, long epoch);

    [LoggerMessage(Level = LogLevel.Warning, Message = "No Redis primary: {Says}")]
    private static partial void LogAbsent(ILogger log, Exception? error, string says);

    /// <summary>One connection for each primary, null where it is not to be had; and which of them has which slot.</summary>
    private sealed record Serving(IReadOnlyList<RedisLink?> Links, Func<RedisKey, int> OwnerOf)
    {
        public static readonly Serving None = new([], Primaries.TheOnlyOne);
    }
}

using System.Globalization;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using StackExchange.Redis;

namespace Sluice.Platform.Redis;

/// <summary>A connection to one server, with what is known of that server. Behind Sentinels there is a new one after each failover; what is on its way over the old one then fails.</summary>
internal sealed partial class RedisLink : IAsyncDisposable
{
    private readonly ConnectionMultiplexer multiplexer;
    private readonly ILogger log;
    private volatile string? run;

    private RedisLink(ConnectionMultiplexer multiplexer, NamedPrimary? named, ILogger log)
    {
        (this.multiplexer, this.log, Named, Db) = (multiplexer, log, named, multiplexer.GetDatabase());
        multiplexer.ConnectionFailed += (_, e) =>
        {
            // Until the server has said who it is again, it may be one that forgot: claims are refused meanwhile.
            run = null;
            LogLost(log, e.FailureType, e.Exception?.Message);
        };
        multiplexer.ConnectionRestored += (_, _) => LogRestored(log);
    }

    public IDatabase Db { get; }

    /// <summary>What the Sentinels said of this server; null where there are none.</summary>
    public NamedPrimary? Named { get; }

    /// <summary>The life of the server, where it is known in this connection.</summary>
    public string? Run => run;

    public static async Task<RedisLink> OpenAsync(ConfigurationOptions settings, NamedPrimary? named, ILogger log)
    {
        if (named is not null)
        {
            // Never more than this one: with several a reconnect might go to a server that is primary no more, and what it accepts is lost.
            settings = settings.Clone();
            settings.ServiceName = null;
            settings.EndPoints.Clear();
            settings.EndPoints.Add(named.Address);

            // One short try: whoever asks tries again, and by then somebody else may be named.
            (settings.ConnectTimeout, settings.ConnectRetry) = (500, 1);
        }

        // What the driver writes down is the one place where a handshake or a log-in that failed is told for sure: by the time of the first call it may be trying again.
        using var says = new StringWriter(CultureInfo.InvariantCulture);
        var multiplexer = await ConnectionMultiplexer.ConnectAsync(settings, says);
        if (!multiplexer.IsConnected && WhyRefused(says.ToString()) is { } why)
        {
            await multiplexer.DisposeAsync();
            throw new DependencyUnavailableException("redis", $"{string.Join(", ", settings.EndPoints)}: {why}");
        }

        return new RedisLink(multiplexer, named, log);
    }

    private static string? WhyRefused(string says) =>
        says.Contains("WRONGPASS", StringComparison.Ordinal) || says.Contains("NOAUTH", StringComparison.Ordinal) ? "user or password is wrong."
        : says.Split('\n').FirstOrDefault(line => line.Contains("certificate", StringComparison.Ordinal)) is { } line
            ? $"its certificate is refused. An authority of your own is named in Redis:CaFile, and the name or address by which the server is reached must be in its certificate. ({line[(line.IndexOf('>', StringComparison.Ordinal) + 1)..].Trim()})"
        : null;

    /// <summary>Runs one call and turns every failure of the server into <see cref="DependencyUnavailableException"/>.</summary>
    public async Task<T> GuardAsync<T>(Func<IDatabase, Task<T>> call)
    {
        try
        {
            return await call(Db);
        }
        catch (Exception e) when (e is RedisConnectionException or RedisTimeoutException or ObjectDisposedException || IsRefusal(e))
        {
            throw new DependencyUnavailableException("redis", e.Message, e);
        }
    }

    /// <summary>Asks the server for its life. The id of the process, and behind Sentinels the number of the failover too: a server that was primary before holds what it held then.</summary>
    /// <exception cref="DependencyUnavailableException">It does not answer.</exception>
    public async Task<string> AskRunAsync()
    {
        var info = await GuardAsync(db => db.ExecuteAsync("INFO", "server"));
        var line = ((string?)info ?? "").Split('\n').FirstOrDefault(l => l.StartsWith("run_id:", StringComparison.Ordinal));
        var id = line?["run_id:".Length..].Trim() ?? throw new DependencyUnavailableException("redis", "does not say its run_id.");
        return run = Named is null ? id : $"{id}.{Named.Epoch}";
    }

    /// <summary>A node of a Redis Cluster, and this connection goes by itself to whoever has a key: which life a claim would meet there, nobody could say.</summary>
    public bool FollowsACluster => multiplexer.GetServers().Length > 1;

    /// <summary>False for a server that the Sentinels have named and that does not know yet, or not any more.</summary>
    public async Task<bool> IsPrimaryAsync() => ((RedisResult[]?)await GuardAsync(db => db.ExecuteAsync("ROLE")))?[0].ToString() == "master";

    /// <summary>Looks whether the server keeps what it is told: on its disk, or on the disks of two.</summary>
    /// <exception cref="DependencyUnavailableException">It does not.</exception>
    public async Task DemandDurabilityAsync(bool replicated)
    {
        string? appendOnly, fsync, replicas;
        try
        {
            (appendOnly, fsync, replicas) = (await ConfigAsync("appendonly"), await ConfigAsync("appendfsync"), await ConfigAsync("min-replicas-to-write"));
        }
        catch (RedisServerException e)
        {
            // Managed servers often forbid CONFIG: the operator has to know, we only say that we could not look.
            LogUnchecked(log, e.Message, replicated ? "appendonly yes and min-replicas-to-write 1" : "appendonly yes and appendfsync always");
            return;
        }

        if (replicated && (appendOnly != "yes" || replicas is null or "0"))
        {
            throw new DependencyUnavailableException(
                "redis",
                $"appendonly is '{appendOnly}' and min-replicas-to-write is '{replicas}', but with Pools:Durability=Replicated an acknowledged claim must be on two servers: set them to 'yes' and at least '1', or set Redis:AcceptWeakDurability=true for a trial.");
        }

        if (!replicated && (appendOnly != "yes" || fsync != "always"))
        {
            throw new DependencyUnavailableException(
                "redis",
                $"appendonly is '{appendOnly}' and appendfsync is '{fsync}', but an acknowledged claim must survive this server: set them to 'yes' and 'always', or set Redis:AcceptWeakDurability=true for a trial.");
        }

        async Task<string?> ConfigAsync(string name) => await GuardAsync(db => db.ExecuteAsync("CONFIG", "GET", name)) is { Length: 2 } answer ? (string?)answer[1] : null;
    }

    public async ValueTask DisposeAsync()
    {
        // Without waiting for what is on its way: a server that hangs would hold the next one up.
        await multiplexer.CloseAsync(allowCommandsToComplete: false);
        await multiplexer.DisposeAsync();
    }

    // The server is there but does not take the call now: loading, read-only, disk full, out of memory, no replicas.
    private static bool IsRefusal(Exception e) => e is RedisServerException &&
        new[] { "MISCONF", "LOADING", "READONLY", "NOREPLICAS", "OOM", "MASTERDOWN", "BUSY", "NOAUTH", "TRYAGAIN", "CLUSTERDOWN", "Key has MOVED", "ASK" }
            .Any(code => e.Message.StartsWith(code, StringComparison.Ordinal));

    [LoggerMessage(Level = LogLevel.Warning, Message = "Redis connection lost ({Failure}): {Says}")]
    private static partial void LogLost(ILogger log, ConnectionFailureType failure, string? says);

    [LoggerMessage(Level = LogLevel.Information, Message = "Redis connection restored")]
    private static partial void LogRestored(ILogger log);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Could not read Redis' durability settings ({Says}); make sure that it runs with {Wanted}")]
    private static partial void LogUnchecked(ILogger log, string says, string wanted);
}

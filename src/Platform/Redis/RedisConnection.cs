using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using StackExchange.Redis;

namespace Sluice.Platform.Redis;

/// <summary>
/// The one door to Redis, the same for the embedded Garnet and for any Redis server. Calls time out, fail fast while the connection is down,
/// and turn every "engine is not well" into <see cref="DependencyUnavailableException"/>.
/// </summary>
public sealed partial class RedisConnection : IAsyncDisposable
{
    private readonly ConnectionMultiplexer multiplexer;
    private readonly EmbeddedGarnet? embedded;
    private readonly ILogger log;
    private readonly TimeSpan callTimeMax;
    private readonly string embeddedRun = $"embedded-{Guid.NewGuid():N}";
    private volatile string? run;

    private RedisConnection(ConnectionMultiplexer multiplexer, EmbeddedGarnet? embedded, TimeSpan callTimeMax, ILogger log)
    {
        (this.multiplexer, this.embedded, this.callTimeMax, this.log) = (multiplexer, embedded, callTimeMax, log);
        Db = multiplexer.GetDatabase();
        multiplexer.ConnectionFailed += (_, e) =>
        {
            // Until the server has said who it is again, it may be one that forgot: claims are refused meanwhile.
            run = null;
            LogLost(log, e.FailureType, e.Exception?.Message);
        };
        multiplexer.ConnectionRestored += (_, _) => LogRestored(log);
    }

    /// <summary>For reads and single commands. Wrap calls in <see cref="GuardAsync{T}"/>.</summary>
    public IDatabase Db { get; }

    /// <summary>True for the engine inside this process: nobody else can reach it.</summary>
    public bool IsEmbedded => embedded is not null;

    /// <summary>One line for the start banner.</summary>
    public string Describe { get; private init; } = "";

    /// <summary>
    /// Opens the connection, starting the embedded server first where it is asked for.
    /// </summary>
    /// <exception cref="DependencyUnavailableException">The server does not answer, or does not keep what it is told (see <see cref="RedisOptions.AcceptWeakDurability"/>).</exception>
    public static async Task<RedisConnection> OpenAsync(RedisOptions options, string dataFolder, ILoggerFactory logs)
    {
        var log = logs.CreateLogger<RedisConnection>();
        var isEmbedded = string.Equals(options.Connection, "embedded", StringComparison.OrdinalIgnoreCase);
        var embedded = isEmbedded ? new EmbeddedGarnet(Path.Combine(dataFolder, "garnet"), options, logs) : null;
        var settings = isEmbedded ? new ConfigurationOptions { EndPoints = { embedded!.EndPoint } } : ConfigurationOptions.Parse(options.Connection);
        settings.AbortOnConnectFail = false;
        settings.BacklogPolicy = BacklogPolicy.FailFast;
        settings.ConnectTimeout = 2_000;
        settings.AsyncTimeout = (int)options.CallTimeMax.TotalMilliseconds;
        settings.SyncTimeout = settings.AsyncTimeout;
        settings.ReconnectRetryPolicy = new LinearRetry(250);
        settings.HeartbeatInterval = TimeSpan.FromMilliseconds(500);
        settings.ClientName = "sluice";
        settings.TieBreaker = "";
        settings.ConfigurationChannel = "";

        // Only for CONFIG GET, with which the durability is checked.
        settings.AllowAdmin = true;
        var multiplexer = await ConnectionMultiplexer.ConnectAsync(settings);
        var connection = new RedisConnection(multiplexer, embedded, options.CallTimeMax, log)
        {
            Describe = isEmbedded ? "Garnet, in process" : $"Redis at {string.Join(", ", settings.EndPoints)}",
        };
        if (!isEmbedded)
        {
            await connection.DemandDurabilityAsync(options);
        }

        return connection;
    }

    /// <summary>
    /// Which life of the server this is. A new value after a restart means: what it holds may be torn or old, rebuild before trusting it.
    /// One round trip after each reconnect, otherwise none.
    /// </summary>
    /// <exception cref="DependencyUnavailableException">Redis does not answer.</exception>
    public ValueTask<string> RunAsync()
    {
        return run is { } known ? ValueTask.FromResult(known) : new ValueTask<string>(AskAsync());

        async Task<string> AskAsync()
        {
            if (embedded is not null)
            {
                // It lives and dies with this process, so a broken socket is no new life.
                return run = embeddedRun;
            }

            var info = await GuardAsync(static db => db.ExecuteAsync("INFO", "server"));
            var line = ((string?)info ?? "").Split('\n').FirstOrDefault(l => l.StartsWith("run_id:", StringComparison.Ordinal));
            return run = line?["run_id:".Length..].Trim() ?? throw new DependencyUnavailableException("redis", "does not say its run_id.");
        }
    }

    /// <summary>
    /// To be called before something that makes the log grow. Refuses while the disk under the embedded server is nearly full, long before a write of the log can fail:
    /// a log that failed is shut until the next start. A Redis server guards its own disk (MISCONF).
    /// </summary>
    /// <exception cref="DependencyUnavailableException">Not now; nothing was done.</exception>
    public void DemandRoom()
    {
        if ((embedded?.Ailment ?? embedded?.Shortage()) is { } says)
        {
            throw new DependencyUnavailableException("disk", says);
        }
    }

    /// <summary>Runs a script: EVALSHA, and once with the text where the server does not know it yet (it was then not executed, so this is safe).</summary>
    /// <exception cref="DependencyUnavailableException">Redis is down, slow or refuses writes; whether the script ran is unknown.</exception>
    public Task<RedisResult> RunScriptAsync(RedisScript script, RedisKey[] keys, RedisValue[] arguments) => GuardAsync(async db =>
    {
        if (embedded?.Ailment is { } says)
        {
            throw new DependencyUnavailableException("disk", says);
        }

        try
        {
            return await db.ScriptEvaluateAsync(script.Sha1, keys, arguments, CommandFlags.DemandMaster);
        }
        catch (RedisServerException e) when (e.Message.Contains("NOSCRIPT", StringComparison.OrdinalIgnoreCase))
        {
            return await db.ScriptEvaluateAsync(script.Text, keys, arguments, CommandFlags.DemandMaster);
        }
    });

    /// <summary>
    /// The ack barrier: returns when everything that was executed before is logged. Embedded: Garnet's append-only file. A Redis server with
    /// <c>appendfsync always</c> has fsynced before it answered, so there is nothing left to wait for.
    /// </summary>
    /// <exception cref="DependencyUnavailableException">The log could not be written in time; whether it was is unknown.</exception>
    public async Task BarrierAsync()
    {
        if (embedded is null)
        {
            return;
        }

        using var timeout = new CancellationTokenSource(callTimeMax);
        try
        {
            await embedded.CommitAsync(timeout.Token).WaitAsync(timeout.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or Tsavorite.core.CommitFailureException)
        {
            if (e is not OperationCanceledException)
            {
                embedded.Fail(e.Message);
            }

            throw new DependencyUnavailableException("redis", "the append-only file could not be written; is the disk full?", e);
        }
    }

    /// <summary>Runs one call and turns every failure of the engine into <see cref="DependencyUnavailableException"/>.</summary>
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
        catch (RedisServerException e) when (embedded is not null && e.Message.Contains("Unexpected Lua error", StringComparison.Ordinal))
        {
            // Not an error of the script (those say more): a write in it failed because the log did.
            embedded.Fail(e.Message);
            throw new DependencyUnavailableException("redis", "the append-only file could not be written; is the disk full?", e);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await multiplexer.DisposeAsync();
        embedded?.Dispose();
    }

    // The server is there but does not take the call now: loading, read-only, disk full, out of memory, no replicas.
    private static bool IsRefusal(Exception e) => e is RedisServerException &&
        new[] { "MISCONF", "LOADING", "READONLY", "NOREPLICAS", "OOM", "MASTERDOWN", "BUSY", "NOAUTH", "TRYAGAIN", "CLUSTERDOWN" }
            .Any(code => e.Message.StartsWith(code, StringComparison.Ordinal));

    private async Task DemandDurabilityAsync(RedisOptions options)
    {
        string? appendOnly, fsync;
        try
        {
            appendOnly = await ConfigAsync("appendonly");
            fsync = await ConfigAsync("appendfsync");
        }
        catch (RedisServerException e)
        {
            // Managed servers often forbid CONFIG: the operator has to know, we only say that we could not look.
            LogUnchecked(log, e.Message);
            return;
        }

        if ((appendOnly != "yes" || fsync != "always") && !options.AcceptWeakDurability)
        {
            throw new DependencyUnavailableException(
                "redis",
                $"appendonly is '{appendOnly}' and appendfsync is '{fsync}', but an acknowledged claim must survive this server: set them to 'yes' and 'always', or set Redis:AcceptWeakDurability=true for a trial.");
        }

        async Task<string?> ConfigAsync(string name)
        {
            var answer = await GuardAsync(db => db.ExecuteAsync("CONFIG", "GET", name));
            return answer.Length == 2 ? (string?)answer[1] : null;
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Redis connection lost ({Failure}): {Says}")]
    private static partial void LogLost(ILogger log, ConnectionFailureType failure, string? says);

    [LoggerMessage(Level = LogLevel.Information, Message = "Redis connection restored")]
    private static partial void LogRestored(ILogger log);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Could not read Redis' durability settings ({Says}); make sure that it runs with appendonly yes and appendfsync always")]
    private static partial void LogUnchecked(ILogger log, string says);
}

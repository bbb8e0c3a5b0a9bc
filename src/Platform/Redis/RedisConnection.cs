using System.Diagnostics;
using System.Net;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using StackExchange.Redis;

namespace Sluice.Platform.Redis;

/// <summary>
/// The one door to Redis, the same for the embedded Garnet, for one Redis server, and for a primary that Sentinels watch. Calls time out, fail fast while the connection is down,
/// and turn every "engine is not well" into <see cref="DependencyUnavailableException"/>.
/// </summary>
public sealed partial class RedisConnection : IAsyncDisposable
{
    private static readonly TimeSpan LookAtSentinels = TimeSpan.FromMilliseconds(250);

    // So long without a majority of the Sentinels, and this node may be alone with a primary that the others have replaced. Not at the first missed answer: a busy machine misses one now and then.
    private static readonly TimeSpan MajorityAgeMax = TimeSpan.FromSeconds(1);

    private readonly EmbeddedGarnet? embedded;
    private readonly Sentinels? sentinels;
    private readonly ConfigurationOptions settings;
    private readonly RedisOptions options;
    private readonly bool replicated;
    private readonly ILogger log;
    private readonly string embeddedRun = $"embedded-{Guid.NewGuid():N}";
    private readonly CancellationTokenSource closing = new();
    private Task following = Task.CompletedTask;
    private volatile RedisLink? link;
    private volatile string absent = "not connected yet.";
    private long heardAt;
    private long epoch = -1;

    private RedisConnection(RedisOptions options, ConfigurationOptions settings, EmbeddedGarnet? embedded, Sentinels? sentinels, bool replicated, ILogger log) =>
        (this.options, this.settings, this.embedded, this.sentinels, this.replicated, this.log) = (options, settings, embedded, sentinels, replicated, log);

    /// <summary>For reads and single commands. Wrap calls in <see cref="GuardAsync{T}"/>.</summary>
    /// <exception cref="DependencyUnavailableException">The Sentinels name no primary now.</exception>
    public IDatabase Db => Link.Db;

    /// <summary>True for the server in this process: it lives and dies with it, and nobody else claims there.</summary>
    public bool IsEmbedded => embedded is not null;

    /// <summary>One line for the start banner.</summary>
    public string Describe { get; private init; } = "";

    private RedisLink Link => link ?? throw new DependencyUnavailableException("redis", absent);

    /// <summary>
    /// Opens the connection, starting the embedded server first where it is asked for.
    /// </summary>
    /// <param name="replicated">Claims are acknowledged only when a replica has them; the server must then refuse writes without one.</param>
    /// <exception cref="DependencyUnavailableException">The server does not answer, or does not keep what it is told (see <see cref="RedisOptions.AcceptWeakDurability"/>).</exception>
    public static async Task<RedisConnection> OpenAsync(RedisOptions options, string dataFolder, ILoggerFactory logs, bool replicated = false)
    {
        var log = logs.CreateLogger<RedisConnection>();
        var embedded = options.IsEmbedded ? new EmbeddedGarnet(Path.Combine(dataFolder, "garnet"), options, logs) : null;
        var settings = embedded is null ? ConfigurationOptions.Parse(options.Connection) : new ConfigurationOptions { EndPoints = { embedded.EndPoint } };
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
        var hasSentinels = !string.IsNullOrEmpty(settings.ServiceName);
        var connection = new RedisConnection(options, settings, embedded, hasSentinels ? await Sentinels.ConnectAsync(settings, options) : null, replicated, log)
        {
            Describe = options.IsEmbedded ? "Garnet, in process"
                : hasSentinels ? $"Redis, the primary of '{settings.ServiceName}' by {settings.EndPoints.Count} Sentinels" : $"Redis at {string.Join(", ", settings.EndPoints)}",
        };
        try
        {
            await connection.LookAsync();
            _ = connection.Link;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }

        connection.following = hasSentinels ? connection.FollowAsync() : Task.CompletedTask;
        return connection;
    }

    /// <summary>
    /// Which life of the server this is. A new value after a restart or a failover means: what it holds may be torn or old, rebuild before trusting it.
    /// One round trip after each reconnect, otherwise none.
    /// </summary>
    /// <exception cref="DependencyUnavailableException">Redis does not answer.</exception>
    public ValueTask<string> RunAsync()
    {
        // The embedded server lives and dies with this process, so a broken socket is no new life.
        return (embedded is null ? link?.Run : embeddedRun) is { } known ? ValueTask.FromResult(known) : new ValueTask<string>(AskAsync());

        async Task<string> AskAsync()
        {
            var asked = Link;
            return await GuardOnAsync(asked, _ => asked.AskRunAsync());
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
    /// Runs a script and waits until a replica has what it wrote, in one batch on one connection, and so on one server: WAIT answers for what its own connection has done before, and on a fresh one it says
    /// at once that all is well. It also writes something itself: a script that found what another connection wrote has written nothing, and WAIT is documented for writes only (Redis 7.0 was seen to
    /// count reads too).
    /// </summary>
    /// <param name="mark">A key of no meaning in the script's slot, for that write.</param>
    /// <returns>The script's answer, and how many replicas have all of it (0: unknown whether it survives).</returns>
    /// <inheritdoc cref="RunScriptAsync"/>
    public Task<(RedisResult Answer, long Replicas)> RunReplicatedAsync(RedisScript script, RedisKey[] keys, RedisValue[] arguments, RedisKey mark) => GuardAsync(async db =>
    {
        try
        {
            return await RunAsync(batch => batch.ScriptEvaluateAsync(script.Sha1, keys, arguments, CommandFlags.DemandMaster));
        }
        catch (RedisServerException e) when (e.Message.Contains("NOSCRIPT", StringComparison.OrdinalIgnoreCase))
        {
            return await RunAsync(batch => batch.ScriptEvaluateAsync(script.Text, keys, arguments, CommandFlags.DemandMaster));
        }

        async Task<(RedisResult, long)> RunAsync(Func<IBatch, Task<RedisResult>> run)
        {
            var batch = db.CreateBatch();
            var answer = run(batch);
            var marked = batch.StringSetAsync(mark, "", flags: CommandFlags.DemandMaster);
            var replicas = batch.ExecuteAsync("WAIT", [1, (long)options.ReplicaWaitMax.TotalMilliseconds], CommandFlags.DemandMaster);
            batch.Execute();
            await Task.WhenAll(answer, marked, replicas);
            return (await answer, (long)await replicas);
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

        using var timeout = new CancellationTokenSource(options.CallTimeMax);
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
    public Task<T> GuardAsync<T>(Func<IDatabase, Task<T>> call) => link is { } now ? GuardOnAsync(now, call) : Task.FromException<T>(new DependencyUnavailableException("redis", absent));

    private async Task<T> GuardOnAsync<T>(RedisLink to, Func<IDatabase, Task<T>> call)
    {
        try
        {
            return await call(to.Db);
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
        await closing.CancelAsync();
        await following;
        closing.Dispose();
        if (link is { } last)
        {
            await last.DisposeAsync();
        }

        if (sentinels is not null)
        {
            await sentinels.DisposeAsync();
        }

        embedded?.Dispose();
    }

    // The server is there but does not take the call now: loading, read-only, disk full, out of memory, no replicas.
    private static bool IsRefusal(Exception e) => e is RedisServerException &&
        new[] { "MISCONF", "LOADING", "READONLY", "NOREPLICAS", "OOM", "MASTERDOWN", "BUSY", "NOAUTH", "TRYAGAIN", "CLUSTERDOWN" }
            .Any(code => e.Message.StartsWith(code, StringComparison.Ordinal));

    private async Task FollowAsync()
    {
        using var timer = new PeriodicTimer(LookAtSentinels, TimeProvider.System);
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

    // Connects to whoever is the primary now. One at a time.
    private async Task LookAsync()
    {
        var named = sentinels is null ? null : await sentinels.AskAsync();
        if (sentinels is not null && named is null)
        {
            if (link is null || Stopwatch.GetElapsedTime(heardAt) > MajorityAgeMax)
            {
                await LeaveAsync();
                throw new DependencyUnavailableException("redis", sentinels.Says);
            }

            return;
        }

        heardAt = Stopwatch.GetTimestamp();
        if (named is not null && (named.Epoch < epoch || named == link?.Named))
        {
            // An answer from before the failover, or nothing new.
            return;
        }

        // The old one first: what it would accept from here on is lost.
        await LeaveAsync();
        var next = await RedisLink.OpenAsync(settings, named, log);
        try
        {
            if (named is not null && !await GuardOnAsync(next, _ => next.IsPrimaryAsync()))
            {
                throw new DependencyUnavailableException("redis", $"{named.Address} is named as primary and is a replica.");
            }

            if (embedded is null && !options.AcceptWeakDurability)
            {
                await GuardOnAsync(next, async _ =>
                {
                    await next.DemandDurabilityAsync(replicated);
                    return true;
                });
            }
        }
        catch
        {
            await next.DisposeAsync();
            throw;
        }

        link = next;
        if (named is not null)
        {
            epoch = named.Epoch;
            LogPrimary(log, named.Address, named.Epoch);
        }
    }

    private async Task LeaveAsync()
    {
        if (link is { } last)
        {
            (absent, link) = ("the primary is being replaced.", null);
            await last.DisposeAsync();
        }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "The Redis primary is {Address} (failover {Epoch})")]
    private static partial void LogPrimary(ILogger log, EndPoint address, long epoch);

    [LoggerMessage(Level = LogLevel.Warning, Message = "No Redis primary: {Says}")]
    private static partial void LogAbsent(ILogger log, Exception? error, string says);
}

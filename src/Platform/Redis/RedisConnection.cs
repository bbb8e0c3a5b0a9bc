using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using StackExchange.Redis;

namespace Sluice.Platform.Redis;

/// <summary>
/// The one door to Redis, the same for the embedded Garnet, for one Redis server, for a primary that Sentinels watch, and for a Redis Cluster. Every call names a key, which says to which server it goes.
/// Calls time out, fail fast while the connection is down, and turn every "engine is not well" into <see cref="DependencyUnavailableException"/>.
/// </summary>
public sealed class RedisConnection : IAsyncDisposable
{
    // To this server or to none: what a script was told of one life is not true of another.
    private const CommandFlags HereOnly = CommandFlags.DemandMaster | CommandFlags.NoRedirect;

    private readonly EmbeddedGarnet? embedded;
    private readonly RedisRoutes routes;
    private readonly RedisOptions options;
    private readonly string embeddedRun = $"embedded-{Guid.NewGuid():N}";

    private RedisConnection(RedisOptions options, EmbeddedGarnet? embedded, RedisRoutes routes) => (this.options, this.embedded, this.routes) = (options, embedded, routes);

    /// <summary>True for the server in this process: it lives and dies with it, and nobody else claims there.</summary>
    public bool IsEmbedded => embedded is not null;

    /// <summary>The authority of the servers' certificates, for connections beside this one; "" where the system knows it.</summary>
    internal string CaFile => options.CaFile;

    /// <summary>One line for the start banner.</summary>
    public string Describe { get; private init; } = "";

    /// <summary>The lives of all servers: another value when one of them begins a new one, or may have.</summary>
    public string Lives => embedded is not null ? embeddedRun : string.Join('|', routes.Links.Select(link => link?.Run ?? "?"));

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

        if (options.CaFile.Length > 0)
        {
            try
            {
                settings.TrustIssuer(options.CaFile);
            }
            catch (CryptographicException e)
            {
                throw new DependencyUnavailableException("redis", $"{options.CaFile} holds no certificate (Redis:CaFile).", e);
            }
        }

        // Only for CONFIG GET, with which the durability is checked.
        settings.AllowAdmin = true;
        try
        {
            var connection = new RedisConnection(options, embedded, await RedisRoutes.OpenAsync(settings, options, replicated, log))
            {
                Describe = options.Form switch
                {
                    RedisForm.Embedded => "Garnet, in process",
                    RedisForm.Sentinels => $"Redis, the primary of '{settings.ServiceName}' by {settings.EndPoints.Count} Sentinels",
                    RedisForm.Cluster => $"Redis Cluster by {string.Join(", ", settings.EndPoints)}",
                    RedisForm.OneServer => $"Redis at {string.Join(", ", settings.EndPoints)}",
                },
            };
            if (options.AcceptWeakDurability && embedded is null)
            {
                // Nothing has asked it anything yet.
                await AnswersAsync(connection);
            }

            return connection;
        }
        catch
        {
            embedded?.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Which life the server that has this key is in. A new value after a restart or a failover, or when the key moved to another server, means: what it holds may be torn or old, rebuild before trusting it.
    /// One round trip after each reconnect, otherwise none.
    /// </summary>
    /// <exception cref="DependencyUnavailableException">Redis does not answer.</exception>
    public ValueTask<string> RunAsync(RedisKey key)
    {
        // The embedded server lives and dies with this process, so a broken socket is no new life.
        return (embedded is null ? routes.TryLinkOf(key)?.Run : embeddedRun) is { } known ? ValueTask.FromResult(known) : new ValueTask<string>(routes.LinkOf(key).AskRunAsync());
    }

    /// <summary>Which server has this key, of how many; null where nobody has it now.</summary>
    public (int Server, int Servers)? ServerOf(RedisKey key)
    {
        var server = routes.TryLinkOf(key) is { } link ? routes.Links.ToList().IndexOf(link) : -1;
        return server < 0 ? null : (server, routes.Links.Count);
    }

    /// <summary>
    /// Does something for each of many keys. A server that is away holds up what is on it and nothing else: the rest of its keys is left out, the others go on.
    /// </summary>
    /// <exception cref="DependencyUnavailableException">At the end: the first that was met.</exception>
    public async Task EachAsync<T>(IEnumerable<T> items, Func<T, RedisKey> keyOf, Func<T, Task> act)
    {
        DependencyUnavailableException? first = null;
        var away = new HashSet<RedisLink>();
        foreach (var item in items)
        {
            if (routes.TryLinkOf(keyOf(item)) is { } link && away.Contains(link))
            {
                continue;
            }

            try
            {
                await act(item);
            }
            catch (DependencyUnavailableException e) when (e.Dependency == "redis")
            {
                first ??= e;
                if (routes.TryLinkOf(keyOf(item)) is { } failed)
                {
                    away.Add(failed);
                }
            }
        }

        if (first is not null)
        {
            throw first;
        }
    }

    /// <summary>Returns when a server has answered; with several it need not be all.</summary>
    /// <exception cref="DependencyUnavailableException">None does.</exception>
    public async Task PingAsync()
    {
        var asked = routes.Links.OfType<RedisLink>().Select(link => link.GuardAsync(db => db.PingAsync())).ToList();
        if (asked.Count == 0)
        {
            throw new DependencyUnavailableException("redis", routes.Absent);
        }

        await ((Task)Task.WhenAll(asked)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!asked.Exists(each => each.IsCompletedSuccessfully))
        {
            await asked[0];
        }
    }

    /// <summary>For what comes in many parts, like a scan. Its failures are not turned: <see cref="GuardAsync{T}"/> is for everything else.</summary>
    /// <exception cref="DependencyUnavailableException">Nobody has the key now.</exception>
    public IDatabase DbOf(RedisKey key) => routes.LinkOf(key).Db;

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

    /// <summary>Deletes keys, whether they are there or not: one call for all of them, in a Redis Cluster one for each, all at once.</summary>
    /// <exception cref="DependencyUnavailableException">Perhaps not all of them are deleted.</exception>
    public Task DropAsync(RedisKey[] keys) => keys.Length == 0 ? Task.CompletedTask
        : options.Form == RedisForm.Cluster ? Task.WhenAll(keys.Select(key => GuardAsync(key, db => db.KeyDeleteAsync(key, CommandFlags.DemandMaster))))
        : GuardAsync(keys[0], db => db.KeyDeleteAsync(keys, CommandFlags.DemandMaster));

    /// <summary>Runs a script: EVALSHA, and once with the text where the server does not know it yet (it was then not executed, so this is safe).</summary>
    /// <exception cref="DependencyUnavailableException">Redis is down, slow or refuses writes; whether the script ran is unknown.</exception>
    public Task<RedisResult> RunScriptAsync(RedisScript script, RedisKey[] keys, RedisValue[] arguments) => GuardAsync(keys[0], async db =>
    {
        if (embedded?.Ailment is { } says)
        {
            throw new DependencyUnavailableException("disk", says);
        }

        try
        {
            return await db.ScriptEvaluateAsync(script.Sha1, keys, arguments, HereOnly);
        }
        catch (RedisServerException e) when (e.Message.Contains("NOSCRIPT", StringComparison.OrdinalIgnoreCase))
        {
            return await db.ScriptEvaluateAsync(script.Text, keys, arguments, HereOnly);
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
    public Task<(RedisResult Answer, long Replicas)> RunReplicatedAsync(RedisScript script, RedisKey[] keys, RedisValue[] arguments, RedisKey mark) => GuardAsync(mark, async db =>
    {
        try
        {
            return await RunAsync(batch => batch.ScriptEvaluateAsync(script.Sha1, keys, arguments, HereOnly));
        }
        catch (RedisServerException e) when (e.Message.Contains("NOSCRIPT", StringComparison.OrdinalIgnoreCase))
        {
            return await RunAsync(batch => batch.ScriptEvaluateAsync(script.Text, keys, arguments, HereOnly));
        }

        async Task<(RedisResult, long)> RunAsync(Func<IBatch, Task<RedisResult>> run)
        {
            var batch = db.CreateBatch();
            var answer = run(batch);
            var marked = batch.StringSetAsync(mark, "", flags: HereOnly);
            var replicas = batch.ExecuteAsync("WAIT", [1, (long)options.ReplicaWaitMax.TotalMilliseconds], HereOnly);
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

    /// <summary>Runs one call on the server that has the key, and turns every failure of the engine into <see cref="DependencyUnavailableException"/>.</summary>
    public async Task<T> GuardAsync<T>(RedisKey key, Func<IDatabase, Task<T>> call)
    {
        try
        {
            return await routes.LinkOf(key).GuardAsync(call);
        }
        catch (RedisServerException e) when (embedded is not null && e.Message.Contains("Unexpected Lua error", StringComparison.Ordinal))
        {
            // Not an error of the script (those say more): a write in it failed because the log did.
            embedded.Fail(e.Message);
            throw new DependencyUnavailableException("redis", "the append-only file could not be written; is the disk full?", e);
        }
    }

    private static async Task AnswersAsync(RedisConnection connection)
    {
        try
        {
            await connection.PingAsync();
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await routes.DisposeAsync();
        embedded?.Dispose();
    }
}

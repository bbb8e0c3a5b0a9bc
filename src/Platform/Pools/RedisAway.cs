using Dapper;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;

namespace Sluice.Platform.Pools;

/// <summary>
/// Decides on this node who answers claims: Redis, or, when that has been away for <see cref="PoolsOptions.DegradeAfter"/>, SQL with what pools have set aside for it. Runs on every node that answers claims.
/// </summary>
/// <remarks>
/// Nodes need not agree: each engine sells from units of its own, so a node that is cut off from Redis alone does no harm to what the others sell. docs/adr/0013.
/// Before SQL sells, each node writes what it has acknowledged, from the first moment without Redis on; before this node asks Redis again, it stops selling, and pools of which SQL may have sold are rebuilt,
/// so that Redis knows whose these units are, and other nodes sell no more of them.
/// </remarks>
public sealed partial class RedisAway(
    RedisConnection redis, Database database, PoolRebuilder rebuilder, ClaimWriter writer, AckJournal journal, SqlClaims sql, PoolsOptions options, TimeProvider time, ILogger<RedisAway> log)
    : BackgroundService
{
    private const int PerCallMax = 1_000;

    private static readonly TimeSpan Round = TimeSpan.FromMilliseconds(250);

    private volatile bool sqlSells;
    private long? awaySince;

    /// <summary>Ask SQL, not Redis. One read of memory.</summary>
    public bool SqlSells => sqlSells;

    // Said once: SQL is away too, or Redis went away again.
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Rounds.RunAsync(RoundAsync, Round, (error, says) => LogFailed(log, error, says), time, stoppingToken);

    /// <summary>One look at Redis, and what follows from it.</summary>
    internal async Task RoundAsync()
    {
        if (await IsThereAsync())
        {
            awaySince = null;
            if (sqlSells && await BringBackAsync())
            {
                sqlSells = false;
                LogBack(log);
            }

            return;
        }

        // From the first round on, so that it is in SQL before any node sells there; also in later ones: an answer of Redis that was on its way when it went.
        awaySince ??= time.GetTimestamp();
        await WriteAcknowledgedAsync();
        if (time.GetElapsedTime(awaySince.Value) < options.DegradeAfter)
        {
            return;
        }

        GoOver();
    }

    /// <summary>From Redis to SQL. Also when this node was about to go back, and Redis went away again.</summary>
    internal void GoOver()
    {
        sql.Begin();
        if (!sqlSells)
        {
            sqlSells = true;
            LogAway(log, options.DegradeAfter);
        }
    }

    private async Task<bool> IsThereAsync()
    {
        try
        {
            await redis.PingAsync();
            return true;
        }
        catch (DependencyUnavailableException)
        {
            return false;
        }
    }

    private async Task WriteAcknowledgedAsync()
    {
        foreach (var pool in journal.Waiting)
        {
            // The generation first: what is kept later is not of an older one.
            var generation = pool.Generation;
            foreach (var claims in pool.Claims().Chunk(PerCallMax))
            {
                await writer.WriteAcknowledgedAsync(pool.PoolId, generation, [.. claims]);
            }
        }
    }

    // Redis does not know whose the units are that SQL has sold: a user's limit and keys would not count there. Also where SQL has sold nothing yet, another node may be about to:
    // the rebuild ends that, and what was sold until then is counted.
    private async Task<bool> BringBackAsync()
    {
        await sql.EndAsync();
        var complete = true;
        var pools = await database.ReadAsync(connection => connection.QueryAsync<long>(
            "SELECT id FROM pools WHERE sold_aside_units > 0 OR (set_aside_units > 0 AND gate <> @closed)", new { closed = Gate.Closed }));
        await redis.EachAsync(pools, id => new PoolKeys(id).Meta, async id => complete &= await rebuilder.RebuildAsync(id) is not null);
        return complete;
    }

    [LoggerMessage(Level = LogLevel.Critical, Message = "Redis has been away for {After}: SQL sells what pools have set aside for that, claims of other pools are refused")]
    private static partial void LogAway(ILogger log, TimeSpan after);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Redis is back, and knows what SQL has sold meanwhile: it takes the claims again")]
    private static partial void LogBack(ILogger log);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Going over between Redis and SQL failed, trying again: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, string says);
}

using Dapper;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using StackExchange.Redis;

namespace Sluice.Platform.Pools;

/// <summary>
/// Keeps what this node has acknowledged until SQL has it: hands it in to whoever rebuilds a pool, brings back what a rebuild did not know of, and lets go of what is written.
/// Runs on every node that answers claims.
/// </summary>
public sealed partial class KeepAcknowledged(
    AckJournal journal, Database database, RedisConnection redis, ClaimWriter writer, TimeProvider time, ILogger<KeepAcknowledged> log)
    : BackgroundService
{
    private const int PerCallMax = 1_000;

    // Far shorter than a rebuild waits for what is handed in.
    private static readonly TimeSpan Round = TimeSpan.FromMilliseconds(100), SettleRound = TimeSpan.FromSeconds(1);

    private static readonly RedisScript HandInScript = RedisScript.Load("HandIn.lua");

    private long settledAt;

    // Said once: an engine is away.
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Rounds.RunAsync(RoundAsync, Round, (error, says) => LogFailed(log, error, says), time, stoppingToken);

    /// <summary>One look at each pool of which claims are kept.</summary>
    internal async Task RoundAsync()
    {
        if (journal.TakeUnkept() is > 0 and var unkept)
        {
            LogUnkept(log, unkept, journal.Count);
        }

        try
        {
            if (journal.Count > 0)
            {
                await LookAtPoolsAsync();
            }
        }
        finally
        {
            // Also while one of several servers is away: what the others have taken goes on being written, and would fill the journal.
            if (time.GetElapsedTime(settledAt) > SettleRound)
            {
                settledAt = time.GetTimestamp();
                if (journal.Count > 0)
                {
                    await SettleAsync();
                }

                journal.DeleteSettled();
            }
        }
    }

    private async Task LookAtPoolsAsync()
    {
        var asked = journal.Waiting.Select(pool => (Pool: pool, Key: new PoolKeys(pool.PoolId).Meta, Meta: PoolLook.ReadAsync(redis, pool.PoolId))).ToList();
        await redis.EachAsync(asked, each => each.Key, async each =>
        {
            var (pool, look) = (each.Pool, await each.Meta);
            var run = await redis.RunAsync(each.Key);
            if (look.Run != run || look.Freeze.Length > 0)
            {
                await HandInAsync(pool, run, look);
            }
            else
            {
                pool.HandedTo = null;
                if (look.Generation != pool.Generation)
                {
                    await CheckAsync(pool, look);
                }
            }
        });
    }

    // Once for each freeze, and once before it: nothing is acknowledged meanwhile.
    private async Task HandInAsync(AckJournal.PoolAcks pool, string run, PoolLook look)
    {
        if (pool.HandedTo == (run, look.Freeze))
        {
            return;
        }

        foreach (var chunk in pool.Claims().Chunk(PerCallMax))
        {
            await redis.RunScriptAsync(HandInScript, new PoolKeys(pool.PoolId).HandIn, [run, .. chunk.SelectMany(claim => new RedisValue[] { claim.Id, ClaimEntry.ToQueue(claim) })]);
        }

        pool.HandedTo = (run, look.Freeze);
    }

    // The pool was rebuilt, here or elsewhere. Usually it has everything; what it does not have came too late to be counted, and is brought back now.
    private async Task CheckAsync(AckJournal.PoolAcks pool, PoolLook look)
    {
        var (claims, before) = pool.BeginCheck(look.Generation);
        var isDone = false;
        try
        {
            if (await PoolLook.MissingAsync(redis, pool.PoolId, claims) is var (now, missing) && now == look)
            {
                // What was brought back and is missing again has no place any more: its user has asked again meanwhile and has another claim.
                pool.Forget(missing.Where(claim => pool.BroughtBack.Contains(claim.Id)).Select(claim => claim.Id));
                missing.RemoveAll(claim => pool.BroughtBack.Contains(claim.Id));
                pool.BroughtBack.Clear();
                isDone = missing.Count == 0 || await writer.BringBackAsync(pool.PoolId, missing);
                pool.BroughtBack.UnionWith(missing.Select(claim => claim.Id));
            }
        }
        finally
        {
            if (!isDone)
            {
                pool.Uncheck(before);
            }
        }
    }

    // Workers of this process say what they have written; what others have written is found here.
    private async Task SettleAsync()
    {
        foreach (var pool in journal.Waiting)
        {
            int written, looked;
            do
            {
                var ids = pool.Next(PerCallMax);
                var found = (await database.ReadAsync(connection => connection.QueryAsync<long>("SELECT id FROM claims WHERE id IN @ids", new { ids = SqlList.Of(ids) }))).AsList();
                pool.Forget(found);
                (looked, written) = (ids.Count, found.Count);
            }
            while (looked == PerCallMax && written * 2 > looked);

            // A database that was made anew, or put back from before the pool was made: nobody will ever write these.
            if (written == 0 && looked > 0 && !await database.ReadAsync(connection => connection.ExecuteScalarAsync<bool>("SELECT EXISTS (SELECT 1 FROM pools WHERE id = @id)", new { id = pool.PoolId })))
            {
                var claims = pool.Claims();
                LogStrange(log, claims.Count, pool.PoolId);
                pool.Forget(claims.Select(claim => claim.Id));
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Keeping what was acknowledged failed, trying again: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, string says);

    [LoggerMessage(Level = LogLevel.Critical, Message = "{Count} acknowledged claims are of pool {PoolId}, which SQL does not know; they are let go")]
    private static partial void LogStrange(ILogger log, int count, long poolId);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Count} acknowledged claims are in Redis only: {Kept} wait for SQL already (Pools:AckJournalClaimsMax)")]
    private static partial void LogUnkept(ILogger log, int count, int kept);
}

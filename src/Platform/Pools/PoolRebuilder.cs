using System.Diagnostics;
using System.Runtime.InteropServices;
using Dapper;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using Sluice.Platform.WriteQueue;
using StackExchange.Redis;

namespace Sluice.Platform.Pools;

/// <summary>
/// Rebuilds a pool in Redis from what is true: SQL for the claims that are written, the queue (and its dead letters) for those that are not.
/// After a crash of the embedded server, a restart or a failover of Redis, or when Redis has forgotten the pool.
/// </summary>
/// <remarks>
/// The pool is frozen meanwhile: no claim and no release changes it. Why no unit is lost or doubled while others go on working on SQL and the queue:
/// the queue is read before SQL, and entries only ever move from the queue to SQL, so each claim is in at least one of the two, and by its id it counts once.
/// Should SQL have lost claims that it had acknowledged (a failover, a backup that was put back), the journal brings them back, as far as it reaches.
/// A claim that is released in SQL after it was read here is marked later by Release.lua, which is refused as long as the freeze lasts and is repeated.
/// </remarks>
public sealed partial class PoolRebuilder(Database database, RedisConnection redis, TimeProvider time, ILogger<PoolRebuilder> log)
{
    private const int UsersPerCall = 500;

    /// <summary>A freeze that is older than this was left behind by a process that died.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private static readonly RedisScript RebuildScript = RedisScript.Load("Rebuild.lua");

    /// <summary>Freezes, rebuilds and thaws one pool. Returns the units left, or null when another process is at it.</summary>
    /// <exception cref="DependencyUnavailableException">SQL or Redis went away; the pool stays frozen, and the next rebuild takes it over.</exception>
    public async Task<long?> RebuildAsync(long poolId)
    {
        var started = Stopwatch.GetTimestamp();
        var keys = new PoolKeys(poolId);
        var run = await redis.RunAsync();
        var token = Guid.NewGuid().ToString("N");

        // Step 1: nobody else changes the pool from here on.
        if (!await StepAsync(keys, ["freeze", token, time.GetUtcNow().ToUnixTimeMilliseconds(), (long)Patience.TotalMilliseconds, run]))
        {
            return null;
        }

        FaultPoints.Reach("rebuild.frozen");

        var (queued, pool, claims, heldUnits, lost) = await ReadAndHoldAsync(poolId, keys, token);
        if (lost.Count > 0)
        {
            // What SQL has lost goes through the queue again; then everything is read once more, so that it stands with its users' other claims.
            foreach (var chunk in lost.Chunk(UsersPerCall))
            {
                LogLost(log, poolId, chunk.Length);
                await DemandAsync(keys, poolId, ["requeue", token, .. chunk.Select(claim => (RedisValue)ClaimEntry.ToQueue(claim))]);
            }

            (queued, pool, claims, heldUnits, _) = await ReadAndHoldAsync(poolId, keys, token);
        }

        // Step 4: what only the queue has.
        var users = new Dictionary<string, string>();
        foreach (var claim in queued.Values.OrderBy(claim => claim.Id))
        {
            heldUnits += claim.Units;
            users[claim.UserId] = users.GetValueOrDefault(claim.UserId, "") + ClaimEntry.ToHolder(claim.Id, claim.Units, claim.IdempotencyKey, released: false);
        }

        foreach (var chunk in users.Chunk(UsersPerCall))
        {
            await HoldAsync(keys, poolId, token, chunk);
        }

        FaultPoints.Reach("rebuild.held");

        // Step 5: open again. The counter never starts below zero: should more be claimed than there is, nothing is left to sell, and the audit says why.
        var left = Math.Max(0, pool.CapacityUnits - heldUnits);
        await DemandAsync(keys, poolId, [
            "thaw", token, run, pool.Version, PoolStore.GateName(pool.Gate), PoolStore.Optional(pool.OpensAt), PoolStore.Optional(pool.ClosesAt),
            pool.PerUserLimit, pool.CapacityUnits, left, time.GetUtcNow().ToUnixTimeMilliseconds()]);
        await redis.BarrierAsync();

        // A new pool comes this way too; that is no news.
        LogRebuilt(log, claims + queued.Count > 0 ? LogLevel.Information : LogLevel.Debug, poolId, claims, queued.Count, left, Stopwatch.GetElapsedTime(started).TotalMilliseconds);
        return left;
    }

    private async Task<(Dictionary<long, Claim> Queued, Pool Pool, long Claims, long HeldUnits, IReadOnlyCollection<Claim> Lost)> ReadAndHoldAsync(long poolId, PoolKeys keys, string token)
    {
        // Step 2: the queue, before SQL. And what left the queue lately: SQL had it when it left, so what SQL does not have now, it has lost.
        var queued = new Dictionary<long, Claim>();
        var journalled = await ReadJournalAsync(poolId, keys);
        foreach (var claim in await ReadQueueAsync(poolId, keys))
        {
            queued[claim.Id] = claim;
            journalled.Remove(claim.Id);
        }

        // Step 3: SQL, user by user, and on the way to Redis.
        var (pool, claims, heldUnits) = await HoldWrittenAsync(poolId, keys, token, queued, journalled);
        return (queued, pool, claims, heldUnits, journalled.Values);
    }

    private async Task<Dictionary<long, Claim>> ReadJournalAsync(long poolId, PoolKeys keys)
    {
        var claims = new Dictionary<long, Claim>();
        foreach (var entry in await redis.GuardAsync(db => db.ListRangeAsync(keys.Journal)))
        {
            if (ClaimEntry.TryFromQueue(poolId, entry, out var claim))
            {
                claims[claim.Id] = claim;
            }
        }

        return claims;
    }

    private async Task<List<Claim>> ReadQueueAsync(long poolId, PoolKeys keys)
    {
        var claims = new List<Claim>();
        const int Page = 5_000;

        // The dead letters before and after the queue: an entry that moves from one to the other meanwhile is seen in at least one of them.
        await AddDeadLettersAsync();

        // From the tail to the head: entries leave at the head meanwhile, so a page may be seen twice but none can be missed. New ones cannot come, the pool is frozen.
        for (var to = await redis.GuardAsync(db => db.ListLengthAsync(keys.Log)) - 1; to >= 0; to -= Page)
        {
            var page = await redis.GuardAsync(db => db.ListRangeAsync(keys.Log, Math.Max(0, to - Page + 1), to));
            Add(page.Select(entry => (string?)entry));
        }

        await AddDeadLettersAsync();
        return claims;

        async Task AddDeadLettersAsync() =>
            Add((await redis.GuardAsync(db => db.ListRangeAsync(keys.Dead))).Select(letter => DeadLetter.Parse(letter).Entry));

        void Add(IEnumerable<string?> entries)
        {
            foreach (var entry in entries)
            {
                // What cannot be read is no claim of ours; the worker sets it aside.
                if (ClaimEntry.TryFromQueue(poolId, entry, out var claim))
                {
                    claims.Add(claim);
                }
            }
        }
    }

    // Streams the pool's claims, one user after the other; removes from `queued` and `journalled` what SQL has, and adds to each user what only the queue has.
    private Task<(Pool Pool, long Claims, long HeldUnits)> HoldWrittenAsync(
        long poolId, PoolKeys keys, string token, Dictionary<long, Claim> queued, Dictionary<long, Claim> journalled) =>
        database.ReadAsync(async connection =>
        {
            var pool = await connection.QuerySingleAsync<Pool>($"SELECT {Pool.Columns} FROM pools WHERE id = @poolId", new { poolId });
            var queuedOf = queued.Values.ToLookup(claim => claim.UserId);
            var chunk = new List<KeyValuePair<string, string>>(UsersPerCall);
            long claims = 0, held = 0;
            string? user = null;
            var entries = "";
            await foreach (var row in connection.QueryUnbufferedAsync<ClaimRow>(
                "SELECT id AS Id, user_id AS UserId, units AS Units, idempotency_key AS IdempotencyKey, state AS State FROM claims WHERE pool_id = @poolId ORDER BY user_id, id",
                new { poolId }))
            {
                if (row.UserId != user)
                {
                    await FlushAsync();
                    user = row.UserId;
                }

                claims++;
                var counts = row.State == ClaimState.Confirmed;
                held += counts ? row.Units : 0;
                entries += ClaimEntry.ToHolder(row.Id, row.Units, row.IdempotencyKey, released: !counts);
                queued.Remove(row.Id);
                journalled.Remove(row.Id);
            }

            await FlushAsync();
            if (chunk.Count > 0)
            {
                await HoldAsync(keys, poolId, token, chunk);
            }

            return (pool, claims, held);

            async Task FlushAsync()
            {
                if (user is null)
                {
                    return;
                }

                foreach (var claim in queuedOf[user].Where(claim => queued.Remove(claim.Id)))
                {
                    held += claim.Units;
                    entries += ClaimEntry.ToHolder(claim.Id, claim.Units, claim.IdempotencyKey, released: false);
                }

                chunk.Add(new(user, entries));
                entries = "";
                if (chunk.Count == UsersPerCall)
                {
                    await HoldAsync(keys, poolId, token, chunk);
                    chunk.Clear();
                }
            }
        });

    private Task HoldAsync(PoolKeys keys, long poolId, string token, IReadOnlyCollection<KeyValuePair<string, string>> users)
    {
        var arguments = new List<RedisValue>(2 + (users.Count * 2)) { "hold", token };
        foreach (var (user, entries) in users)
        {
            arguments.Add(user);
            arguments.Add(entries);
        }

        return DemandAsync(keys, poolId, [.. arguments]);
    }

    private async Task DemandAsync(PoolKeys keys, long poolId, RedisValue[] arguments)
    {
        if (!await StepAsync(keys, arguments))
        {
            throw new DependencyUnavailableException("redis", $"another process took the rebuild of pool {poolId} over.");
        }
    }

    private async Task<bool> StepAsync(PoolKeys keys, RedisValue[] arguments) => (long)await redis.RunScriptAsync(RebuildScript, keys.Rebuild, arguments) == 1;

    [LoggerMessage(Message = "Pool {PoolId} rebuilt from {Claims} written and {Queued} queued claims, {Left} units left, in {Ms:0} ms")]
    private static partial void LogRebuilt(ILogger log, LogLevel level, long poolId, long claims, int queued, long left, double ms);

    [LoggerMessage(Level = LogLevel.Critical, Message = "Pool {PoolId}: SQL has lost {Count} claims that it once had; they go through the queue again")]
    private static partial void LogLost(ILogger log, long poolId, int count);

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct ClaimRow(long Id, string UserId, int Units, string? IdempotencyKey, ClaimState State);
}

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
/// Where Redis has forgotten the queue, a batch that a worker holds in its hands is in neither. So the rebuild first counts the pool's generation up in SQL, and a batch
/// that was peeked in an older generation is not committed any more: its worker looks for it, and brings back what is nowhere (<see cref="RescueAsync"/>).
/// And what a node has acknowledged and SQL does not have is counted before the pool opens: from the journal of this node, and from what others hand in while the pool is frozen (<see cref="KeepAcknowledged"/>).
/// Should SQL have lost claims that it had acknowledged (a failover, a backup that was put back), the journal brings them back, as far as it reaches.
/// A claim that is released in SQL after it was read here is marked later by Release.lua, which is refused as long as the freeze lasts and is repeated.
/// </remarks>
public sealed partial class PoolRebuilder(Database database, RedisConnection redis, AckJournal journal, TimeProvider time, ILogger<PoolRebuilder> log)
{
    private const int UsersPerCall = 500;

    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(20);

    // In a new life of the server, or where it has forgotten the pool, the others get so long: workers to commit the batch that they hold before it is fenced off, and nodes to connect to the new server
    // and hand in what they have acknowledged. A loss takes every pool with it, so one such moment serves all of them in this life.
    private static readonly TimeSpan OthersMoment = TimeSpan.FromSeconds(1), MomentServes = TimeSpan.FromSeconds(5);

    private (string Run, long EndedAt)? moment;

    /// <summary>Freezes, rebuilds and thaws one pool. Returns the units left, or null when another process is at it.</summary>
    /// <exception cref="DependencyUnavailableException">SQL or Redis went away; the pool stays frozen, and the next rebuild takes it over at once.</exception>
    public Task<long?> RebuildAsync(long poolId) => RebuildAsync(poolId, onlyAbandoned: false, inHand: [], refused: []);

    /// <summary>Rebuilds a pool that was left frozen by a process that died or gave up. Null when it is not, or not known to be yet (<see cref="PoolFreeze.Lease"/>).</summary>
    /// <inheritdoc cref="RebuildAsync(long)"/>
    public Task<long?> TakeOverAsync(long poolId) => RebuildAsync(poolId, onlyAbandoned: true, inHand: [], refused: []);

    /// <summary>For claims that met a pool that is missing, or frozen: rebuilds it, or waits a moment for whoever is at it. Then ask again.</summary>
    /// <returns>True when this call has rebuilt it.</returns>
    /// <inheritdoc cref="RebuildAsync(long)"/>
    public async Task<bool> ReopenAsync(long poolId, bool isFrozen)
    {
        // Only one that is still frozen: were it rebuilt by everybody who saw it frozen, it would be frozen all the time.
        if (await (isFrozen ? TakeOverAsync(poolId) : RebuildAsync(poolId)) is not null)
        {
            return true;
        }

        await Task.Delay(LookAgain, time);
        return false;
    }

    /// <summary>
    /// For a worker whose batch was not written because the pool was rebuilt since its peek, and for a node whose acknowledged claims the pool does not know. Where the entries still are in the queue or in SQL, which is the rule, nothing is done.
    /// What Redis has forgotten goes through the queue again, as far as there still is room for it. Idempotent, any number of workers at once.
    /// </summary>
    /// <returns>Claims for which there is no room any more: others have bought meanwhile. Null when another process is rebuilding: call again.</returns>
    /// <exception cref="DependencyUnavailableException">SQL or Redis went away: call again.</exception>
    public async Task<IReadOnlyList<Claim>?> RescueAsync(long poolId, IReadOnlyCollection<Claim> inHand)
    {
        // The queue before SQL, as always. What is in neither may still be among the dead letters; the rebuild looks there too.
        var head = (await redis.GuardAsync(new PoolKeys(poolId).Log, db => db.ListRangeAsync(new PoolKeys(poolId).Log, 0, inHand.Count - 1))).Select(entry => entry.ToString()).ToHashSet(StringComparer.Ordinal);
        var missing = inHand.Where(claim => !head.Contains(ClaimEntry.ToQueue(claim))).ToDictionary(claim => claim.Id);
        foreach (var id in missing.Count == 0 ? [] : await database.ReadAsync(connection => connection.QueryAsync<long>(
            "SELECT id FROM claims WHERE id IN @ids", new { ids = SqlList.Of(missing.Keys) })))
        {
            missing.Remove(id);
        }

        var refused = new List<Claim>();
        return missing.Count == 0 || await RebuildAsync(poolId, onlyAbandoned: false, missing.Values, refused) is not null ? refused : null;
    }

    private async Task<long?> RebuildAsync(long poolId, bool onlyAbandoned, IReadOnlyCollection<Claim> inHand, List<Claim> refused)
    {
        var started = Stopwatch.GetTimestamp();
        var keys = new PoolKeys(poolId);
        var run = await redis.RunAsync(keys.Meta);

        // Step 1: nobody else changes the pool from here on.
        await using var freeze = await PoolFreeze.TakeAsync(redis, keys, poolId, run, onlyAbandoned, time);
        if (freeze is null)
        {
            return null;
        }

        FaultPoints.Reach("rebuild.frozen");

        // Step 2: from here on no batch is committed that was peeked before.
        await GiveOthersTheirMomentAsync(poolId, keys, run);
        // It waits for the worker that has the pool's row now, and is counted then. May run again: one up or two is the same fence.
        await database.WriteAsync(
            transaction => transaction.Connection!.ExecuteAsync(
                // What SQL has sold from what was set aside stands with its users from now on, and is no longer set aside. That is a setting of another version: one that was read before must not be applied to it.
                "UPDATE pools SET generation = generation + 1, version = version + CASE WHEN sold_aside_units > 0 OR taking_units > 0 THEN 1 ELSE 0 END, taking_units = 0, taking_for = NULL, " +
                "set_aside_units = set_aside_units - sold_aside_units, sold_aside_units = 0 WHERE id = @poolId", new { poolId }, transaction),
            LostCommit.RunAgain);
        FaultPoints.Reach("rebuild.fenced");

        // What nodes have acknowledged, before the queue: it moves from there to SQL, and only then out of their hands.
        var found = await ReadAndHoldAsync(poolId, keys, freeze, [.. inHand, .. journal.Claims(poolId), .. await ReadHandedAsync(poolId, keys)]);
        List<Claim> lost = [.. found.Journalled.Values];
        if (lost.Count > 0)
        {
            LogLost(log, poolId, lost.Count);
        }

        if (found.InHand.Count > 0)
        {
            lost.AddRange(await FitAsync(found, refused));
        }

        if (lost.Count > 0)
        {
            // What was lost goes through the queue again; then everything is read once more, so that it stands with its users' other claims.
            foreach (var chunk in lost.Chunk(UsersPerCall))
            {
                await freeze.RequeueAsync(chunk);
            }

            found = await ReadAndHoldAsync(poolId, keys, freeze, inHand: []);
        }

        // Step 5: what only the queue has.
        var (pool, claims, queued, heldUnits) = (found.Pool, found.Claims, found.Queued, found.HeldUnits);
        var users = new Dictionary<string, string>();
        foreach (var claim in queued.Values.OrderBy(claim => claim.Id))
        {
            heldUnits += claim.Units;
            users[claim.UserId] = users.GetValueOrDefault(claim.UserId, "") + ClaimEntry.ToHolder(claim.Id, claim.Units, claim.IdempotencyKey, released: false, claim.Terms);
        }

        foreach (var chunk in users.Chunk(UsersPerCall))
        {
            await freeze.HoldAsync(chunk);
        }

        FaultPoints.Reach("rebuild.held");

        // Step 6: open again. What SQL has sold since step 2 from what was set aside is among the claims, and of no concern to Redis' share. The counter never starts below zero: should more be claimed than there is, nothing is left to sell, and the audit says why.
        var left = Math.Max(0, pool.RedisUnits + pool.SoldAsideUnits - heldUnits);
        await freeze.ThawAsync(run, pool, left, refillsMin: time.GetUtcNow().ToUnixTimeMilliseconds());
        await redis.BarrierAsync();

        // A new pool comes this way too; that is no news.
        LogRebuilt(log, claims + queued.Count > 0 ? LogLevel.Information : LogLevel.Debug, poolId, claims, queued.Count, left, Stopwatch.GetElapsedTime(started).TotalMilliseconds);
        return left;
    }

    private async Task GiveOthersTheirMomentAsync(long poolId, PoolKeys keys, string run)
    {
        // The embedded server has nobody else, and is new at every start.
        var last = await redis.GuardAsync(keys.Meta, db => db.HashGetAsync(keys.Meta, "run"));
        var isLost = last.IsNull || (last != run && !redis.IsEmbedded);
        if (!isLost || (moment is { } served && served.Run == run && time.GetElapsedTime(served.EndedAt) < MomentServes))
        {
            return;
        }

        // A pool that is new is not there either, and nobody holds anything of it.
        if (await database.ReadAsync(connection => connection.QuerySingleOrDefaultAsync<long>("SELECT generation FROM pools WHERE id = @poolId", new { poolId })) > 0)
        {
            await Task.Delay(OthersMoment, time);
            moment = (run, time.GetTimestamp());
        }
    }

    private async Task<IEnumerable<Claim>> ReadHandedAsync(long poolId, PoolKeys keys) =>
        (await redis.GuardAsync(keys.Handed, db => db.HashValuesAsync(keys.Handed))).Select(entry => ClaimEntry.TryFromQueue(poolId, entry, out var claim) ? claim : null).OfType<Claim>();

    private async Task<Found> ReadAndHoldAsync(long poolId, PoolKeys keys, PoolFreeze freeze, IReadOnlyCollection<Claim> inHand)
    {
        // Step 3: the queue, before SQL. And what left the queue lately: SQL had it when it left, so what SQL does not have now, it has lost.
        var journalled = await ReadJournalAsync(poolId, keys);
        var waiting = (await ReadQueueAsync(poolId, keys)).DistinctBy(claim => claim.Id).ToList();
        var found = new Found(waiting, waiting.ToDictionary(claim => claim.Id), journalled, inHand.DistinctBy(claim => claim.Id).ToDictionary(claim => claim.Id));
        foreach (var claim in waiting)
        {
            journalled.Remove(claim.Id);
        }

        foreach (var id in found.Queued.Keys.Concat(journalled.Keys))
        {
            found.InHand.Remove(id);
        }

        // Step 4: SQL, user by user, and on the way to Redis.
        await HoldWrittenAsync(poolId, freeze, found);
        return found;
    }

    // Which of the claims in hand can still be had. Who asked again after the loss has what is theirs already; what others have bought meanwhile is gone.
    private async Task<IReadOnlyList<Claim>> FitAsync(Found found, List<Claim> refused)
    {
        var users = found.InHand.Values.Select(claim => claim.UserId).ToHashSet(StringComparer.Ordinal);
        var written = (await database.ReadAsync(connection => connection.QueryAsync<ClaimRow>(
            $"{ClaimRow.Select} WHERE pool_id = @id AND user_id IN @users", new { id = found.Pool.Id, users = SqlList.Of(users) }))).AsList();
        var ids = written.ConvertAll(row => row.Id).ToHashSet();
        var held = written.Where(row => row.State == ClaimState.Confirmed).Select(row => (row.UserId, row.Units, Key: row.IdempotencyKey))
            .Concat(found.Waiting.Where(claim => !ids.Contains(claim.Id)).Select(claim => (claim.UserId, claim.Units, Key: claim.IdempotencyKey))).ToLookup(claim => claim.UserId);
        var keys = written.Select(row => (row.UserId, row.IdempotencyKey)).ToHashSet();
        var units = users.ToDictionary(user => user, user => held[user].Sum(claim => (long)claim.Units), StringComparer.Ordinal);
        var room = found.Pool.RedisUnits + found.Pool.SoldAsideUnits - found.HeldUnits - found.Queued.Values.Sum(claim => (long)claim.Units) - found.Journalled.Values.Sum(claim => (long)claim.Units);
        List<Claim> fits = [];
        foreach (var claim in found.InHand.Values.OrderBy(claim => claim.Id))
        {
            if (units[claim.UserId] + claim.Units > found.Pool.PerUserLimit ||
                (claim.IdempotencyKey is { } key && (keys.Contains((claim.UserId, key)) || held[claim.UserId].Any(other => other.Key == key))))
            {
                continue;
            }

            if (claim.Units > room)
            {
                refused.Add(claim);
                continue;
            }

            fits.Add(claim);
            units[claim.UserId] += claim.Units;
            room -= claim.Units;
        }

        LogForgotten(log, found.Pool.Id, found.InHand.Count, fits.Count, refused.Count);
        return fits;
    }

    private async Task<Dictionary<long, Claim>> ReadJournalAsync(long poolId, PoolKeys keys)
    {
        var claims = new Dictionary<long, Claim>();
        foreach (var entry in await redis.GuardAsync(keys.Journal, db => db.ListRangeAsync(keys.Journal)))
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
        for (var to = await redis.GuardAsync(keys.Log, db => db.ListLengthAsync(keys.Log)) - 1; to >= 0; to -= Page)
        {
            var page = await redis.GuardAsync(keys.Log, db => db.ListRangeAsync(keys.Log, Math.Max(0, to - Page + 1), to));
            Add(page.Select(entry => (string?)entry));
        }

        await AddDeadLettersAsync();
        return claims;

        async Task AddDeadLettersAsync() =>
            Add((await redis.GuardAsync(keys.Dead, db => db.ListRangeAsync(keys.Dead))).Select(letter => DeadLetter.Parse(letter).Entry));

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

    // Streams the pool's claims, one user after the other; removes from `found` what SQL has, and adds to each user what only the queue has.
    private Task<bool> HoldWrittenAsync(long poolId, PoolFreeze freeze, Found found) =>
        database.ReadAsync(async connection =>
        {
            found.Pool = await connection.QuerySingleAsync<Pool>($"SELECT {Pool.Columns} FROM pools WHERE id = @poolId", new { poolId });
            var queuedOf = found.Waiting.ToLookup(claim => claim.UserId);
            var chunk = new List<KeyValuePair<string, string>>(UsersPerCall);
            string? user = null;
            var entries = "";

            // Not with QueryUnbufferedAsync: it cancels its command when all has been read, and a MySQL server is then sent a KILL through a connection of its own.
            await using var reader = await connection.ExecuteReaderAsync($"{ClaimRow.Select} WHERE pool_id = @poolId ORDER BY user_id, id", new { poolId });
            var parse = reader.GetRowParser<ClaimRow>();
            while (await reader.ReadAsync())
            {
                var row = parse(reader);
                if (row.UserId != user)
                {
                    await FlushAsync();
                    user = row.UserId;
                }

                found.Claims++;
                var counts = row.State == ClaimState.Confirmed;
                found.HeldUnits += counts ? row.Units : 0;
                entries += ClaimEntry.ToHolder(row.Id, row.Units, row.IdempotencyKey, released: !counts);
                found.Queued.Remove(row.Id);
                found.Journalled.Remove(row.Id);
                found.InHand.Remove(row.Id);
            }

            await FlushAsync();
            if (chunk.Count > 0)
            {
                await freeze.HoldAsync(chunk);
            }

            return true;

            async Task FlushAsync()
            {
                if (user is null)
                {
                    return;
                }

                foreach (var claim in queuedOf[user].Where(claim => found.Queued.Remove(claim.Id)))
                {
                    found.HeldUnits += claim.Units;
                    entries += ClaimEntry.ToHolder(claim.Id, claim.Units, claim.IdempotencyKey, released: false, claim.Terms);
                }

                chunk.Add(new(user, entries));
                entries = "";
                if (chunk.Count == UsersPerCall)
                {
                    await freeze.HoldAsync(chunk);
                    chunk.Clear();
                }
            }
        });

    [LoggerMessage(Message = "Pool {PoolId} rebuilt from {Claims} written and {Queued} queued claims, {Left} units left, in {Ms:0} ms")]
    private static partial void LogRebuilt(ILogger log, LogLevel level, long poolId, long claims, int queued, long left, double ms);

    [LoggerMessage(Level = LogLevel.Critical, Message = "Pool {PoolId}: SQL has lost {Count} claims that it once had; they go through the queue again")]
    private static partial void LogLost(ILogger log, long poolId, int count);

    [LoggerMessage(
        Level = LogLevel.Critical,
        Message = "Pool {PoolId}: Redis has forgotten {Count} claims that were acknowledged or that a worker was about to write; {Fits} go through the queue again, for {Refused} there is no room any more")]
    private static partial void LogForgotten(ILogger log, long poolId, int count, int fits, int refused);

    /// <summary>What a rebuild has seen of a pool so far.</summary>
    /// <param name="Waiting">Every claim of the queue and its dead letters, once.</param>
    /// <param name="Queued">Of these, what SQL does not have and what does not stand with its user yet.</param>
    /// <param name="Journalled">What left the queue lately and is neither in it nor in SQL.</param>
    /// <param name="InHand">What a worker holds or a node has acknowledged, and is nowhere else.</param>
    private sealed record Found(
        IReadOnlyList<Claim> Waiting, Dictionary<long, Claim> Queued, Dictionary<long, Claim> Journalled, Dictionary<long, Claim> InHand)
    {
        public Pool Pool { get; set; } = null!;

        /// <summary>Claims in SQL.</summary>
        public long Claims { get; set; }

        /// <summary>Units of the claims that stand with their users.</summary>
        public long HeldUnits { get; set; }
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct ClaimRow(long Id, string UserId, int Units, string? IdempotencyKey, ClaimState State)
    {
        public const string Select = "SELECT id AS Id, user_id AS UserId, units AS Units, idempotency_key AS IdempotencyKey, state AS State FROM claims";
    }
}

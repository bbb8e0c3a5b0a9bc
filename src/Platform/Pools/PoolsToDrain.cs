using System.Collections.Concurrent;
using System.Collections.Frozen;
using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using Sluice.Platform.WriteQueue;

namespace Sluice.Platform.Pools;

/// <summary>
/// Which queues a worker looks into next. A shop has thousands of sales that are over, and each pool is a look at Redis: those that can sell, and those that are not empty yet, are looked at every time; all of them now and then.
/// Of thousands that can sell (the stocks of a large shop) only those in which something happens are looked at every time, and the others once in a second, all of them in one go.
/// </summary>
/// <param name="kinds">Only pools of this node's modules: their claims are nothing without the rows that the module writes.</param>
internal sealed class PoolsToDrain(Database database, RedisConnection redis, AckJournal journal, IReadOnlyList<string> kinds, TimeProvider time)
{
    private const int EachTimeMax = 64;

    private static readonly TimeSpan Age = TimeSpan.FromMilliseconds(100), QuietAge = TimeSpan.FromSeconds(1), AllAge = TimeSpan.FromSeconds(5);

    // Pools that had something in their queue since all were looked at, and in the time before that.
    private ConcurrentDictionary<long, bool> busy = new(), busyBefore = new();

    private IReadOnlyList<QueuePartition> partitions = [];
    private FrozenSet<long> seen = FrozenSet<long>.Empty;
    private long lookedAt = long.MinValue, quietLookedAt = long.MinValue, allLookedAt = long.MinValue;
    private int openPools;
    private bool isOnce;

    /// <summary>There was something in this one's queue.</summary>
    public void Fill(long poolId) => busy[poolId] = true;

    /// <summary>The next look reads the pools again.</summary>
    public void Forget() => lookedAt = long.MinValue;

    /// <returns>The partitions to look into, and whether they were read just now; else they are those of the last look.</returns>
    public async ValueTask<(IReadOnlyList<QueuePartition> Partitions, bool IsNew)> LookAsync()
    {
        // What this process has accepted is written at once, however long nothing was bought there.
        var accepted = journal.Waiting.Select(pool => pool.PoolId).ToList();
        if (!isOnce && !IsOver(lookedAt, Age) && accepted.TrueForAll(seen.Contains))
        {
            return (partitions, false);
        }

        var all = IsOver(allLookedAt, AllAge);
        var open = all || openPools <= EachTimeMax || IsOver(quietLookedAt, QuietAge);
        var found = (await database.ReadAsync(connection => connection.QueryAsync<(long Id, long Generation, string Kind)>(
            "SELECT id, generation, kind FROM pools WHERE lanes = 1 AND kind IN @kinds AND (@all OR (@open AND gate <> @closed AND (closes_at IS NULL OR closes_at > @lately)) OR id IN @hot)",
            new
            {
                kinds = SqlList.Of(kinds), all, open, closed = Gate.Closed, lately = (time.GetUtcNow() - AllAge).ToUnixTimeMilliseconds(),
                hot = SqlList.Of(busy.Keys.Concat(busyBefore.Keys).Concat(accepted).Distinct()),
            }))).AsList();

        // Many are looked at once, and those that are empty are not looked into at all.
        isOnce = found.Count > EachTimeMax;
        var filled = isOnce ? await FilledAsync(found.ConvertAll(pool => pool.Id)) : null;
        seen = found.Select(pool => pool.Id).ToFrozenSet();
        lookedAt = time.GetTimestamp();
        quietLookedAt = open ? lookedAt : quietLookedAt;
        openPools = open && !all ? found.Count : openPools;
        if (all)
        {
            (busyBefore, busy, allLookedAt) = (busy, new(), lookedAt);
        }

        partitions = [.. found.Where(pool => filled is null || filled.Contains(pool.Id)).Select(pool => ClaimWriter.PartitionOf(pool.Id, pool.Generation, pool.Kind))];
        return (partitions, true);
    }

    // All are asked before the first answer is waited for. One whose server is away is asked again with the next look.
    private async Task<HashSet<long>> FilledAsync(List<long> ids)
    {
        var asked = ids.ConvertAll(id =>
        {
            var log = new PoolKeys(id).Log;
            return (Id: id, Log: log, Length: redis.GuardAsync(log, db => db.ListLengthAsync(log)));
        });
        var filled = new HashSet<long>();
        try
        {
            await redis.EachAsync(asked, one => one.Log, async one =>
            {
                if (await one.Length > 0)
                {
                    filled.Add(one.Id);
                }
            });
        }
        catch (DependencyUnavailableException) when (filled.Count > 0)
        {
            // Of several servers one may be away; what is on the others is written.
        }

        return filled;
    }

    private bool IsOver(long since, TimeSpan age) => since == long.MinValue || time.GetElapsedTime(since) > age;
}

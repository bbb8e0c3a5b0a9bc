using System.Diagnostics;
using System.Globalization;
using Sluice.Platform.Hosting;
using Sluice.Platform.Redis;
using Sluice.Platform.WriteQueue;
using StackExchange.Redis;

namespace Sluice.Platform.Pools;

/// <summary>One request for units on its way. What awaits its task runs inside <see cref="Tell"/>, on a thread that has others of the batch to tell: it must be short.</summary>
internal sealed class PendingClaim(string userId, int units, string key, long claimId, string? terms = null) : TaskCompletionSource<ClaimAnswer?>
{
    private ClaimAnswer answer;
    private Exception? failure;

    public string UserId => userId;

    public int Units => units;

    public string Key => key;

    public long ClaimId => claimId;

    public string? Terms => terms;

    /// <summary>Notes what there is to tell; nobody is told yet.</summary>
    public void Note(ClaimAnswer says) => answer = says;

    /// <summary>Notes that the outcome is not known.</summary>
    public void Fail(Exception says) => failure = says;

    public void Tell()
    {
        if (failure is not null)
        {
            TrySetException(failure);
        }
        else
        {
            TrySetResult(answer);
        }
    }
}

/// <summary>
/// A share of a batch whose requests are answered one after the other on one thread. A work item for each request would cost more than the claim itself;
/// one for the whole batch would leave the other cores idle.
/// </summary>
internal sealed class Told(List<PendingClaim> batch, int from, int to) : IThreadPoolWorkItem
{
    /// <summary>Fewer than this are not worth a thread of their own.</summary>
    private const int ShareMin = 8;

    /// <summary>Tells the last share on the calling thread.</summary>
    public static void TellAll(List<PendingClaim>? batch)
    {
        if (batch is null)
        {
            return;
        }

        var share = Math.Max(ShareMin, (batch.Count + Environment.ProcessorCount - 1) / Environment.ProcessorCount);
        var from = 0;
        for (; from + share < batch.Count; from += share)
        {
            ThreadPool.UnsafeQueueUserWorkItem(new Told(batch, from, from + share), preferLocal: false);
        }

        new Told(batch, from, batch.Count).Execute();
    }

    public void Execute()
    {
        for (var i = from; i < to; i++)
        {
            batch[i].Tell();
        }
    }
}

/// <summary>
/// Claims of one pool on their way to Redis. While one script call is in flight, further requests gather and form the next call: the busier, the larger the calls,
/// and no request ever waits for a timer. One call carries the ack barrier for all of its claims.
/// </summary>
internal sealed class ClaimBatcher(
    long poolId, PoolKeys keys, RedisConnection redis, PoolRebuilder rebuilder, QueueSignal queueSignal, PoolsOptions options, PoolMetrics metrics, AckJournal journal,
    RedisAway away, SqlClaims sql, int lagMax, Action<long, long> onAnswer)
{
    private static readonly RedisScript ClaimScript = RedisScript.Load("Claim.lua");

    // How long claims wait for a pool that is being rebuilt before they are answered 503. Longer than any rebuild of a pool that sells; a dead rebuilder's freeze takes longer.
    internal static readonly TimeSpan RebuildWaitMax = TimeSpan.FromSeconds(2);

    private readonly AckJournal.PoolAcks kept = journal.Of(poolId);
    private readonly Lock waitingLock = new();
    private List<PendingClaim> waiting = [];
    private bool running;

    /// <summary>Queues a request and returns; its task completes with the answer, or with <see cref="DependencyUnavailableException"/> when the outcome is not known.</summary>
    public Task<ClaimAnswer?> Add(PendingClaim claim)
    {
        lock (waitingLock)
        {
            if (waiting.Count >= options.WaitingClaimsMax)
            {
                throw new DependencyUnavailableException("queue", $"{options.WaitingClaimsMax} claims wait for pool {poolId} already.");
            }

            waiting.Add(claim);
            if (running)
            {
                return claim.Task;
            }

            running = true;
        }

        _ = Task.Run(RunAsync);
        return claim.Task;
    }

    private async Task RunAsync()
    {
        List<PendingClaim>? answered = null;
        while (TakeBatch() is { } batch)
        {
            // The next call is on its way before anybody of the last one is told.
            var asking = away.SqlSells ? sql.AskAsync(poolId, batch) : AskAsync(batch, mayRebuild: true, closedAt: 0);
            Told.TellAll(answered);
            try
            {
                await asking;
            }
            catch (Exception e)
            {
                // Every waiting request gets the failure, and the next batch tries anew. The HTTP edge knows what to say.
                foreach (var claim in batch)
                {
                    claim.Fail(e);
                }
            }

            answered = batch;
        }

        Told.TellAll(answered);
    }

    private List<PendingClaim>? TakeBatch()
    {
        lock (waitingLock)
        {
            if (waiting.Count == 0)
            {
                running = false;
                return null;
            }

            if (waiting.Count <= options.BatchClaimsMax)
            {
                (var all, waiting) = (waiting, []);
                return all;
            }

            var batch = waiting.GetRange(0, options.BatchClaimsMax);
            waiting.RemoveRange(0, options.BatchClaimsMax);
            return batch;
        }
    }

    private async Task AskAsync(List<PendingClaim> batch, bool mayRebuild, long closedAt)
    {
        var started = Stopwatch.GetTimestamp();
        redis.DemandRoom();
        var run = await redis.RunAsync(keys.Meta);
        var arguments = new RedisValue[2 + (batch.Count * 4)];
        arguments[0] = run;
        arguments[1] = lagMax;
        for (var i = 0; i < batch.Count; i++)
        {
            var (claim, at) = (batch[i], 2 + (i * 4));
            arguments[at] = claim.UserId;
            arguments[at + 1] = claim.Units;
            arguments[at + 2] = claim.ClaimId;
            arguments[at + 3] = claim.Terms is null ? claim.Key : $"{claim.Key},{claim.Terms}";
        }

        // Step 3: the script, all or nothing for each claim of the batch.
        var (said, replicas) = options.Durability == Durability.Replicated
            ? await redis.RunReplicatedAsync(ClaimScript, keys.Claim, arguments, keys.Mark)
            : (await redis.RunScriptAsync(ClaimScript, keys.Claim, arguments), 1);
        var answer = (RedisResult[])said!;
        var letters = (string)answer[0]!;
        if ((letters[0] == 'F' || (letters[0] == 'M' && mayRebuild)) && (closedAt == 0 || Stopwatch.GetElapsedTime(closedAt) < RebuildWaitMax))
        {
            var rebuilt = await rebuilder.ReopenAsync(poolId, isFrozen: letters[0] == 'F');
            await AskAsync(batch, mayRebuild: mayRebuild && !rebuilt, closedAt == 0 ? started : closedAt);
            return;
        }

        // Step 4: one barrier for the whole batch. Also for claims that were seen before: their first barrier may be the one that failed.
        if (letters.AsSpan().IndexOfAny('A', 'S') >= 0)
        {
            FaultPoints.Reach("claim.scripted");
            if (replicas < 1)
            {
                throw new DependencyUnavailableException("redis", "no replica has the claims in time, so whether they survive is unknown; ask again with the same key.");
            }

            await redis.BarrierAsync();
            FaultPoints.Reach("claim.logged");
            queueSignal.Ring();
        }

        metrics.Answered(letters, Stopwatch.GetElapsedTime(started));

        // Step 5: answer. What is promised is kept, in memory and where the server is the embedded one in a file, before anybody is told.
        var (left, generation) = ((long)answer[1], (long)answer[3]);
        if (letters[0] is not ('M' or 'F'))
        {
            onAnswer(left, (long)answer[2]);
        }

        var detail = 4;
        for (var i = 0; i < batch.Count; i++)
        {
            var claim = batch[i];
            switch (letters[i])
            {
                case 'A':
                    kept.Keep(claim.ClaimId, claim.UserId, claim.Units, claim.Key, claim.Terms, generation);
                    claim.Note(new(ClaimOutcome.Accepted, [claim.ClaimId], IsReleased: false, left));
                    break;
                case 'S':
                    claim.Note(Seen(claim.UserId, (string)answer[detail++]!, left, generation));
                    break;
                case 'K':
                    claim.Note(Found(ClaimOutcome.KeyReused, (string)answer[detail++]!, left));
                    break;
                case 'L':
                    claim.Note(Found(ClaimOutcome.LimitReached, (string)answer[detail++]!, left));
                    break;
                case 'X':
                    claim.Note(new(ClaimOutcome.SoldOut, [], IsReleased: false, left));
                    break;
                case 'N':
                    claim.Note(new(ClaimOutcome.NotOpen, [], IsReleased: false, left));
                    break;
                case 'C':
                    claim.Note(new(ClaimOutcome.Closed, [], IsReleased: false, left));
                    break;
                case 'P':
                    claim.Note(new(ClaimOutcome.Paused, [], IsReleased: false, left));
                    break;
                case 'Q':
                    claim.Fail(new DependencyUnavailableException("queue", $"{lagMax} claims of pool {poolId} wait to be written; nothing was accepted."));
                    break;
                default:
                    claim.Fail(new DependencyUnavailableException("redis", $"pool {poolId} is being rebuilt; nothing was accepted."));
                    break;
            }
        }

        kept.WriteDown();

        // A life of the server that ended meanwhile may have taken the claims along, and a rebuild may have looked into the journal before they were in it.
        if (await redis.RunAsync(keys.Meta) != run)
        {
            throw new DependencyUnavailableException("redis", "the server is another one by now, so whether the claims survive is unknown; ask again with the same key.");
        }
    }

    // Acknowledged again, perhaps for the first time: of the first answer it is not known whether it was given, nor by which node.
    private ClaimAnswer Seen(string userId, string detail, long left, long generation)
    {
        var fields = detail.Split(',');
        var released = detail[0] == '-';
        var id = long.Parse(fields[0].AsSpan(released ? 1 : 0), NumberStyles.None, CultureInfo.InvariantCulture);
        if (!released)
        {
            kept.Keep(id, userId, int.Parse(fields[1], NumberStyles.None, CultureInfo.InvariantCulture), fields[2], fields.Length > 3 ? fields[3] : null, generation);
        }

        return new(ClaimOutcome.AlreadyClaimed, [id], released, left);
    }

    private static ClaimAnswer Found(ClaimOutcome outcome, string ids, long left)
    {
        var released = ids.StartsWith('-');
        return new(outcome, [.. ids.Trim('-').Split(',', StringSplitOptions.RemoveEmptyEntries).Select(id => long.Parse(id, CultureInfo.InvariantCulture))], released, left);
    }
}

using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.Platform.Redis;
using StackExchange.Redis;

namespace Sluice.Platform.WriteQueue;

/// <summary>An entry that could not be written, why, and when.</summary>
public sealed record DeadLetter(string Entry, string Error, DateTimeOffset At)
{
    internal RedisValue ToRedis() => JsonSerializer.Serialize(this, DeadLetterJson.Default.DeadLetter);

    internal static DeadLetter Parse(RedisValue json) => JsonSerializer.Deserialize((string)json!, DeadLetterJson.Default.DeadLetter)!;
}

/// <summary>
/// One partition of the write queue: a Redis list used as a log. Producers append at the tail; a consumer peeks a batch at the head, commits it to SQL,
/// and only then drops it. A consumer that dies in between loses nothing: the next one peeks the same entries.
/// </summary>
/// <param name="topic">What kind of entries these are: a worker takes all of a kind or none.</param>
/// <param name="name">For logs and metrics; with a broker, also for finding it again.</param>
/// <param name="log">List of entries, each unique.</param>
/// <param name="journal">List of the newest dropped entries.</param>
/// <param name="dead">List of dead letters. All three in one slot.</param>
/// <param name="generation">What the use knew of the partition before it handed it out; see <see cref="Generation"/>.</param>
public sealed class QueuePartition(string topic, string name, RedisKey log, RedisKey journal, RedisKey dead, long generation)
{
    private static readonly RedisScript AcknowledgeScript = RedisScript.Load("Acknowledge.lua");
    private static readonly RedisScript MoveHeadScript = RedisScript.Load("MoveHead.lua");
    private static readonly RedisScript SetAsideScript = RedisScript.Load("SetAside.lua");

    public string Topic => topic;

    public string Name => name;

    /// <summary>The list of entries; it says which server the partition is on.</summary>
    public RedisKey Log => log;

    /// <summary>
    /// For the use: known before the peek, compared at the commit. Is it another one by then, the queue was looked through in between, and the batch may not be what it was.
    /// </summary>
    public long Generation => generation;

    /// <summary>The first entries, at most <paramref name="entriesMax"/>; they stay in the queue. One round trip.</summary>
    public Task<RedisValue[]> PeekAsync(RedisConnection redis, int entriesMax) => PeekAsync(redis, 0, entriesMax);

    /// <summary>Entries from the place <paramref name="from"/> on (0 = the head), at most <paramref name="entriesMax"/>. One round trip.</summary>
    public Task<RedisValue[]> PeekAsync(RedisConnection redis, int from, int entriesMax) =>
        redis.GuardAsync(log, db => db.ListRangeAsync(log, from, from + entriesMax - 1));

    /// <summary>How many entries wait.</summary>
    public Task<long> DepthAsync(RedisConnection redis) => redis.GuardAsync(log, db => db.ListLengthAsync(log));

    /// <summary>How many dead letters wait for a person.</summary>
    public Task<long> DeadCountAsync(RedisConnection redis) => redis.GuardAsync(dead, db => db.ListLengthAsync(dead));

    /// <summary>Drops a batch after its commit. False when another consumer did it before, which is no error. Atomic, safe to repeat.</summary>
    public async Task<bool> AcknowledgeAsync(RedisConnection redis, RedisValue[] batch, int journalEntriesMax) =>
        (long)await redis.RunScriptAsync(AcknowledgeScript, [log, journal], [batch[0], batch.Length, journalEntriesMax, batch[^1]]) == 1;

    /// <summary>Moves the head entry to the dead letters. False when the dead letters are full: the partition must stop then.</summary>
    public async Task<bool> QuarantineAsync(RedisConnection redis, RedisValue entry, DeadLetter letter, int deadLettersMax) =>
        (long)await redis.RunScriptAsync(MoveHeadScript, [log, dead], [entry, deadLettersMax, letter.ToRedis()]) >= 0;

    /// <summary>Moves an entry to the dead letters from wherever it is in the log. Null when the dead letters are full; false when it is not in the log.</summary>
    public async Task<bool?> SetAsideAsync(RedisConnection redis, RedisValue entry, DeadLetter letter, int deadLettersMax) =>
        (long)await redis.RunScriptAsync(SetAsideScript, [log, dead], [entry, deadLettersMax, letter.ToRedis()]) switch { 1 => true, 0 => false, _ => null };

    /// <summary>The oldest dead letters.</summary>
    public async Task<IReadOnlyList<DeadLetter>> DeadLettersAsync(RedisConnection redis, int lettersMax)
    {
        var letters = await redis.GuardAsync(dead, db => db.ListRangeAsync(dead, 0, lettersMax - 1));
        return [.. letters.Select(DeadLetter.Parse)];
    }

    /// <summary>Puts every dead letter back at the tail of the queue. Safe to repeat and to run twice at once: a letter moves once.</summary>
    /// <returns>How many were moved.</returns>
    public Task<int> ReplayAsync(RedisConnection redis, int lagMax) => MoveDeadAsync(redis, keep: true, lagMax, _ => Task.CompletedTask);

    /// <summary>Takes every dead letter off the list, after <paramref name="before"/> has dealt with it.</summary>
    public Task<int> DiscardAsync(RedisConnection redis, Func<DeadLetter, Task> before) => MoveDeadAsync(redis, keep: false, int.MaxValue, before);

    private async Task<int> MoveDeadAsync(RedisConnection redis, bool keep, int entriesMax, Func<DeadLetter, Task> before)
    {
        // Counted once, so that letters which fail again meanwhile are not chased in a circle.
        var count = await DeadCountAsync(redis);
        var moved = 0;
        for (var i = 0; i < count; i++)
        {
            var head = await redis.GuardAsync(dead, db => db.ListGetByIndexAsync(dead, 0));
            if (head.IsNull)
            {
                break;
            }

            var letter = DeadLetter.Parse(head);
            await before(letter);
            var answer = (long)await redis.RunScriptAsync(MoveHeadScript, [dead, log], keep ? [head, entriesMax, letter.Entry] : [head, entriesMax]);
            if (answer < 0)
            {
                break;
            }

            moved += (int)answer;
        }

        await redis.BarrierAsync();
        return moved;
    }
}

[JsonSerializable(typeof(DeadLetter))]
internal sealed partial class DeadLetterJson : JsonSerializerContext;

using System.Text;
using Sluice.Platform.Pools;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>All that a pool's keys hold, as one text: two states are equal when their texts are, and a failed test shows both.</summary>
internal static class PoolState
{
    /// <summary>Sends the reads and returns at once; commands on one connection run in the order in which they were sent.</summary>
    public static Task<string> ReadAsync(IDatabase db, PoolKeys keys)
    {
        var meta = db.HashGetAllAsync(keys.Meta);
        var left = db.StringGetAsync(keys.Left);
        var holders = db.HashGetAllAsync(keys.Holders);
        var log = db.ListRangeAsync(keys.Log);
        var journal = db.ListRangeAsync(keys.Journal);
        var dead = db.ListRangeAsync(keys.Dead);
        var handed = db.HashGetAllAsync(keys.Handed);
        return WriteAsync();

        async Task<string> WriteAsync() => Write(Pairs(await meta), await left, Pairs(await holders), Texts(await log), Texts(await journal), Texts(await dead), Pairs(await handed));
    }

    public static string Write(
        IEnumerable<KeyValuePair<string, string>> meta, string? left, IEnumerable<KeyValuePair<string, string>> holders,
        IEnumerable<string> log, IEnumerable<string> journal, IEnumerable<string> dead, IEnumerable<KeyValuePair<string, string>> handed)
    {
        var text = new StringBuilder();
        text.AppendJoin(' ', meta.OrderBy(field => field.Key, StringComparer.Ordinal).Select(field => $"{field.Key}={field.Value}"));
        text.Append("\nleft ").Append(left ?? "none");
        text.Append("\nholders ").AppendJoin(' ', holders.OrderBy(user => user.Key, StringComparer.Ordinal).Select(user => $"{user.Key}:{user.Value}"));
        text.Append("\nlog ").AppendJoin(' ', log);
        text.Append("\njournal ").AppendJoin(' ', journal);
        text.Append("\ndead ").AppendJoin(' ', dead);
        text.Append("\nhanded ").AppendJoin(' ', handed.OrderBy(claim => claim.Key, StringComparer.Ordinal).Select(claim => $"{claim.Key}:{claim.Value}"));
        return text.ToString();
    }

    private static IEnumerable<KeyValuePair<string, string>> Pairs(HashEntry[] fields) => fields.Select(field => KeyValuePair.Create(field.Name.ToString(), field.Value.ToString()));

    private static IEnumerable<string> Texts(RedisValue[] values) => values.Select(value => value.ToString());
}

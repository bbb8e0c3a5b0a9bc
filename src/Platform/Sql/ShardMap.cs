using System.Data.Common;
using Dapper;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>Which bucket is at which shard: 256 rows in the main database, made by the first start and changed by <c>sluice spread</c> alone.</summary>
/// <param name="Shop">Made by chance. Each shard has it too, so that nobody's database is taken for a shard of somebody else.</param>
/// <param name="Version">Counts the changes, from 1.</param>
/// <param name="IsMoving">Buckets are on their way between shards: no node may run.</param>
/// <param name="ShardOf">For each bucket the number of its shard; -1: in the main database, before the first move is done.</param>
internal sealed record ShardMap(string Shop, int ShardCount, long Version, bool IsMoving, IReadOnlyList<int> ShardOf)
{
    /// <summary>The map, or null where there is none.</summary>
    public static Task<ShardMap?> ReadAsync(Database home) => home.ReadAsync(ReadAsync);

    /// <summary>Spreads the buckets evenly. Two nodes that start at once make one map.</summary>
    public static async Task<ShardMap> MakeAsync(Database home, int shardCount)
    {
        // May run again: it finds the map.
        await home.WriteAsync(
            async transaction =>
            {
                if (await ReadAsync(transaction.Connection!) is null)
                {
                    await SaveNewAsync(transaction, shardCount, [.. Enumerable.Range(0, ClaimIds.BucketCount).Select(bucket => bucket * shardCount / ClaimIds.BucketCount)], isMoving: false);
                }
            },
            LostCommit.RunAgain);
        return (await ReadAsync(home))!;
    }

    /// <summary>A map in which all is in the main database, which is no shard (-1) yet: where the first move begins. No node starts with it.</summary>
    public static async Task<ShardMap> NewAsync(Database home)
    {
        // May run again: it finds the map.
        await home.WriteAsync(
            async transaction =>
            {
                if (await ReadAsync(transaction.Connection!) is null)
                {
                    await SaveNewAsync(transaction, shardCount: 1, [.. Enumerable.Repeat(-1, ClaimIds.BucketCount)], isMoving: true);
                }
            },
            LostCommit.RunAgain);
        return (await ReadAsync(home))!;
    }

    /// <summary>Whether there were claims before there were shards: their orders are in the main database.</summary>
    public static async Task<bool> HasOrdersAsync(Database home) => await home.ReadAsync(connection => connection.QueryFirstOrDefaultAsync<long?>("SELECT id FROM claims LIMIT 1")) is not null;

    private static async Task SaveNewAsync(DbTransaction transaction, int shardCount, IReadOnlyList<int> shardOf, bool isMoving)
    {
        var connection = transaction.Connection!;
        await connection.ExecuteAsync(
            "INSERT INTO shard_map (id, shop, shards, version, is_moving) VALUES (1, @shop, @shardCount, 1, @isMoving)", new { shop = Guid.NewGuid().ToString("N"), shardCount, isMoving = isMoving ? 1 : 0 }, transaction);
        await connection.ExecuteAsync("INSERT INTO shard_buckets (bucket, shard) VALUES (@bucket, @shard)", shardOf.Select((shard, bucket) => new { bucket, shard }), transaction);
    }

    /// <summary>Says that buckets move from now on, to so many shards as the settings name. The map itself is as before.</summary>
    public static Task BeginMovingAsync(DbTransaction transaction) => transaction.Connection!.ExecuteAsync("UPDATE shard_map SET is_moving = 1, version = version + 1 WHERE id = 1", transaction: transaction);

    /// <summary>The new map holds from this commit on.</summary>
    public static async Task EndMovingAsync(DbTransaction transaction, int shardCount, IReadOnlyList<int> shardOf)
    {
        var connection = transaction.Connection!;
        await connection.ExecuteAsync("UPDATE shard_buckets SET shard = @shard WHERE bucket = @bucket", shardOf.Select((shard, bucket) => new { bucket, shard }), transaction);
        await connection.ExecuteAsync("UPDATE shard_map SET shards = @shardCount, is_moving = 0, version = version + 1 WHERE id = 1", new { shardCount }, transaction);
    }

    /// <summary>Whether a shard is the one that it is taken for. One that has no name yet is given it.</summary>
    /// <returns>What is wrong, or null.</returns>
    public async Task<string?> WhyNotAsync(Shard shard)
    {
        if (!shard.IsMain && await ReadAsync(shard.Unchecked) is not null)
        {
            return $"Sql:Shards:{shard.Index} is the main database of a shop. If it is that of this one, write it there as it is written in Sql:Connection.";
        }

        // May run again: it finds the name.
        var (shop, index) = await shard.Unchecked.WriteAsync(
            async transaction =>
            {
                var connection = transaction.Connection!;
                if (await connection.QuerySingleOrDefaultAsync<(string Shop, long Shard)?>("SELECT shop, shard FROM shard_identity WHERE id = 1", transaction: transaction) is { } known)
                {
                    return known;
                }

                await connection.ExecuteAsync("INSERT INTO shard_identity (id, shop, shard) VALUES (1, @Shop, @Index)", new { Shop, shard.Index }, transaction);
                return (Shop, shard.Index);
            },
            LostCommit.RunAgain);
        return shop != Shop ? $"Sql:Shards:{shard.Index} is a shard of another shop."
            : index != shard.Index ? $"Sql:Shards:{shard.Index} is shard {index} of this shop: the connection strings are in another order than before."
            : null;
    }

    private static async Task<ShardMap?> ReadAsync(DbConnection connection)
    {
        if (await connection.QuerySingleOrDefaultAsync<(string Shop, long Shards, long Version, long IsMoving)?>("SELECT shop, shards, version, is_moving FROM shard_map WHERE id = 1") is not { } row)
        {
            return null;
        }

        var shardOf = (await connection.QueryAsync<long>("SELECT shard FROM shard_buckets ORDER BY bucket")).Select(shard => (int)shard).ToList();
        return shardOf.Count == ClaimIds.BucketCount
            ? new ShardMap(row.Shop, (int)row.Shards, row.Version, row.IsMoving != 0, shardOf)
            : throw new InvalidOperationException($"The map of the shards has {shardOf.Count} buckets.");
    }
}

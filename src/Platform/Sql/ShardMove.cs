using System.Reflection;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>
/// Another map of the shards while no node runs: which bucket goes from where to where. As few buckets move as it takes to spread them evenly. Who moves the rows copies all of them, then calls <see cref="EndAsync"/>,
/// and then clears what is left behind: a kill before that call leaves the old map, with copies that nobody reads, a kill after it the new one. Beginning again goes on, either way.
/// </summary>
public sealed class ShardMove : IDisposable
{
    private readonly Shard[] from, to;
    private readonly IReadOnlyList<Shard> named;

    private ShardMove(Database home, IReadOnlyList<Shard> named, IReadOnlyList<Shard> all, Shard[] from, Shard[] to, int shardCount, bool isFirst) =>
        (Main, this.named, All, this.from, this.to, ShardCount, IsFirst) = (home, named, all, from, to, shardCount, isFirst);

    public Database Main { get; }

    /// <summary>Every database that has or gets orders.</summary>
    public IReadOnlyList<Shard> All { get; }

    public int ShardCount { get; }

    /// <summary>There were no shards before: all orders are in the main database.</summary>
    public bool IsFirst { get; }

    /// <summary>How many buckets go elsewhere.</summary>
    public int MovingCount => from.Zip(to).Count(pair => pair.First != pair.Second);

    /// <summary>Where the rows of an id are.</summary>
    public Shard From(long id) => from[ClaimIds.BucketOf(id)];

    /// <summary>Where they shall be.</summary>
    public Shard To(long id) => to[ClaimIds.BucketOf(id)];

    /// <summary>The buckets that come to a shard from elsewhere.</summary>
    public IReadOnlyList<long> ComingTo(Shard shard) => [.. Enumerable.Range(0, ClaimIds.BucketCount).Where(bucket => to[bucket] == shard && from[bucket] != shard).Select(bucket => (long)bucket)];

    /// <summary>The buckets that leave a shard.</summary>
    public IReadOnlyList<long> Leaving(Shard shard) => [.. Enumerable.Range(0, ClaimIds.BucketCount).Where(bucket => from[bucket] == shard && to[bucket] != shard).Select(bucket => (long)bucket)];

    /// <summary>Prepares every shard that the settings name, and decides what goes where. Changes nothing else.</summary>
    /// <param name="shardCount">How many of them shall have orders, the first ones.</param>
    /// <exception cref="DependencyUnavailableException">One of them is away, or is not what it is taken for.</exception>
    public static async Task<ShardMove> PlanAsync(SqlOptions options, int shardCount, string dataFolder, Database home, Assembly[] schemas)
    {
        var map = await ShardMap.ReadAsync(home);
        var named = Shards.Name(options, dataFolder, home);
        if (named.Count < Math.Max(shardCount, map?.ShardCount ?? 1))
        {
            throw new DependencyUnavailableException("sql shards", $"Sql:Shards names {named.Count}: name all that have orders now ({map?.ShardCount ?? 0}) and all that shall have some ({shardCount}).");
        }

        // Who they are is known before anything is decided, so the map may say nothing yet.
        var identity = map ?? await ShardMap.NewAsync(home);
        foreach (var shard in named)
        {
            if (await Shards.PrepareAsync(shard, identity, schemas) is { } wrong)
            {
                throw new DependencyUnavailableException("sql shards", wrong);
            }
        }

        var homeShard = named.FirstOrDefault(shard => shard.IsMain) ?? new Shard(-1, home, isMain: true);
        Shard[] from = [.. identity.ShardOf.Select(index => index < 0 ? homeShard : named[index])];
        var to = Spread(from, [.. named.Take(shardCount)]);
        return new ShardMove(home, named, [.. named.Append(homeShard).Distinct()], from, to, shardCount, identity.ShardOf[0] < 0);
    }

    /// <summary>From now on no node starts, and one that goes by shards shuts them within a second, until <see cref="EndAsync"/>.</summary>
    public Task BeginAsync() => Main.WriteAsync(ShardMap.BeginMovingAsync, LostCommit.RunAgain);

    /// <summary>Every row is where the new map says: it holds from this commit on.</summary>
    public Task EndAsync() => Main.WriteAsync(transaction => ShardMap.EndMovingAsync(transaction, ShardCount, [.. to.Select(shard => shard.Index)]), LostCommit.RunAgain);

    public void Dispose()
    {
        foreach (var shard in named.Where(shard => !shard.IsMain))
        {
            shard.Unchecked.Dispose();
        }
    }

    // Everybody keeps what is not too much; what is too much, and what is at a shard that shall have nothing, goes to those who have too little.
    private static Shard[] Spread(Shard[] from, IReadOnlyList<Shard> targets)
    {
        var share = targets.Select((shard, i) => (Shard: shard, Buckets: (ClaimIds.BucketCount / targets.Count) + (i < ClaimIds.BucketCount % targets.Count ? 1 : 0))).ToDictionary(each => each.Shard, each => each.Buckets);
        var to = new Shard[from.Length];
        var homeless = new List<int>();
        for (var bucket = 0; bucket < from.Length; bucket++)
        {
            if (share.TryGetValue(from[bucket], out var room) && room > 0)
            {
                (to[bucket], share[from[bucket]]) = (from[bucket], room - 1);
            }
            else
            {
                homeless.Add(bucket);
            }
        }

        foreach (var bucket in homeless)
        {
            var shard = targets.First(target => share[target] > 0);
            (to[bucket], share[shard]) = (shard, share[shard] - 1);
        }

        return to;
    }
}

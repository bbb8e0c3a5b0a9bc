using System.Reflection;
using Microsoft.Extensions.Logging;
using MySqlConnector;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>One of the databases over which the rows of users are spread.</summary>
public sealed class Shard(int index, Database database, bool isMain)
{
    private volatile string? whyNot;

    /// <summary>Its number in <see cref="SqlOptions.Shards"/>.</summary>
    public int Index => index;

    /// <summary>It is the database that has the pools and claims too: one transaction changes an order and its claim.</summary>
    public bool IsMain => isMain;

    /// <exception cref="DependencyUnavailableException">It was away when this node started, and nobody has had a look at it since.</exception>
    public Database Database => whyNot is { } says ? throw new DependencyUnavailableException($"sql shard {index}", says) : database;

    internal Database Unchecked => database;

    internal void Shut(string why) => whyNot = why;

    internal void Open() => whyNot = null;

    internal bool IsOpen => whyNot is null;
}

/// <summary>
/// Says where the rows of a user are. The one place that decides it: by the user's bucket (<see cref="ClaimIds.Bucket"/>), which each id of a claim and of its order names, and by the map in the main database.
/// Pools, claims and releases are in the main database whoever's they are; orders and payments are at the shard. Without <see cref="SqlOptions.Shards"/> there is one, the main database. docs/adr/0012.
/// </summary>
public sealed class Shards : IDisposable
{
    private const string WrongShard = "sql shards";

    private readonly Shard[] ofBucket;
    private volatile bool isOutdated;

    private Shards(Database home, IReadOnlyList<Shard> all, Shard[] ofBucket, long version) =>
        (Main, All, this.ofBucket, Others, MapVersion) = (home, all, ofBucket, [.. all.Where(shard => !shard.IsMain)], version);

    /// <summary>Where pools and claims are.</summary>
    public Database Main { get; }

    /// <summary>Every database that has orders.</summary>
    public IReadOnlyList<Shard> All { get; }

    /// <summary>Those of them that are not the main database; none without <see cref="SqlOptions.Shards"/>.</summary>
    public IReadOnlyList<Shard> Others { get; }

    /// <summary>Of the map that this node goes by; 0 without shards.</summary>
    internal long MapVersion { get; }

    /// <summary>Where a claim's order is.</summary>
    /// <exception cref="DependencyUnavailableException">The map was changed since this node started.</exception>
    public Shard Of(long claimId) => OfBucket(ClaimIds.BucketOf(claimId));

    /// <summary>Where the orders of a user are.</summary>
    /// <inheritdoc cref="Of(long)"/>
    public Shard Of(string userId) => OfBucket(ClaimIds.Bucket(userId));

    /// <summary>The buckets (0–255) that are at a shard.</summary>
    public IReadOnlyList<long> BucketsOf(Shard shard) => [.. Enumerable.Range(0, ClaimIds.BucketCount).Where(bucket => ofBucket[bucket] == shard).Select(bucket => (long)bucket)];

    /// <summary>Everything is in one database.</summary>
    public static Shards None(Database home)
    {
        var only = new Shard(0, home, isMain: true);
        return new Shards(home, [only], [.. Enumerable.Repeat(only, ClaimIds.BucketCount)], version: 0);
    }

    /// <summary>
    /// Reads the map, makes it at the first start, and brings each shard's schema up to date. A shard that is away does not keep the node from starting: it is shut until <see cref="ShardKeeper"/> has had a look at it.
    /// </summary>
    /// <param name="assemblies">What brings the schema; empty on a node that leaves that to others.</param>
    /// <exception cref="DependencyUnavailableException">The main database is away; or what the settings name is not over what the rows are spread.</exception>
    public static async Task<Shards> OpenAsync(SqlOptions options, string dataFolder, Database home, Assembly[] assemblies, ILogger<ShardKeeper> log)
    {
        var map = await ShardMap.ReadAsync(home);
        var count = options.Shards.Count;
        if (map is null && count == 0)
        {
            return None(home);
        }

        if (map is { IsMoving: true })
        {
            throw Refuse("buckets were being moved, and that was broken off. Stop every node and run 'sluice spread' again (docs/shards.md).");
        }

        if (map is not null && map.ShardCount != count)
        {
            throw Refuse(
                $"the orders of this shop are spread over {map.ShardCount} shards, and Sql:Shards names {count}. Name those {map.ShardCount}; to have another number, stop every node and run 'sluice spread' (docs/shards.md).");
        }

        if (map is null && assemblies.Length == 0)
        {
            throw Refuse("nothing is spread yet over what Sql:Shards names: start a node first that runs FlashSales, Orders or Stocks.");
        }

        if (map is null && await ShardMap.HasOrdersAsync(home))
        {
            throw Refuse($"this shop has orders in one database, and Sql:Shards names {count}. Stop every node and run 'sluice spread' to spread them (docs/shards.md).");
        }

        var all = Name(options, dataFolder, home);
        if (map is null)
        {
            // Before it is decided for good what is where, all of them are there.
            foreach (var shard in all.Where(shard => !shard.IsMain))
            {
                Migrate(shard, assemblies);
            }

            map = await ShardMap.MakeAsync(home, all.Count);
        }

        foreach (var shard in all)
        {
            try
            {
                if (await PrepareAsync(shard, map, assemblies) is { } wrong)
                {
                    throw Refuse(wrong);
                }
            }
            catch (DependencyUnavailableException e) when (!shard.IsMain && e.Dependency != WrongShard)
            {
                shard.Shut(e.Message);
                ShardKeeper.LogAway(log, shard.Index, e.Message);
            }
        }

        return new Shards(home, all, [.. map.ShardOf.Select(index => all[index])], map.Version);
    }

    /// <summary>Brings a shard's schema up to date, and makes sure that it is the one it is taken for.</summary>
    /// <returns>What is wrong, or null.</returns>
    /// <exception cref="DependencyUnavailableException">It is away.</exception>
    internal static async Task<string?> PrepareAsync(Shard shard, ShardMap map, Assembly[] assemblies)
    {
        if (!shard.IsMain && assemblies.Length > 0)
        {
            Migrate(shard, assemblies);
        }

        return await map.WhyNotAsync(shard);
    }

    private static void Migrate(Shard shard, Assembly[] assemblies) => Migrations.Run(shard.Unchecked, Migrations.StepsOf(assemblies), Migrations.OfShard);

    /// <summary>The databases that the settings name; the main database is itself among them.</summary>
    internal static IReadOnlyList<Shard> Name(SqlOptions options, string dataFolder, Database home) =>
    [
        .. options.Shards.Select((connection, index) => PlaceOf(connection) == PlaceOf(options.Connection)
            ? new Shard(index, home, isMain: true)
            : new Shard(index, new Database(options with { Connection = connection, Readers = [], Shards = [] }, dataFolder, $"sql shard {index}", rests: true), isMain: false)),
    ];

    /// <summary>For an operator: nothing, or how many there are.</summary>
    public string Describe => MapVersion == 0 ? "" : $"; {All.Count} shards";

    public void Dispose()
    {
        foreach (var shard in Others)
        {
            shard.Unchecked.Dispose();
        }
    }

    /// <summary>This node goes by a map that does not hold any more, and does nothing by it from now on.</summary>
    internal void Outdate() => isOutdated = true;

    internal bool IsOutdated => isOutdated;

    private Shard OfBucket(int bucket) => !isOutdated ? ofBucket[bucket] : throw Refuse("the map of the shards was changed while this node ran: start it again.");

    private static DependencyUnavailableException Refuse(string says) => new(WrongShard, says);

    private static (string, uint, string) PlaceOf(string connection)
    {
        var parts = new MySqlConnectionStringBuilder(connection);
        return (parts.Server.ToUpperInvariant(), parts.Port, parts.Database);
    }
}

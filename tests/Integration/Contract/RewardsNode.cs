using Dapper;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Modules;
using Sluice.Modules.Rewards;
using Sluice.Platform.Admission;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Check-ins and points of one node as the host composes them, without HTTP, on a clock that the test turns.</summary>
internal sealed class RewardsNode : IAsyncDisposable
{
    // The query that the page shows is the one that the tests ask.
    private static readonly Lazy<string> Audit = new(() => File.ReadAllText(Path.Combine(Programs.Root, "docs/rewards.md")).Split("```sql")[1].Split("```")[0].Trim().TrimEnd(';'));

    private readonly TempFolder folder;
    private readonly CacheTiers tiers;
    private readonly TieredCache cache;
    private readonly CacheChanges changes;
    private readonly bool isFirst;

    private RewardsNode(EnginePair engines, TempFolder folder, CacheTiers tiers, Database database, RewardsOptions options, TimeProvider time, bool isFirst)
    {
        (this.folder, this.tiers, Database, this.isFirst) = (folder, tiers, database, isFirst);
        
        // The caches are on the real clock: who waits there for another node's answer waits in real time.
        cache = new TieredCache(tiers, new CacheOptions(), TimeProvider.System);
        changes = new CacheChanges(Shards.None(database), [database], tiers, cache, TimeProvider.System, NullLogger<CacheChanges>.Instance);
        Ids = new ClaimIds(isFirst ? 1 : 2, time);
        Ledger = new PointsLedger(changes, Ids, time);
        CheckIns = new CheckInToday(
            database, Ledger, new BusinessCalendar(options, time), cache, changes, new RateLimits(new AdmissionOptions(), engines.Redis, new ApiNodes(), time), options, time);
    }

    public Database Database { get; }

    public ClaimIds Ids { get; }

    public PointsLedger Ledger { get; }

    public CheckInToday CheckIns { get; }

    /// <param name="beside">A node to stand beside, on its database.</param>
    public static async Task<RewardsNode> OpenAsync(EnginePair engines, TimeProvider time, RewardsOptions? options = null, RewardsNode? beside = null)
    {
        var folder = beside?.folder ?? new TempFolder();
        var database = beside?.Database ?? new Database(engines.Sql, folder.Path);
        if (beside is null)
        {
            Migrations.Run(database, typeof(Database).Assembly, typeof(ModuleList).Assembly);
        }

        var tiers = await CacheTiers.OpenAsync(new CacheOptions(), engines.Redis, folder.Path, NullLoggerFactory.Instance, TimeProvider.System);
        return new RewardsNode(engines, folder, tiers, database, options ?? new RewardsOptions(), time, beside is null);
    }

    /// <summary>Awards or spends as the shop does, each time for a cause of its own.</summary>
    /// <returns>The entry, or null: there were too few.</returns>
    public Task<PointsEntry?> ChangeAsync(string user, long points) => Database.WriteAsync(async transaction =>
    {
        await PointsLedger.LockAsync(transaction, user);
        var id = Ids.Next(user);
        return await Ledger.AddAsync(transaction, user, new PointsCause(PointsCause.OfShop, $"{id}"), points, "a test", id);
    });

    public Task<long> BalanceAsync(string user) => Database.ReadAsync(connection => PointsLedger.BalanceAsync(connection, user));

    /// <summary>What is wrong with the ledger, a line for each fault; nothing, as it must be.</summary>
    public Task<List<string>> FaultsAsync() => Database.ReadAsync(FaultsAsync);

    public static async Task<List<string>> FaultsAsync(System.Data.Common.DbConnection connection) =>
        (await connection.QueryAsync<(string User, string Fault)>(Audit.Value)).Select(row => $"{row.User}: {row.Fault}").ToList();

    public async ValueTask DisposeAsync()
    {
        changes.Dispose();
        cache.Dispose();
        await tiers.DisposeAsync();
        if (isFirst)
        {
            Database.Dispose();
            folder.Dispose();
        }
    }
}

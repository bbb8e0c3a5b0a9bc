using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Text.Json;
using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;

namespace Sluice.Modules.FlashSales;

/// <summary>A sale ready to be sent.</summary>
internal sealed record PostedSale(FlashSaleView View, string ETag, byte[] Json);

/// <summary>
/// What this node shows of all sales, a fraction of a second old: one SQL query and one read of Redis for everybody who looks. Claims never use it.
/// </summary>
internal sealed class SaleBoard
{
    /// <summary>The newest sales are on the board; older ones are read one by one.</summary>
    private const int SalesMax = 200;

    /// <summary>How far the clocks of two nodes may be apart.</summary>
    private static readonly TimeSpan ClockSkewMax = TimeSpan.FromMinutes(1);

    private readonly Database database;
    private readonly RedisConnection redis;
    private readonly TimeProvider time;
    private readonly Snapshot<Board> board;

    // What Redis last said, for the time in which it is away. Bounded by the pools that exist.
    private readonly ConcurrentDictionary<long, long> lastLeft = new();

    public SaleBoard(Database database, RedisConnection redis, FlashSalesOptions options, TimeProvider time)
    {
        (this.database, this.redis, this.time) = (database, redis, time);
        board = new(LoadAsync, options.BoardAge, time);
    }

    /// <summary>The newest sales, newest first, as one answer.</summary>
    public async ValueTask<(string ETag, byte[] Json)> ListAsync()
    {
        var now = await board.GetAsync();
        return (now.ETag, now.Json);
    }

    /// <summary>One sale, or null.</summary>
    public async ValueTask<PostedSale?> FindAsync(long id)
    {
        var now = await board.GetAsync();

        // A sale that was made through another node since the board was loaded is not on it. Its id says when that was.
        if (now.Sales.TryGetValue(id, out var sale) || (now.HasAll && ClaimIds.TimeOf(id) < now.LoadedAt - ClockSkewMax))
        {
            return sale;
        }

        return await LoadAsync("WHERE s.id = @id", new { id }) is [var old] ? old : null;
    }

    /// <summary>Something changed through this node: the next look sees it.</summary>
    public void Invalidate() => board.Invalidate();

    private async Task<Board> LoadAsync()
    {
        var loadedAt = time.GetUtcNow();
        var sales = await LoadAsync("ORDER BY s.id DESC LIMIT @SalesMax", new { SalesMax });
        var page = new Page<FlashSaleView>([.. sales.Select(sale => sale.View)], null);
        var json = JsonSerializer.SerializeToUtf8Bytes(page, FlashSalesJson.Default.PageFlashSaleView);
        var etag = $"\"{Convert.ToHexStringLower(System.IO.Hashing.XxHash3.Hash(json))}\"";
        return new Board(sales.ToFrozenDictionary(sale => long.Parse(sale.View.Id, System.Globalization.CultureInfo.InvariantCulture)), sales.Count < SalesMax, loadedAt, etag, json);
    }

    private async Task<IReadOnlyList<PostedSale>> LoadAsync(string which, object parameters)
    {
        var rows = (await database.ReadAsync(connection => connection.QueryAsync<FlashSale, Pool, (FlashSale Sale, Pool Pool)>(
            $"SELECT {FlashSale.Columns}, p.id AS Id, p.kind AS Kind, p.title AS Title, p.initial_units AS InitialUnits, p.capacity_units AS CapacityUnits, " +
            "p.claimed_units AS ClaimedUnits, p.per_user_limit AS PerUserLimit, p.gate AS Gate, p.opens_at AS OpensAt, p.closes_at AS ClosesAt, p.version AS Version, " +
            $"p.applied_version AS AppliedVersion, p.generation AS Generation, p.created_at AS CreatedAt, p.set_aside_units AS SetAsideUnits, p.sold_aside_units AS SoldAsideUnits, p.taking_units AS TakingUnits FROM flash_sales s JOIN pools p ON p.id = s.id {which}",
            (sale, pool) => (sale, pool),
            parameters))).AsList();
        var left = await LeftUnitsAsync(rows.ConvertAll(row => row.Pool));
        var now = time.GetUtcNow();
        return rows.ConvertAll(row =>
        {
            var view = row.Sale.ToView(row.Pool, left[row.Pool.Id], now);
            return new PostedSale(view, $"\"{view.Version}-{view.LeftUnits}-{view.State}\"", JsonSerializer.SerializeToUtf8Bytes(view, FlashSalesJson.Default.FlashSaleView));
        });
    }

    // All that is left, wherever it is sold: in Redis, set aside, or on its way between the two.
    private async Task<Dictionary<long, long>> LeftUnitsAsync(List<Pool> pools)
    {
        var known = new Dictionary<long, long>();
        var asked = pools.ConvertAll(pool =>
        {
            var key = new PoolKeys(pool.Id).Left;
            return (pool, Key: key, Left: redis.GuardAsync(key, db => db.StringGetAsync(key)));
        });
        try
        {
            await redis.EachAsync(asked, one => one.Key, async one =>
            {
                if (await one.Left is { IsNull: false } units)
                {
                    known[one.pool.Id] = lastLeft[one.pool.Id] = (long)units;
                }
            });
        }
        catch (DependencyUnavailableException)
        {
            // Where Redis is away it sells nothing, so what was left there still is; of a pool that was not looked at since the start SQL knows all but what waits in the queue. Pages go on.
        }

        return pools.ToDictionary(pool => pool.Id, pool =>
        {
            var unwritten = Math.Max(0, pool.CapacityUnits - pool.ClaimedUnits);
            return known.TryGetValue(pool.Id, out var left) ? left + Aside(pool)
                : lastLeft.TryGetValue(pool.Id, out left) ? Math.Min(left + Aside(pool), unwritten)
                : unwritten;
        });

        static long Aside(Pool pool) => pool.SetAsideUnits - pool.SoldAsideUnits + pool.TakingUnits;
    }

    private sealed record Board(FrozenDictionary<long, PostedSale> Sales, bool HasAll, DateTimeOffset LoadedAt, string ETag, byte[] Json);
}

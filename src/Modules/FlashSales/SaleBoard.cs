using System.Collections.Frozen;
using System.Text.Json;
using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
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
    private readonly PoolStore pools;
    private readonly LeftUnits leftUnits;
    private readonly SaleCalendar calendar;
    private readonly TimeProvider time;
    private readonly Snapshot<Board> board;

    public SaleBoard(Database database, PoolStore pools, LeftUnits leftUnits, SaleCalendar calendar, FlashSalesOptions options, TimeProvider time)
    {
        (this.database, this.pools, this.leftUnits, this.calendar, this.time) = (database, pools, leftUnits, calendar, time);
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

    /// <summary>Something changed through this node: the next look sees it, on the calendar too.</summary>
    public void Invalidate()
    {
        board.Invalidate();
        calendar.Invalidate();
    }

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
        var sales = (await database.ReadAsync(connection => connection.QueryAsync<FlashSale>($"SELECT {FlashSale.Columns} FROM flash_sales s {which}", parameters))).AsList();
        var ids = sales.ConvertAll(sale => sale.Id);
        var pool = (await pools.FindAsync(ids)).ToDictionary(pool => pool.Id);
        var left = await leftUnits.ReadAsync(await pools.LanesAsync(ids));
        var now = time.GetUtcNow();
        return sales.ConvertAll(sale =>
        {
            var view = sale.ToView(pool[sale.Id], left[sale.Id], now);
            return new PostedSale(view, $"\"{view.Version}-{view.LeftUnits}-{view.State}\"", JsonSerializer.SerializeToUtf8Bytes(view, FlashSalesJson.Default.FlashSaleView));
        });
    }

    private sealed record Board(FrozenDictionary<long, PostedSale> Sales, bool HasAll, DateTimeOffset LoadedAt, string ETag, byte[] Json);
}

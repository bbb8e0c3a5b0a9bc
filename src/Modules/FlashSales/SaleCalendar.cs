using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.FlashSales;

/// <summary>A sale as the calendar has it: all that does not change by the second.</summary>
/// <param name="State"><c>announced</c>, <c>paused</c> or <c>closed</c>; of an announced sale the times say whether it is open, by the clock of <c>GET /v1/time</c>.</param>
public sealed record CalendarSale(
    string Id, string Sku, string Title, long PriceCents, long? ListPriceCents, string Currency, long StockUnits, long PerUserLimit, string State, DateTime? OpensAt, DateTime? ClosesAt, string PaymentTimeout, long Version);

/// <param name="Items">The newest sales, newest first; no drafts.</param>
public sealed record Calendar(IReadOnlyList<CalendarSale> Items);

/// <summary>The calendar in one version.</summary>
internal sealed record KeptCalendar(long Version, Calendar Calendar, byte[] Json)
{
    public CalendarSale? Find(string id) => Calendar.Items.FirstOrDefault(sale => sale.Id == id);
}

/// <summary>
/// <c>GET /v1/calendar</c>: what is on, next and past. It changes when somebody makes or operates a sale, not when somebody buys, so it is published too, and CDNs can keep it.
/// </summary>
internal sealed class SaleCalendar
{
    /// <summary>Sales on it; older ones have their page, and are in no calendar.</summary>
    public const int SalesMax = 200;

    private readonly Database database;
    private readonly Snapshot<KeptCalendar> kept;
    private KeptCalendar? last;

    public SaleCalendar(Database database, FlashSalesOptions options, TimeProvider time)
    {
        this.database = database;
        kept = new(LoadAsync, options.BoardAge, time);
    }

    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/v1/calendar", async (HttpContext context, SaleCalendar calendar) =>
        {
            var now = await calendar.GetAsync();
            return Versioned.Answer(context, now.Version, now.Json);
        })
        .For(AccessRule.Public).WithTags("Flash sales").WithSummary("What is on, next and past: all of it that does not change by the second").Produces<Calendar>().IsVersioned();

    /// <summary>As this node has it, a fraction of a second old.</summary>
    public ValueTask<KeptCalendar> GetAsync() => kept.GetAsync();

    /// <summary>Something changed through this node: the next <see cref="GetAsync"/> sees it.</summary>
    public void Invalidate() => kept.Invalidate();

    /// <summary>As it is this moment.</summary>
    public async Task<KeptCalendar> ReadAsync()
    {
        // The version first: what is committed between the two is shown now, and once more under the version that it has.
        var version = await VersionAsync();
        var sales = await database.ReadAsync(connection => connection.QueryAsync<CalendarRow>(
            "SELECT s.id AS Id, s.sku AS Sku, s.title AS Title, s.price_cents AS PriceCents, s.list_price_cents AS ListPriceCents, s.currency AS Currency, s.payment_timeout_ms AS PaymentTimeoutMs, " +
            "p.capacity_units AS StockUnits, p.per_user_limit AS PerUserLimit, p.gate AS Gate, p.opens_at AS OpensAt, p.closes_at AS ClosesAt, p.version AS Version " +
            "FROM flash_sales s JOIN pools p ON p.id = s.id WHERE p.gate <> @draft ORDER BY s.id DESC LIMIT @SalesMax", new { draft = Gate.Draft, SalesMax }));
        var calendar = new Calendar([.. sales.Select(sale => sale.ToSale())]);
        return new KeptCalendar(version, calendar, JsonSerializer.SerializeToUtf8Bytes(calendar, FlashSalesJson.Default.Calendar));
    }

    /// <summary>Rises whenever a sale is made or operated: pools are never deleted, and their versions never go back.</summary>
    public Task<long> VersionAsync() => database.ReadAsync(connection =>
        connection.QuerySingleAsync<long>("SELECT COUNT(*) + COALESCE(SUM(version), 0) FROM pools WHERE kind = @Kind AND root_id IS NULL", new { FlashSale.Kind }));

    private async Task<KeptCalendar> LoadAsync()
    {
        if (last is { } before && before.Version == await VersionAsync())
        {
            return before;
        }

        return last = await ReadAsync();
    }

    [method: ExplicitConstructor]
    private sealed record CalendarRow(
        long Id, string Sku, string Title, long PriceCents, long? ListPriceCents, string Currency, long PaymentTimeoutMs, long StockUnits, long PerUserLimit, Gate Gate, long? OpensAt, long? ClosesAt, long Version)
    {
        public CalendarSale ToSale() => new(
            Names.Id(Id), Sku, Title, PriceCents, ListPriceCents, Currency, StockUnits, PerUserLimit,
            Gate switch { Gate.Paused => "paused", Gate.Closed => "closed", Gate.Open or Gate.Draft => "announced" },
            Utc(OpensAt), Utc(ClosesAt), System.Xml.XmlConvert.ToString(TimeSpan.FromMilliseconds(PaymentTimeoutMs)), Version);

        private static DateTime? Utc(long? ms) => ms is { } value ? DateTimeOffset.FromUnixTimeMilliseconds(value).UtcDateTime : null;
    }
}

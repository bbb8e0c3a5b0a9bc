using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.FlashSales;

/// <summary>The row of <c>flash_sales</c>. Its stock, gate and times are those of the pool with the same id.</summary>
[method: Dapper.ExplicitConstructor]
internal sealed record FlashSale(long Id, string Sku, string Title, long PriceCents, long? ListPriceCents, string Currency, long PaymentTimeoutMs)
{
    /// <summary>The kind of pool that a flash sale is.</summary>
    public const string Kind = "flash-sale";

    public const string Columns =
        "s.id AS Id, s.sku AS Sku, s.title AS Title, s.price_cents AS PriceCents, s.list_price_cents AS ListPriceCents, s.currency AS Currency, s.payment_timeout_ms AS PaymentTimeoutMs";

    public OrderTerms Terms => new(Id, Sku, Title, PriceCents, Currency, TimeSpan.FromMilliseconds(PaymentTimeoutMs));

    public FlashSaleView ToView(Pool pool, long leftUnits, DateTimeOffset now) => new(
        Names.Id(Id), Names.Id(pool.Id), Sku, Title, PriceCents, ListPriceCents, Currency, pool.CapacityUnits, leftUnits, leftUnits == 0, pool.PerUserLimit,
        pool.StateAt(now), Utc(pool.OpensAt), Utc(pool.ClosesAt), System.Xml.XmlConvert.ToString(TimeSpan.FromMilliseconds(PaymentTimeoutMs)), pool.Version);

    private static DateTime? Utc(long? ms) => ms is { } value ? DateTimeOffset.FromUnixTimeMilliseconds(value).UtcDateTime : null;
}

/// <summary>A sale as others see it.</summary>
public sealed record FlashSaleView(
    string Id,
    string PoolId,
    string Sku,
    string Title,
    long PriceCents,
    long? ListPriceCents,
    string Currency,
    long StockUnits,
    long LeftUnits,
    bool SoldOut,
    long PerUserLimit,
    string State,
    DateTime? OpensAt,
    DateTime? ClosesAt,
    string PaymentTimeout,
    long Version);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, NumberHandling = JsonNumberHandling.Strict, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, AllowDuplicateProperties = false)]
[JsonSerializable(typeof(FlashSaleView))]
[JsonSerializable(typeof(Page<FlashSaleView>))]
[JsonSerializable(typeof(CreateFlashSaleRequest))]
[JsonSerializable(typeof(AddStockRequest))]
[JsonSerializable(typeof(SetAsideRequest))]
[JsonSerializable(typeof(SetAsideView))]
[JsonSerializable(typeof(Calendar))]
public sealed partial class FlashSalesJson : JsonSerializerContext;

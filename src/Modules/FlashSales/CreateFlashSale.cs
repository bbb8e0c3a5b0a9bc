using System.ComponentModel.DataAnnotations;
using System.Data.Common;
using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.FlashSales;

public sealed record CreateFlashSaleRequest(
    [property: Required] string? Sku,
    [property: Required] string? Title,
    [property: Required] long? PriceCents,
    long? ListPriceCents,
    [property: Required] string? Currency,
    [property: Required] long? StockUnits,
    int? PerUserLimit,
    long? SetAsideUnits,
    int? Lanes,
    string? OpensAt,
    string? ClosesAt,
    string? PaymentTimeout);

/// <summary><c>POST /v1/flash-sales</c>: the sale and its pool in one transaction, then the pool in Redis.</summary>
internal static class CreateFlashSale
{
    private const long PriceCentsMax = 1_000_000_000_000, StockUnitsMax = 1_000_000_000;
    private const int PerUserLimitMax = 1_000;

    private static readonly TimeSpan PaymentTimeoutDefault = TimeSpan.FromMinutes(15), PaymentTimeoutMin = TimeSpan.FromSeconds(1), PaymentTimeoutMax = TimeSpan.FromDays(7);

    public static void Map(IEndpointRouteBuilder routes) => routes.MapPost("/v1/flash-sales", HandleAsync).For(AccessRule.Server)
        .WithTags("Flash sales").WithSummary("Make a sale").Produces<FlashSaleView>(201).Produces<FlashSaleView>(200)
        .TakesIdempotencyKey().TellsWhere(201, "The sale.").TellsWhere(200, "The sale.");

    private static async Task<IResult> HandleAsync(
        CreateFlashSaleRequest request, HttpContext context, Idempotency idempotency, PoolStore pools, SaleBoard board, ClaimIds ids, TimeProvider time)
    {
        if (Refuse(request, time.GetUtcNow(), out var sale, out var opensAt, out var closesAt) is { } refusal)
        {
            return refusal;
        }

        var key = Idempotency.KeyOf(context.Request);
        var (id, isNew) = await idempotency.OnceAsync(key, "POST /v1/flash-sales", JsonSerializer.Serialize(request, FlashSalesJson.Default.CreateFlashSaleRequest), async transaction =>
        {
            var id = ids.Next(sale.Sku);
            await InsertAsync(transaction, sale with { Id = id });
            await pools.CreateAsync(
                transaction, id, FlashSale.Kind, sale.Title, request.StockUnits!.Value, request.PerUserLimit ?? 1, opensAt is null ? Gate.Draft : Gate.Open, opensAt, closesAt,
                request.SetAsideUnits ?? 0, request.Lanes ?? 1);
            return id;
        });
        await pools.ApplyAsync(id);
        board.Invalidate();
        context.Response.Headers.Location = $"/v1/flash-sales/{id}";
        return Results.Json((await board.FindAsync(id))!.View, FlashSalesJson.Default.FlashSaleView, statusCode: isNew ? 201 : 200);
    }

    private static Problem? Refuse(CreateFlashSaleRequest request, DateTimeOffset now, out FlashSale sale, out DateTimeOffset? opensAt, out DateTimeOffset? closesAt)
    {
        (sale, opensAt, closesAt) = (null!, null, null);
        var wrong = new List<string>();
        Must(Names.IsSku(request.Sku), "'sku' has 1 to 64 letters, digits, _ - .");
        Must(Names.IsText(request.Title, 200), "'title' has 1 to 200 characters");
        Must(request.PriceCents is >= 0 and <= PriceCentsMax, $"'priceCents' is 0 to {PriceCentsMax}");
        Must(request.ListPriceCents is null or (>= 0 and <= PriceCentsMax), $"'listPriceCents' is 0 to {PriceCentsMax}");
        Must(Names.IsCurrency(request.Currency), "'currency' is an ISO 4217 code such as EUR");
        Must(request.StockUnits is >= 0 and <= StockUnitsMax, $"'stockUnits' is 0 to {StockUnitsMax}");
        Must(request.PerUserLimit is null or (>= 1 and <= PerUserLimitMax), $"'perUserLimit' is 1 to {PerUserLimitMax}");
        Must(request.SetAsideUnits is null || (request.SetAsideUnits >= 0 && request.SetAsideUnits <= (request.StockUnits ?? 0) / 2), "'setAsideUnits' is 0 to half of the stock");
        Must(request.Lanes is null or (>= 1 and <= PoolStore.LanesMax), $"'lanes' is 1 to {PoolStore.LanesMax}");
        Must(request.SetAsideUnits is null or 0 || request.Lanes is null or 1, "'setAsideUnits' does not go with several 'lanes'");
        if (request.OpensAt is not null)
        {
            Must(Names.TryTime(request.OpensAt, out var time), "'opensAt' is a time such as 2026-11-27T08:00:00Z");
            opensAt = time;
        }

        if (request.ClosesAt is not null)
        {
            Must(Names.TryTime(request.ClosesAt, out var time), "'closesAt' is a time such as 2026-11-27T20:00:00Z");
            closesAt = time;
            Must(time > (opensAt ?? now), "'closesAt' comes after the opening");
        }

        var timeout = PaymentTimeoutDefault;
        Must(
            request.PaymentTimeout is null || Names.TryDuration(request.PaymentTimeout, PaymentTimeoutMin, PaymentTimeoutMax, out timeout),
            "'paymentTimeout' is a duration from PT1S to P7D, such as PT15M");
        if (wrong.Count > 0)
        {
            return Problem.Invalid(string.Join("; ", wrong) + ".");
        }

        sale = new FlashSale(0, request.Sku!, request.Title!, request.PriceCents!.Value, request.ListPriceCents, request.Currency!, (long)timeout.TotalMilliseconds);
        return null;

        void Must(bool holds, string says)
        {
            if (!holds)
            {
                wrong.Add(says);
            }
        }
    }

    private static Task<int> InsertAsync(DbTransaction transaction, FlashSale sale) => transaction.Connection!.ExecuteAsync(
        "INSERT INTO flash_sales (id, sku, title, price_cents, list_price_cents, currency, payment_timeout_ms) " +
        "VALUES (@Id, @Sku, @Title, @PriceCents, @ListPriceCents, @Currency, @PaymentTimeoutMs)",
        sale,
        transaction);
}

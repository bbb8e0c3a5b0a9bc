using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Modules.Catalog.Contracts;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Admission;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.Stocks;

/// <param name="Units">1 unless given.</param>
/// <param name="PriceCents">The price of one unit that the buyer saw and agrees to.</param>
public sealed record BuyRequest(int? Units, [property: Required] long? PriceCents, [property: Required] string? Currency);

/// <summary>
/// <c>POST /v1/products/{sku}/claims</c>: somebody buys a product outside of a sale. The way of a sale's claim (Platform/Pools/README.md), with two looks at the catalogue before it:
/// is there such a product, and does it cost what the buyer agrees to. The price goes along with the claim.
/// </summary>
internal sealed class BuyProduct(Products products, Stock stock, PoolClaims claims, ClaimAnswers answers, RateLimits limits, ClaimsAtOnce atOnce, StocksOptions options)
{
    private const int BodyBytesMax = 1_024;

    private static readonly Problem NotForSale = new(409, "not-for-sale", "Not for sale", "This product has no price or no stock, so it is not sold outside of sales.");

    public static void Map(IEndpointRouteBuilder routes) => routes
        .MapPost("/v1/products/{sku}/claims", (string sku, BuyRequest request, HttpContext context, BuyProduct buy) => buy.HandleAsync(sku, request, context)).For(AccessRule.User)
        .WithMetadata(new BodyLimit(BodyBytesMax)).WithTags("Claims").WithSummary("Buy a product outside of a sale")
        .WithDescription("Say the price that the buyer saw: the order has exactly that price, or there is none. Ask again with the same Idempotency-Key after a broken connection or a 503: it is the same claim, whatever the price is by then.")
        .TakesIdempotencyKey()
        .TakesHeader("Prefer", "wait=1 to wait=20: answer 201 with the order if it is written within so many seconds, else 202.", "wait=5")
        .Produces<HeldClaim>(202).Produces<ClaimView>(201).Produces<ClaimView>(200)
        .TellsWhere(202, "The claim.").TellsWhere(201, "The claim.").TellsWhere(200, "The claim.")
        .Refuses(404, "not-found").Refuses(409, "sold-out", "paused", "price-changed", "not-for-sale", "claim-rejected", "limit-reached")
        .Refuses(429, "rate-limited").Refuses(503, "queue-full", "overloaded")
        .WithExample(null, "one-unit", """{"units":1,"priceCents":7900,"currency":"EUR"}""")
        .WithExample(202, "held", """{"claimId":"236126107336710912","state":"held"}""")
        .WithExample(
            409, "price-changed",
            """{"type":"https://sluice.dev/problems/price-changed","title":"The price has changed","status":409,"detail":"Show the buyer the price of now and ask again.","code":"price-changed","priceCents":8900,"currency":"EUR"}""");

    private async Task HandleAsync(string sku, BuyRequest request, HttpContext context)
    {
        var user = context.UserId();
        if (await limits.Claims.CheckAsync(user) is { } tooSoon)
        {
            await ClaimAnswers.TooFast(tooSoon).ExecuteAsync(context);
            return;
        }

        var key = Idempotency.KeyOf(context.Request);
        if ((request.Units ?? 1) is not (>= 1 and var units) || units > options.UnitsPerOrderMax || request.PriceCents is not >= 0 || !Names.IsCurrency(request.Currency))
        {
            await Problem.Invalid($"Send {{\"units\":1,\"priceCents\":…,\"currency\":\"EUR\"}}: 1 to {options.UnitsPerOrderMax} units, and the price of one as the buyer saw it.").ExecuteAsync(context);
            return;
        }

        if (!Names.IsSku(sku))
        {
            await Problem.NotFound("product").ExecuteAsync(context);
            return;
        }

        var agreed = new AgreedPrice(request.PriceCents.Value, request.Currency!);
        var poolId = await stock.PoolOfAsync(sku);
        if (await RefuseAsync(sku, poolId, agreed) is { } refusal)
        {
            // A retry finds its claim whatever became of the product since.
            var had = poolId is { } asked && key is not null ? await claims.FindByKeyAsync(asked, Stock.Kind, user, key) : null;
            await (had is { } before ? answers.TellAsync(before, poolId!.Value, user, units, Where(poolId.Value), context) : refusal.ExecuteAsync(context));
            return;
        }

        await ClaimAsync(poolId!.Value, agreed, user, units, key, context);
    }

    private async Task ClaimAsync(long poolId, AgreedPrice agreed, string user, int units, string? key, HttpContext context)
    {
        if (claims.IsSoldOutFor(poolId, user))
        {
            await ClaimAnswers.NothingLeft.ExecuteAsync(context);
            return;
        }

        if (!atOnce.TryEnter(out var entered))
        {
            await ClaimAnswers.Overloaded().ExecuteAsync(context);
            return;
        }

        ClaimAnswer answer;
        try
        {
            answer = (await claims.ClaimAsync(poolId, Stock.Kind, user, units, key, agreed.Terms))!.Value;
        }
        finally
        {
            atOnce.Leave(entered);
        }

        await answers.TellAsync(answer, poolId, user, units, Where(poolId), context);
    }

    private async ValueTask<Problem?> RefuseAsync(string sku, long? poolId, AgreedPrice agreed)
    {
        if (Sells(await products.FindAsync(sku)) && poolId is not null)
        {
            return null;
        }

        // Another node may have changed it a moment ago, and the buyer has seen it there.
        var product = await products.FindNowAsync(sku);
        return product is null ? Problem.NotFound("product")
            : poolId is null || product.Prices.Count == 0 ? NotForSale
            : Sells(product) ? null
            : PriceChanged(product.Prices, agreed.Currency);

        bool Sells(SoldProduct? product) => product is not null && product.Prices.Any(price => price.AmountCents == agreed.Cents && price.Currency == agreed.Currency);
    }

    // A shop has more stocks than are looked through for a claim that SQL does not have yet, so the address says which one.
    private static string Where(long poolId) => $"?pool={poolId}";

    // In the buyer's currency, where there is one.
    private static Problem PriceChanged(IReadOnlyList<RetailPrice> prices, string currency)
    {
        var now = prices.FirstOrDefault(price => price.Currency == currency) ?? prices[0];
        return new(409, "price-changed", "The price has changed", "Show the buyer the price of now and ask again.")
        {
            More = new Dictionary<string, object>(StringComparer.Ordinal) { ["priceCents"] = now.AmountCents, ["currency"] = now.Currency },
        };
    }
}

using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Http;

namespace Sluice.Modules.FlashSales;

/// <summary>What the API document says of <c>POST /v1/flash-sales/{id}/claims</c>. Apart from the route, which is read for other reasons.</summary>
internal static class ClaimUnitsNotes
{
    private const string Claim =
        """
        {"claimId":"236126107336710912","saleId":"236126096028886144","units":1,"state":"confirmed","reason":null,"order":{"id":"236126107336710912",
        "saleId":"236126096028886144","sku":"kettle","title":"Copper kettle","units":1,"priceCents":4900,"amountCents":4900,"discountCents":0,"currency":"EUR",
        "state":"pending","kind":"flash-sale","createdAt":"2026-11-27T08:00:00.826Z","payBy":"2026-11-27T08:15:00.826Z","paidAt":null,"couponId":null}}
        """;

    public static RouteHandlerBuilder DescribeClaims(this RouteHandlerBuilder route) => route
        .WithDescription("No body means one unit. Ask again with the same Idempotency-Key after a broken connection or a 503: it is the same claim.")
        .TakesIdempotencyKey()
        .TakesHeader("Prefer", "wait=1 to wait=20: answer 201 with the order if it is written within so many seconds, else 202.", "wait=5")
        .Produces<HeldClaim>(202).Produces<ClaimView>(201).Produces<ClaimView>(200)
        .TellsWhere(202, "The claim.").TellsWhere(201, "The claim.").TellsWhere(200, "The claim.")
        .Refuses(409, "sold-out", "not-open", "paused", "closed", "limit-reached", "claim-rejected")
        .WithMetadata(new HeaderNote(409, "Retry-After", "Seconds, where waiting helps: not with closed and limit-reached."))
        .Refuses(429, "rate-limited").Refuses(503, "queue-full", "overloaded")
        .WithExample(null, "one-unit", """{"units":1}""")
        .WithExample(202, "held", """{"claimId":"236126107336710912","state":"held"}""")
        .WithExample(201, "confirmed", Claim)
        .WithExample(200, "had-before", Claim)
        .WithExample(
            409, "sold-out",
            """{"type":"https://sluice.dev/problems/sold-out","title":"Sold out","status":409,"detail":"Every unit is taken. Units of unpaid orders can come back.","code":"sold-out","leftUnits":0}""")
        .WithExample(
            409, "limit-reached",
            """
            {"type":"https://sluice.dev/problems/limit-reached","title":"You have your share","status":409,
            "detail":"Everybody gets so many units of it, and this would be more. Your claims are listed.","code":"limit-reached","claimIds":["236126107336710912"]}
            """);
}

using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.Coupons;

/// <param name="Kind"><c>fixed</c> with <c>AmountOffCents</c>, or <c>percent</c> with <c>PercentOff</c> and perhaps <c>MaximumOffCents</c>.</param>
/// <param name="MinimumCents">What an order must come to, 0 unless given.</param>
/// <param name="Units">Coupons that there are.</param>
/// <param name="PerUserLimit">Coupons that one user may get, 1 unless given.</param>
/// <param name="ClosesAt">From then on nobody gets one: not after <c>ValidUntil</c>, and that unless given.</param>
public sealed record CreateCouponTemplateRequest(
    [property: Required] string? Title,
    [property: Required] string? Kind,
    long? AmountOffCents,
    int? PercentOff,
    long? MinimumCents,
    long? MaximumOffCents,
    [property: Required] string? Currency,
    [property: Required] long? Units,
    int? PerUserLimit,
    string? OpensAt,
    string? ClosesAt,
    [property: Required] string? ValidUntil);

/// <summary><c>POST /v1/coupon-templates</c>: the template and its pool in one transaction, then the pool in Redis.</summary>
internal static class CreateCouponTemplate
{
    private const long CentsMax = 1_000_000_000_000, UnitsMax = 1_000_000_000;
    private const int PerUserLimitMax = 1_000, PercentMax = 100, TitleCharsMax = 200;

    public static void Map(IEndpointRouteBuilder routes) => routes.MapPost("/v1/coupon-templates", HandleAsync).For(AccessRule.Server)
        .WithTags("Coupons").WithSummary("Make a coupon template").Produces<CouponTemplateView>(201).Produces<CouponTemplateView>(200)
        .WithDescription("'fixed' takes 'amountOffCents' off an order, 'percent' takes 'percentOff' of it off, a part of a cent rounded down. Never more than the order comes to.")
        .TakesIdempotencyKey().TellsWhere(201, "The template.").TellsWhere(200, "The template.");

    private static async Task<IResult> HandleAsync(
        CreateCouponTemplateRequest request, HttpContext context, Idempotency idempotency, PoolStore pools, TemplateBoard board, ClaimIds ids, TimeProvider time)
    {
        if (Refuse(request, time.GetUtcNow(), out var template, out var opensAt, out var closesAt) is { } refusal)
        {
            return refusal;
        }

        var (id, isNew) = await idempotency.OnceAsync(
            Idempotency.KeyOf(context.Request), "POST /v1/coupon-templates", JsonSerializer.Serialize(request, CouponsJson.Default.CreateCouponTemplateRequest), async transaction =>
            {
                var id = ids.Next(template.Title);
                await transaction.Connection!.ExecuteAsync(
                    "INSERT INTO coupon_templates (id, title, amount_off_cents, percent_off, minimum_cents, maximum_off_cents, currency, valid_until) " +
                    "VALUES (@Id, @Title, @AmountOffCents, @PercentOff, @MinimumCents, @MaximumOffCents, @Currency, @ValidUntil)",
                    template with { Id = id },
                    transaction);
                await pools.CreateAsync(
                    transaction, id, CouponTemplate.Kind, template.Title, request.Units!.Value, request.PerUserLimit ?? 1, opensAt is null ? Gate.Draft : Gate.Open, opensAt, closesAt);
                return id;
            });
        await pools.ApplyAsync(id);
        board.Invalidate();
        context.Response.Headers.Location = $"/v1/coupon-templates/{id}";
        return Results.Json((await board.FindAsync(id))!.View, CouponsJson.Default.CouponTemplateView, statusCode: isNew ? 201 : 200);
    }

    private static Problem? Refuse(CreateCouponTemplateRequest request, DateTimeOffset now, out CouponTemplate template, out DateTimeOffset? opensAt, out DateTimeOffset closesAt)
    {
        template = null!;
        opensAt = null;
        var wrong = new List<string>();
        Must(Names.IsText(request.Title, TitleCharsMax), $"'title' has 1 to {TitleCharsMax} characters");
        Must(request.Kind is "fixed" or "percent", "'kind' is fixed or percent");
        Must(request.Kind != "fixed" || request is { AmountOffCents: >= 1 and <= CentsMax, PercentOff: null, MaximumOffCents: null }, $"'amountOffCents' is 1 to {CentsMax} where 'kind' is fixed, and there is no 'percentOff' and no 'maximumOffCents'");
        Must(request.Kind != "percent" || request is { PercentOff: >= 1 and <= PercentMax, AmountOffCents: null }, $"'percentOff' is 1 to {PercentMax} where 'kind' is percent, and there is no 'amountOffCents'");
        Must(request.MaximumOffCents is null or (>= 1 and <= CentsMax), $"'maximumOffCents' is 1 to {CentsMax}");
        Must(request.MinimumCents is null or (>= 0 and <= CentsMax), $"'minimumCents' is 0 to {CentsMax}");
        Must(Names.IsCurrency(request.Currency), "'currency' is an ISO 4217 code such as EUR");
        Must(request.Units is >= 0 and <= UnitsMax, $"'units' is 0 to {UnitsMax}");
        Must(request.PerUserLimit is null or (>= 1 and <= PerUserLimitMax), $"'perUserLimit' is 1 to {PerUserLimitMax}");
        Must(Names.TryTime(request.ValidUntil, out var validUntil) && validUntil > now, "'validUntil' is a time to come, such as 2026-12-31T23:59:59Z");
        if (request.OpensAt is not null)
        {
            Must(Names.TryTime(request.OpensAt, out var time) && time < validUntil, "'opensAt' is a time before 'validUntil', such as 2026-11-27T08:00:00Z");
            opensAt = time;
        }

        closesAt = validUntil;
        if (request.ClosesAt is not null)
        {
            Must(Names.TryTime(request.ClosesAt, out closesAt) && closesAt <= validUntil && closesAt > (opensAt ?? now), "'closesAt' is a time after the opening, and not after 'validUntil'");
        }

        if (wrong.Count > 0)
        {
            return Problem.Invalid(string.Join("; ", wrong) + ".");
        }

        template = new CouponTemplate(
            0, request.Title!, request.AmountOffCents, request.PercentOff, request.MinimumCents ?? 0, request.MaximumOffCents, request.Currency!, validUntil.ToUnixTimeMilliseconds());
        return null;

        void Must(bool holds, string says)
        {
            if (!holds)
            {
                wrong.Add(says);
            }
        }
    }
}

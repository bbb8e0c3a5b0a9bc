using System.Collections.Concurrent;
using Dapper;
using Sluice.Modules.Coupons.Contracts;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Coupons;

/// <summary>The row of <c>coupon_templates</c>: what never changes of the coupons that are issued of it. Units, gate and times are those of the pool with the same id.</summary>
/// <param name="ValidUntil">Unix milliseconds.</param>
[method: ExplicitConstructor]
internal sealed record CouponTemplate(long Id, string Title, long? AmountOffCents, long? PercentOff, long MinimumCents, long? MaximumOffCents, string Currency, long ValidUntil)
{
    /// <summary>The kind of pool that a template is.</summary>
    public const string Kind = "coupon";

    public const string Columns =
        "id AS Id, title AS Title, amount_off_cents AS AmountOffCents, percent_off AS PercentOff, minimum_cents AS MinimumCents, maximum_off_cents AS MaximumOffCents, currency AS Currency, valid_until AS ValidUntil";

    public CouponTerms Terms => new(AmountOffCents, PercentOff, MinimumCents, MaximumOffCents, Currency);

    /// <summary>On the wire: <c>fixed</c> or <c>percent</c>.</summary>
    public string KindName => AmountOffCents is null ? "percent" : "fixed";

    public CouponTemplateView ToView(Pool pool, long leftUnits, DateTimeOffset now) => new(
        Names.Id(Id), Title, KindName, AmountOffCents, (int?)PercentOff, MinimumCents, MaximumOffCents, Currency, pool.CapacityUnits, leftUnits, leftUnits == 0, pool.PerUserLimit, pool.StateAt(now),
        Utc(pool.OpensAt), Utc(pool.ClosesAt), Utc(ValidUntil)!.Value, pool.Version);

    public static DateTime? Utc(long? ms) => ms is { } value ? DateTimeOffset.FromUnixTimeMilliseconds(value).UtcDateTime : null;
}

/// <summary>A coupon template as others see it.</summary>
/// <param name="Id">Also its pool's.</param>
/// <param name="Kind"><c>fixed</c> or <c>percent</c>.</param>
/// <param name="Units">Coupons that there are.</param>
/// <param name="LeftUnits">A fraction of a second old; decides nothing.</param>
/// <param name="State"><c>draft</c>, <c>scheduled</c>, <c>open</c>, <c>paused</c>, <c>closed</c>.</param>
/// <param name="ValidUntil">Until then its coupons can be redeemed.</param>
public sealed record CouponTemplateView(
    string Id,
    string Title,
    string Kind,
    long? AmountOffCents,
    int? PercentOff,
    long MinimumCents,
    long? MaximumOffCents,
    string Currency,
    long Units,
    long LeftUnits,
    bool SoldOut,
    long PerUserLimit,
    string State,
    DateTime? OpensAt,
    DateTime? ClosesAt,
    DateTime ValidUntil,
    long Version);

/// <summary>Templates by their ids. They never change, so each is read once.</summary>
internal sealed class CouponTemplates(Database database)
{
    // Bounded by the templates whose coupons somebody has.
    private readonly ConcurrentDictionary<long, CouponTemplate> known = new();

    /// <summary>Templates of coupons that there are.</summary>
    public async ValueTask<CouponTemplate> FindAsync(long id)
    {
        if (!known.TryGetValue(id, out var template))
        {
            known[id] = template = await database.ReadAsync(connection => connection.QuerySingleAsync<CouponTemplate>($"SELECT {CouponTemplate.Columns} FROM coupon_templates WHERE id = @id", new { id }));
        }

        return template;
    }

    /// <summary>Coupons as their owner sees them now.</summary>
    public async Task<IReadOnlyList<CouponView>> ShowAsync(IEnumerable<Coupon> coupons, long now)
    {
        List<CouponView> views = [];
        foreach (var coupon in coupons)
        {
            views.Add(coupon.ToView(await FindAsync(coupon.TemplateId), now));
        }

        return views;
    }
}

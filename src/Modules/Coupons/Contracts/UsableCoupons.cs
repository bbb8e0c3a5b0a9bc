using System.Text.Json;
using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Coupons.Contracts;

/// <summary>The newest coupons of a user that can be redeemed, as a list: for answers that show it beside other things of that user. Kept until one of them changes or the first of them expires.</summary>
public sealed class UsableCoupons
{
    /// <summary>Coupons in it; <c>GET /v1/coupons</c> has all.</summary>
    public const int CouponsMax = 40;

    private readonly Database database;
    private readonly CouponTemplates templates;
    private readonly TimeProvider time;

    internal UsableCoupons(Database database, CouponTemplates templates, TimeProvider time) => (this.database, this.templates, this.time) = (database, templates, time);

    /// <param name="known">The version that the caller has seen, 0 = none.</param>
    public CachePart Of(string userId, long known) => new(Coupon.KeyOf(userId), () => LoadAsync(userId), known);

    // Each coupon counts its own changes, and one when it has expired: so the version grows also with what time alone does.
    private async Task<CachedAnswer> LoadAsync(string userId)
    {
        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        var (version, coupons) = await database.ReadAsync(
            async connection => (
                await connection.QuerySingleAsync<long>(
                    "SELECT COALESCE(SUM(version + CASE WHEN valid_until <= @now THEN 1 ELSE 0 END), 0) FROM coupons WHERE id IN (SELECT id FROM claims WHERE user_id = @userId)", new { userId, now }),
                (await connection.QueryAsync<Coupon>(
                    $"SELECT {Coupon.Columns} FROM coupons WHERE id IN (SELECT id FROM claims WHERE user_id = @userId) AND state = 0 AND valid_until > @now ORDER BY id DESC LIMIT @CouponsMax",
                    new { userId, now, CouponsMax })).AsList()),
            ReadFrom.Reader);
        return new CachedAnswer(version, JsonSerializer.SerializeToUtf8Bytes(await templates.ShowAsync(coupons, now), CouponsJson.Default.IReadOnlyListCouponView))
        {
            Lasts = coupons.Count == 0 ? null : TimeSpan.FromMilliseconds(coupons.Min(coupon => coupon.ValidUntil) - now),
        };
    }
}

using System.Data.Common;
using Dapper;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Cache;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Coupons;

/// <summary>A claim of a template becomes a coupon, in the same transaction; its id is the claim's.</summary>
internal sealed class CouponKind(CouponTemplates templates, OrderCoupons orders, Database database, CacheChanges changes) : IPoolKind
{
    private const int CouponsPerLook = 5_000;

    private readonly BatchInsert insert = new("coupons", "id", "template_id", "user_id", "valid_until");

    public string Kind => CouponTemplate.Kind;

    public bool MakesOrders => false;

    public IReadOnlyList<CacheKey> KeysOf(string userId) => [Coupon.KeyOf(userId)];

    public async Task WriteAsync(DbTransaction transaction, long poolId, IReadOnlyList<Claim> claims)
    {
        var template = await templates.FindAsync(poolId);
        await insert.RunAsync(transaction, claims.Count, (row, column) => column switch
        {
            0 => claims[row].Id,
            1 => poolId,
            2 => claims[row].UserId,
            _ => template.ValidUntil,
        });
    }

    public Task WrittenAsync(IReadOnlyList<Claim> claims) => changes.TellUnnotedAsync([.. claims.Select(claim => claim.UserId).Distinct(StringComparer.Ordinal).Select(Coupon.KeyOf)]);

    public async Task<IReadOnlyList<AuditCheck>> AuditAsync(DbConnection snapshot, long poolId, IReadOnlyList<long> lanes)
    {
        var parameters = new { poolId, lanes = SqlList.Of(lanes), confirmed = ClaimState.Confirmed };
        Task<long> Number(string sql) => snapshot.QuerySingleAsync<long>(sql, parameters);
        var (twice, astray) = await LookAtOrdersAsync(snapshot, poolId);
        return
        [
            AuditCheck.Equal(
                "one-coupon-per-claim",
                await Number("SELECT COUNT(*) FROM claims c WHERE c.pool_id IN @lanes AND c.state = @confirmed"),
                await Number("SELECT COUNT(*) FROM coupons k WHERE k.template_id = @poolId"),
                "As many coupons as confirmed claims."),
            AuditCheck.Equal(
                "no-claim-without-coupon", 0,
                await Number("SELECT COUNT(*) FROM claims c LEFT JOIN coupons k ON k.id = c.id AND k.user_id = c.user_id WHERE c.pool_id IN @lanes AND c.state = @confirmed AND k.id IS NULL"),
                "Each confirmed claim has a coupon of the same user."),
            AuditCheck.Equal(
                "no-coupon-without-claim", 0,
                await Number("SELECT COUNT(*) FROM coupons k LEFT JOIN claims c ON c.id = k.id WHERE k.template_id = @poolId AND c.id IS NULL"),
                "Each coupon has its claim."),
            AuditCheck.Equal("no-coupon-at-two-orders", 0, twice, "No coupon is at two orders that are open or paid."),
            AuditCheck.Equal("coupons-know-their-order", 0, astray, "A coupon that is at an open or paid order is held by it, and by no other."),
        ];
    }

    // The coupons first, the orders after them: with shards there is no one snapshot of both, so what differs is looked up once more.
    private async Task<(long Twice, long Astray)> LookAtOrdersAsync(DbConnection snapshot, long templateId)
    {
        var (twice, astray) = (0L, 0L);
        for (var last = 0L; ;)
        {
            var coupons = (await snapshot.QueryAsync<Coupon>(
                $"SELECT {Coupon.Columns} FROM coupons WHERE template_id = @templateId AND id > @last ORDER BY id LIMIT @CouponsPerLook", new { templateId, last, CouponsPerLook })).ToDictionary(coupon => coupon.Id);
            if (coupons.Count == 0)
            {
                return (twice, astray);
            }

            last = coupons.Keys.Max();
            var holders = await orders.HoldersAsync(snapshot, coupons.Keys);
            twice += holders.GroupBy(holder => holder.CouponId).Count(some => some.Count() > 1);
            var differing = holders.Where(holder => coupons[holder.CouponId].OrderId != holder.OrderId).ToList();
            if (differing.Count > 0)
            {
                var now = (await database.ReadAsync(connection => connection.QueryAsync<Coupon>(
                    $"SELECT {Coupon.Columns} FROM coupons WHERE id IN @ids", new { ids = SqlList.Of(differing.Select(holder => holder.CouponId)) }))).ToDictionary(coupon => coupon.Id);
                astray += differing.Count(holder => now[holder.CouponId].OrderId != holder.OrderId);
            }
        }
    }
}

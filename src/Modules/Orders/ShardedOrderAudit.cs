using System.Data.Common;
using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders;

/// <summary>
/// The same proof where orders are at shards. There is no one snapshot of several databases, so it goes by the order in which things happen: a claim is committed with its order in the outbox, copied, and deleted there;
/// an order is ended at its shard before its claim is released in the main database. The main database is read first, the shards after it, and what differs is looked up in the main database once more before it is called wrong.
/// </summary>
internal sealed class ShardedOrderAudit(Shards shards, TimeProvider time)
{
    private const int ClaimsPerLook = 5_000;

    private static readonly TimeSpan WayMax = TimeSpan.FromMinutes(1);

    private long accepted, orders, missing, strange, disagreeing, unpaid, misplaced, late;

    /// <inheritdoc cref="Contracts.PlacedOrders.AuditAsync"/>
    public async Task<IReadOnlyList<AuditCheck>> RunAsync(DbConnection home, long saleId, IReadOnlyList<long> pools)
    {
        var before = time.GetUtcNow().ToUnixTimeMilliseconds() - (long)WayMax.TotalMilliseconds;
        late = await home.QuerySingleAsync<long>("SELECT COUNT(*) FROM order_outbox WHERE sale_id = @saleId AND created_at < @before", new { saleId, before });

        misplaced = await MisplacedAsync(home, saleId, shards.All.Where(shard => shard.IsMain).SelectMany(shards.BucketsOf));
        for (var last = 0L; await NextAsync(home, pools, last) is { Count: > 0 } claims; last = claims[^1].Id)
        {
            await LookAsync(home, claims);
        }

        foreach (var shard in shards.All)
        {
            await (shard.IsMain ? LookBackAsync(home, shard, saleId, before) : shard.Database.ReadAsync(async connection =>
            {
                await LookBackAsync(connection, shard, saleId, before);
                return true;
            }));
        }

        return
        [
            AuditCheck.Equal("one-order-per-claim", accepted, orders, "As many orders as accepted claims."),
            AuditCheck.Equal("no-claim-without-order", 0, missing, "Each accepted claim has an order of the same user and units, at its shard or on the way there."),
            AuditCheck.Equal("no-order-without-claim", 0, strange, "Each order has its claim."),
            AuditCheck.Equal("orders-and-claims-agree", 0, disagreeing, "Open and paid orders hold their units, cancelled and expired ones gave them back."),
            AuditCheck.Equal("paid-orders-have-their-payment", 0, unpaid, "An order is paid exactly if a payment of its amount was applied."),
            AuditCheck.Equal("orders-at-their-shard", 0, misplaced, "Each order is at the shard of its user, and nowhere else."),
            AuditCheck.Equal("nothing-waits-long-for-a-shard", 0, late, "No order has waited for its shard, and no release for the main database, for more than a minute."),
        ];
    }

    private static async Task<List<ClaimRow>> NextAsync(DbConnection home, IReadOnlyList<long> pools, long last) => (await home.QueryAsync<ClaimRow>(
        "SELECT id AS Id, user_id AS UserId, units AS Units, state AS State FROM claims WHERE pool_id IN @pools AND state IN (@confirmed, @released) AND id > @last ORDER BY id LIMIT @ClaimsPerLook",
        new { pools = SqlList.Of(pools), confirmed = ClaimState.Confirmed, released = ClaimState.Released, last, ClaimsPerLook })).AsList();

    // From claims to orders: each has one, as it should be.
    private async Task LookAsync(DbConnection home, List<ClaimRow> claims)
    {
        accepted += claims.Count;
        var waiting = (await home.QueryAsync<OrderRow>(
            "SELECT id AS Id, user_id AS UserId, units AS Units, state AS State, 0 AS IsDue FROM order_outbox WHERE id IN @ids", new { ids = SqlList.Of(claims.Select(claim => claim.Id)) })).ToDictionary(order => order.Id);
        foreach (var some in claims.GroupBy(claim => shards.Of(claim.Id)))
        {
            var ids = SqlList.Of(some.Select(claim => claim.Id));
            var here = (some.Key.IsMain ? await OrdersAsync(home, ids) : await some.Key.Database.ReadAsync(connection => OrdersAsync(connection, ids))).ToDictionary(order => order.Id);
            var differing = new List<long>();
            foreach (var claim in some)
            {
                if ((here.TryGetValue(claim.Id, out var order) || waiting.TryGetValue(claim.Id, out order)) && order.UserId == claim.UserId && order.Units == claim.Units)
                {
                    orders++;
                    if (order.IsEnded != (claim.State == ClaimState.Released) && !order.IsOnItsWay)
                    {
                        differing.Add(claim.Id);
                    }
                }
                else
                {
                    missing++;
                }
            }

            disagreeing += await StillDifferAsync(differing, here);
        }
    }

    // The shard was read after the main database: what it has ended since may be released in the main database by now.
    private async Task<long> StillDifferAsync(List<long> claimIds, Dictionary<long, OrderRow> orders) => claimIds.Count == 0 ? 0 : (await shards.Main.ReadAsync(connection => connection.QueryAsync<(long Id, ClaimState State)>(
        "SELECT id, state FROM claims WHERE id IN @ids", new { ids = SqlList.Of(claimIds) }))).Count(claim => orders.GetValueOrDefault(claim.Id)?.IsEnded != (claim.State == ClaimState.Released));

    private static Task<IEnumerable<OrderRow>> OrdersAsync(DbConnection connection, SqlList ids) => connection.QueryAsync<OrderRow>(
        "SELECT o.id AS Id, o.user_id AS UserId, o.units AS Units, o.state AS State, CASE WHEN r.returned = 0 THEN 1 ELSE 0 END AS IsDue FROM orders o LEFT JOIN releases r ON r.claim_id = o.id WHERE o.id IN @ids", new { ids });

    // From orders to claims, and what concerns orders alone.
    private async Task LookBackAsync(DbConnection connection, Shard shard, long saleId, long before)
    {
        for (var last = 0L; ;)
        {
            var ids = (await connection.QueryAsync<long>("SELECT id FROM orders WHERE sale_id = @saleId AND id > @last ORDER BY id LIMIT @ClaimsPerLook", new { saleId, last, ClaimsPerLook })).AsList();
            if (ids.Count == 0)
            {
                break;
            }

            last = ids[^1];
            strange += ids.Count - (shard.IsMain ? await CountClaimsAsync(connection, ids) : await shards.Main.ReadAsync(home => CountClaimsAsync(home, ids)));
        }

        unpaid += await connection.QuerySingleAsync<long>(
            "SELECT COUNT(*) FROM orders o WHERE o.sale_id = @saleId AND (o.state = @paid) <> " +
            "(EXISTS (SELECT 1 FROM payments p WHERE p.order_id = o.id AND p.outcome = @applied AND p.amount_cents = o.price_cents * o.units - o.discount_cents))",
            new { saleId, paid = OrderState.Paid, applied = PaymentOutcome.Applied });
        if (!shard.IsMain)
        {
            misplaced += await MisplacedAsync(connection, saleId, shards.BucketsOf(shard));
            late += await connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM releases WHERE returned = 0 AND pool_id = @saleId AND released_at < @before", new { saleId, before });
        }
    }

    // Not "NOT IN": with no bucket at all that would count nothing.
    private static Task<long> MisplacedAsync(DbConnection connection, long saleId, IEnumerable<long> buckets) => connection.QuerySingleAsync<long>(
        "SELECT COUNT(CASE WHEN user_bucket IN @buckets THEN NULL ELSE 1 END) FROM orders WHERE sale_id = @saleId", new { saleId, buckets = SqlList.Of(buckets) });

    private static Task<long> CountClaimsAsync(DbConnection home, List<long> ids) => home.QuerySingleAsync<long>(
        "SELECT COUNT(*) FROM claims WHERE id IN @ids AND state IN (@confirmed, @released)", new { ids = SqlList.Of(ids), confirmed = ClaimState.Confirmed, released = ClaimState.Released });

    [method: ExplicitConstructor]
    private sealed record ClaimRow(long Id, string UserId, long Units, ClaimState State);

    [method: ExplicitConstructor]
    private sealed record OrderRow(long Id, string UserId, long Units, OrderState State, long IsDue)
    {
        public bool IsEnded => State is OrderState.Cancelled or OrderState.Expired;

        /// <summary>Ended at a shard, and home does not know yet; or home has released it, and the shard has not noted that yet.</summary>
        public bool IsOnItsWay => IsEnded && IsDue != 0;
    }
}

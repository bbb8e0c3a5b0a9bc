using System.Data.Common;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders;

/// <summary>Writes orders as they are to where they belong: on their way to a shard, or from one shard to another.</summary>
internal static class OrderRows
{
    private static readonly string[] Columns = ["id", "sale_id", "user_id", "sku", "title", "units", "price_cents", "currency", "state", "created_at", "pay_by", "paid_at", "discount_cents", "coupon_id", "coupon_turns"];

    private static readonly BatchInsert AtMain = new("orders", Columns), AtShard = new("orders", [.. Columns, "kind"]);

    /// <summary>Inserts them; an order that is there is passed over.</summary>
    /// <param name="shard">Where the transaction is.</param>
    public static Task InsertAsync(DbTransaction transaction, Shard shard, IReadOnlyList<Order> orders) => (shard.IsMain ? AtMain : AtShard).RunAsync(transaction, orders.Count, (row, column) => column switch
    {
        0 => orders[row].Id,
        1 => orders[row].SaleId,
        2 => orders[row].UserId,
        3 => orders[row].Sku,
        4 => orders[row].Title,
        5 => orders[row].Units,
        6 => orders[row].PriceCents,
        7 => orders[row].Currency,
        8 => (int)orders[row].State,
        9 => orders[row].CreatedAt,
        10 => orders[row].PayBy,
        11 => orders[row].PaidAt,
        12 => orders[row].DiscountCents,
        13 => orders[row].CouponId,
        14 => orders[row].CouponTurns,
        _ => orders[row].Kind,
    });
}

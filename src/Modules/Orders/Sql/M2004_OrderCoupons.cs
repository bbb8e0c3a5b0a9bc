using FluentMigrator;

namespace Sluice.Modules.Orders.Sql;

/// <summary>
/// What a coupon takes off an order. The engine itself lets no discount be below 0 or above the price, and no coupon be at two orders that are open or paid: a user's orders are all in one database, and a coupon is one user's.
/// </summary>
[Migration(2004)]
public sealed class M2004_OrderCoupons : Migration
{
    private const string
        Live = "GENERATED ALWAYS AS (CASE WHEN state IN (0, 1) THEN coupon_id END) VIRTUAL",
        Bounds = "CHECK (discount_cents >= 0 AND discount_cents <= price_cents * units AND (discount_cents = 0 OR coupon_id IS NOT NULL))";

    public override void Up()
    {
        IfDatabase("sqlite").Execute.Sql("ALTER TABLE orders ADD COLUMN coupon_id INTEGER NULL");
        IfDatabase("sqlite").Execute.Sql("ALTER TABLE orders ADD COLUMN coupon_turns INTEGER NOT NULL DEFAULT 0");
        IfDatabase("sqlite").Execute.Sql($"ALTER TABLE orders ADD COLUMN discount_cents INTEGER NOT NULL DEFAULT 0 {Bounds}");
        IfDatabase("sqlite").Execute.Sql($"ALTER TABLE orders ADD COLUMN live_coupon_id INTEGER {Live}");
        IfDatabase("sqlite").Execute.Sql("CREATE UNIQUE INDEX uq_orders_coupon ON orders (live_coupon_id) WHERE live_coupon_id IS NOT NULL");
        IfDatabase("mysql").Execute.Sql(
            "ALTER TABLE orders ADD COLUMN coupon_id BIGINT NULL, ADD COLUMN coupon_turns INT NOT NULL DEFAULT 0, ADD COLUMN discount_cents BIGINT NOT NULL DEFAULT 0, " +
            $"ADD COLUMN live_coupon_id BIGINT {Live}, ADD UNIQUE INDEX uq_orders_coupon (live_coupon_id), ADD CONSTRAINT ck_orders_discount {Bounds}");
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

using FluentMigrator;

namespace Sluice.Modules.Orders.Sql;

/// <summary>Orders and their payments. An order's id is its claim's id, so a claim delivered twice cannot become two orders.</summary>
[Migration(2001)]
public sealed class M2001_Orders : Migration
{
    public override void Up()
    {
        Create.Table("orders")
            .WithColumn("id").AsInt64().PrimaryKey()
            .WithColumn("sale_id").AsInt64().NotNullable()
            .WithColumn("user_id").AsString(64).NotNullable()
            .WithColumn("sku").AsString(64).NotNullable()
            .WithColumn("title").AsString(200).NotNullable()
            .WithColumn("units").AsInt32().NotNullable()
            .WithColumn("price_cents").AsInt64().NotNullable()
            .WithColumn("currency").AsString(3).NotNullable()
            .WithColumn("state").AsInt32().NotNullable()
            .WithColumn("created_at").AsInt64().NotNullable()
            .WithColumn("pay_by").AsInt64().NotNullable()
            .WithColumn("paid_at").AsInt64().Nullable();

        // None by user: users come in no order, and a second index in no order doubled the cost of an order. The claims have one, and an order's id is its claim's.
        IfDatabase("sqlite").Execute.Sql("CREATE INDEX ix_orders_unpaid ON orders (pay_by) WHERE state = 0");
        IfDatabase("mysql").Execute.Sql("CREATE INDEX ix_orders_unpaid ON orders (state, pay_by)");
        Create.Index("ix_orders_sale").OnTable("orders").OnColumn("sale_id").Ascending();

        Create.Table("payments")
            .WithColumn("payment_id").AsString(64).PrimaryKey()
            .WithColumn("order_id").AsInt64().NotNullable().Indexed("ix_payments_order")
            .WithColumn("amount_cents").AsInt64().NotNullable()
            .WithColumn("currency").AsString(3).NotNullable()
            .WithColumn("outcome").AsInt32().NotNullable()
            .WithColumn("received_at").AsInt64().NotNullable();
        IfDatabase("sqlite").Execute.Sql("CREATE UNIQUE INDEX uq_payments_applied ON payments (order_id) WHERE outcome = 1");
        IfDatabase("mysql").Execute.Sql(
            "ALTER TABLE payments ADD COLUMN applied_order_id BIGINT GENERATED ALWAYS AS (CASE WHEN outcome = 1 THEN order_id END) VIRTUAL, ADD UNIQUE INDEX uq_payments_applied (applied_order_id)");
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

using FluentMigrator;

namespace Sluice.Modules.Orders.Sql;

/// <summary>
/// Where orders wait for the way to their shard, and which order a payment is of, in the main database; both empty where there are no shards. The bucket of an order's user, computed from the order's id and stored nowhere:
/// for statements, and for an engine that is to spread the rows by it. docs/adr/0012.
/// </summary>
[Migration(2002)]
public sealed class M2002_OrderOutbox : Migration
{
    public override void Up()
    {
        Create.Table("order_outbox")
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
            .WithColumn("shard").AsInt32().NotNullable();

        // Of a shard that is away there may be many.
        Create.Index("ix_order_outbox_shard").OnTable("order_outbox").OnColumn("shard").Ascending().OnColumn("id").Ascending();

        Create.Table("payment_ids").WithColumn("payment_id").AsString(64).PrimaryKey().WithColumn("order_id").AsInt64().NotNullable();

        IfDatabase("sqlite").Execute.Sql("ALTER TABLE orders ADD COLUMN user_bucket INTEGER GENERATED ALWAYS AS ((id >> 7) & 255) VIRTUAL");
        IfDatabase("sqlite").Execute.Sql("ALTER TABLE payments ADD COLUMN user_bucket INTEGER GENERATED ALWAYS AS ((order_id >> 7) & 255) VIRTUAL");
        IfDatabase("mysql").Execute.Sql("ALTER TABLE orders ADD COLUMN user_bucket INT GENERATED ALWAYS AS ((id >> 7) & 255) VIRTUAL");
        IfDatabase("mysql").Execute.Sql("ALTER TABLE payments ADD COLUMN user_bucket INT GENERATED ALWAYS AS ((order_id >> 7) & 255) VIRTUAL");
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

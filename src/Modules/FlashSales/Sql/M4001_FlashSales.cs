using FluentMigrator;

namespace Sluice.Modules.FlashSales.Sql;

/// <summary>What a flash sale is beyond its pool.</summary>
[Migration(4001)]
public sealed class M4001_FlashSales : Migration
{
    public override void Up() => Create.Table("flash_sales")
        .WithColumn("id").AsInt64().PrimaryKey()
        .WithColumn("sku").AsString(64).NotNullable()
        .WithColumn("title").AsString(200).NotNullable()
        .WithColumn("price_cents").AsInt64().NotNullable()
        .WithColumn("list_price_cents").AsInt64().Nullable()
        .WithColumn("currency").AsString(3).NotNullable()
        .WithColumn("payment_timeout_ms").AsInt64().NotNullable();

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

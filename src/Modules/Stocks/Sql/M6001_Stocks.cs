using FluentMigrator;

namespace Sluice.Modules.Stocks.Sql;

/// <summary>Which pool is a product's stock. Units, gate and version are the pool's.</summary>
[Migration(6001)]
public sealed class M6001_Stocks : Migration
{
    public override void Up() => Create.Table("stocks")
        .WithColumn("sku").AsString(64).PrimaryKey()
        .WithColumn("pool_id").AsInt64().NotNullable().Unique("uq_stocks_pool");

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

using FluentMigrator;

namespace Sluice.Modules.Catalog.Sql;

/// <summary>Products by sku.</summary>
[Migration(3001)]
public sealed class M3001_Products : Migration
{
    public override void Up() => Create.Table("products")
        .WithColumn("sku").AsString(64).PrimaryKey()
        .WithColumn("title").AsString(200).NotNullable()
        .WithColumn("description").AsString(4_000).Nullable()
        .WithColumn("image_url").AsString(200).Nullable()
        .WithColumn("version").AsInt64().NotNullable();

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

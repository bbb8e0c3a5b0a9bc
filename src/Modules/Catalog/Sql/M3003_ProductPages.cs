using FluentMigrator;

namespace Sluice.Modules.Catalog.Sql;

/// <summary>The index in which a page of the catalogue stands as it is shown: newest first, and by sku. MariaDB does not read the one of before backwards for that, and sorted every listed product for each page.</summary>
[Migration(3003)]
public sealed class M3003_ProductPages : Migration
{
    public override void Up()
    {
        // The new one first: no moment is without one.
        Create.Index("ix_products_page").OnTable("products").OnColumn("is_listed").Ascending().OnColumn("position").Descending().OnColumn("sku").Ascending();
        Delete.Index("ix_products_position").OnTable("products");
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

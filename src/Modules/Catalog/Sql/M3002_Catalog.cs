using FluentMigrator;

namespace Sluice.Modules.Catalog.Sql;

/// <summary>Prices, pictures, attributes, categories, words to search by, and the version of it all.</summary>
[Migration(3002)]
public sealed class M3002_Catalog : Migration
{
    public override void Up()
    {
        // What is always read whole: prices, pictures, attributes and the names of categories, as JSON. Of a product that is gone its version stays, so that it never goes back.
        Alter.Table("products").AddColumn("details").AsString(int.MaxValue).Nullable();
        Alter.Table("products").AddColumn("is_listed").AsInt32().NotNullable().WithDefaultValue(1);
        Alter.Table("products").AddColumn("is_gone").AsInt32().NotNullable().WithDefaultValue(0);
        Alter.Table("products").AddColumn("position").AsInt64().NotNullable().WithDefaultValue(0);
        Create.Index("ix_products_position").OnTable("products").OnColumn("is_listed").Ascending().OnColumn("position").Ascending().OnColumn("sku").Ascending();
        Create.Table("categories")
            .WithColumn("slug").AsString(64).PrimaryKey()
            .WithColumn("title").AsString(100).NotNullable()
            .WithColumn("parent").AsString(64).Nullable()
            .WithColumn("position").AsInt32().NotNullable()
            .WithColumn("version").AsInt64().NotNullable();
        Create.Table("product_categories")
            .WithColumn("slug").AsString(64).PrimaryKey()
            .WithColumn("sku").AsString(64).PrimaryKey();
        Create.Index("ix_product_categories_sku").OnTable("product_categories").OnColumn("sku").Ascending();
        Create.Table("product_words")
            .WithColumn("word").AsString(40).PrimaryKey()
            .WithColumn("sku").AsString(64).PrimaryKey()
            .WithColumn("weight").AsInt32().NotNullable();
        Create.Index("ix_product_words_sku").OnTable("product_words").OnColumn("sku").Ascending();
        Create.Table("catalog_version")
            .WithColumn("id").AsInt32().PrimaryKey()
            .WithColumn("version").AsInt64().NotNullable();
        Insert.IntoTable("catalog_version").Row(new { id = 1, version = 1 });
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

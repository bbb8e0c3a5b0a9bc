using FluentMigrator;

namespace Sluice.Platform.Sql;

/// <summary>The map of the shards, in the main database; and in each shard a row that says which one it is. Empty where there are none. docs/adr/0012.</summary>
[Migration(1007)]
public sealed class M1007_Shards : Migration
{
    public override void Up()
    {
        // One row.
        Create.Table("shard_map")
            .WithColumn("id").AsInt32().PrimaryKey()
            .WithColumn("shop").AsString(32).NotNullable()
            .WithColumn("shards").AsInt32().NotNullable()
            .WithColumn("version").AsInt64().NotNullable()
            .WithColumn("is_moving").AsInt32().NotNullable();
        Create.Table("shard_buckets")
            .WithColumn("bucket").AsInt32().PrimaryKey()
            .WithColumn("shard").AsInt32().NotNullable();

        // One row, in each shard.
        Create.Table("shard_identity")
            .WithColumn("id").AsInt32().PrimaryKey()
            .WithColumn("shop").AsString(32).NotNullable()
            .WithColumn("shard").AsInt32().NotNullable();
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

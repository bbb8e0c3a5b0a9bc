using FluentMigrator;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders.Sql;

/// <summary>What orders need where there are no pools and no claims beside them: what they were bought in, and an index in which a user's are found. Only in shards other than the main database.</summary>
[Migration(2003)]
[Tags(Migrations.OfShard)]
public sealed class M2003_OrdersOfShard : Migration
{
    public override void Up()
    {
        Alter.Table("orders").AddColumn("kind").AsString(32).NotNullable().WithDefaultValue("");
        Create.Index("ix_orders_user").OnTable("orders").OnColumn("user_id").Ascending().OnColumn("id").Ascending();
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

using FluentMigrator;

namespace Sluice.Platform.Pools.Sql;

/// <summary>Pools that are sold from in several lanes: each lane has a row of its own. docs/adr/0017.</summary>
[Migration(1005)]
public sealed class M1005_PoolLanes : Migration
{
    public override void Up()
    {
        Alter.Table("pools").AddColumn("lanes").AsInt32().NotNullable().WithDefaultValue(1);
        Alter.Table("pools").AddColumn("root_id").AsInt64().Nullable();
        Alter.Table("pools").AddColumn("taking_for").AsInt64().Nullable();
        Create.Index("ix_pools_root").OnTable("pools").OnColumn("root_id").Ascending();
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

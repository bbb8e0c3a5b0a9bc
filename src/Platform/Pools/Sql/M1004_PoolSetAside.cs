using FluentMigrator;

namespace Sluice.Platform.Pools.Sql;

/// <summary>Units of a pool that Redis does not get: SQL sells them when Redis is away. docs/adr/0013.</summary>
[Migration(1004)]
public sealed class M1004_PoolSetAside : Migration
{
    public override void Up()
    {
        Alter.Table("pools").AddColumn("set_aside_units").AsInt64().NotNullable().WithDefaultValue(0);
        Alter.Table("pools").AddColumn("sold_aside_units").AsInt64().NotNullable().WithDefaultValue(0);
        Alter.Table("pools").AddColumn("taking_units").AsInt64().NotNullable().WithDefaultValue(0);
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

using FluentMigrator;

namespace Sluice.Platform.Pools.Sql;

/// <summary>How often a pool was rebuilt in Redis: a batch that was peeked before a rebuild is not written after it.</summary>
[Migration(1003)]
public sealed class M1003_PoolGeneration : Migration
{
    public override void Up() => Alter.Table("pools").AddColumn("generation").AsInt64().NotNullable().WithDefaultValue(0);

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

using FluentMigrator;
using Sluice.Platform.Sql;

namespace Sluice.Platform.Cache.Sql;

/// <summary>Changes that caches are to be told of; a row lives for about half a second.</summary>
[Migration(1006), InEveryDatabase]
public sealed class M1006_CacheChanges : Migration
{
    public override void Up() => Create.Table("cache_changes")
        .WithColumn("id").AsInt64().PrimaryKey()
        .WithColumn("cache_key").AsString(200).NotNullable()
        .WithColumn("is_private").AsInt32().NotNullable()
        .WithColumn("made_at").AsInt64().NotNullable().Indexed("ix_cache_changes_made");

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

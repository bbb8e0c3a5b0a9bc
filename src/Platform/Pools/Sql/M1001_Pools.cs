using FluentMigrator;

namespace Sluice.Platform.Pools.Sql;

/// <summary>Pools, claims, releases, adjustments. Times are Unix milliseconds; a claim's row exists from the moment the worker wrote it.</summary>
[Migration(1001)]
public sealed class M1001_Pools : Migration
{
    public override void Up()
    {
        Create.Table("pools")
            .WithColumn("id").AsInt64().PrimaryKey()
            .WithColumn("kind").AsString(32).NotNullable()
            .WithColumn("title").AsString(200).NotNullable()
            .WithColumn("initial_units").AsInt64().NotNullable()
            .WithColumn("capacity_units").AsInt64().NotNullable()
            .WithColumn("claimed_units").AsInt64().NotNullable()
            .WithColumn("per_user_limit").AsInt32().NotNullable()
            .WithColumn("gate").AsInt32().NotNullable()
            .WithColumn("opens_at").AsInt64().Nullable()
            .WithColumn("closes_at").AsInt64().Nullable()
            .WithColumn("version").AsInt64().NotNullable()
            .WithColumn("applied_version").AsInt64().NotNullable()
            .WithColumn("created_at").AsInt64().NotNullable();

        Create.Table("pool_adjustments")
            .WithColumn("id").AsInt64().PrimaryKey()
            .WithColumn("pool_id").AsInt64().NotNullable().Indexed("ix_pool_adjustments_pool")
            .WithColumn("units").AsInt64().NotNullable()
            .WithColumn("created_at").AsInt64().NotNullable();

        Create.Table("claims")
            .WithColumn("id").AsInt64().PrimaryKey()
            .WithColumn("pool_id").AsInt64().NotNullable()
            .WithColumn("user_id").AsString(64).NotNullable()
            .WithColumn("units").AsInt32().NotNullable()
            .WithColumn("idempotency_key").AsString(64).Nullable()
            .WithColumn("ordinal").AsInt32().Nullable()
            .WithColumn("state").AsInt32().NotNullable()
            .WithColumn("reason").AsString(64).Nullable()
            .WithColumn("written_at").AsInt64().NotNullable();

        // The n-th claim that a user holds in a pool. NULL once released, and NULLs are distinct, so the place is free again.
        // The user first: the one index in which a user's claims, and with them the orders, are found.
        Create.Index("uq_claims_user_pool_ordinal").OnTable("claims")
            .OnColumn("user_id").Ascending().OnColumn("pool_id").Ascending().OnColumn("ordinal").Ascending().WithOptions().Unique();
        Create.Index("ix_claims_pool").OnTable("claims").OnColumn("pool_id").Ascending();
        // MySQL has no partial indexes: there NULLs, which are distinct, are in the index too, and further down what an index is for comes first in it.
        IfDatabase("sqlite").Execute.Sql(
            "CREATE UNIQUE INDEX uq_claims_pool_user_key ON claims (pool_id, user_id, idempotency_key) WHERE idempotency_key IS NOT NULL");
        IfDatabase("mysql").Execute.Sql("CREATE UNIQUE INDEX uq_claims_pool_user_key ON claims (pool_id, user_id, idempotency_key)");

        Create.Table("releases")
            .WithColumn("claim_id").AsInt64().PrimaryKey()
            .WithColumn("pool_id").AsInt64().NotNullable()
            .WithColumn("user_id").AsString(64).NotNullable()
            .WithColumn("units").AsInt32().NotNullable()
            .WithColumn("returned").AsInt32().NotNullable()
            .WithColumn("released_at").AsInt64().NotNullable();
        IfDatabase("sqlite").Execute.Sql("CREATE INDEX ix_releases_open ON releases (pool_id) WHERE returned = 0");
        IfDatabase("mysql").Execute.Sql("CREATE INDEX ix_releases_open ON releases (returned, pool_id)");
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

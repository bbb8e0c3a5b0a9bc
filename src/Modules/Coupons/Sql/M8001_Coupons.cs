using FluentMigrator;

namespace Sluice.Modules.Coupons.Sql;

/// <summary>
/// Coupon templates, and the coupons that users got of them. A template's units, gate and times are those of the pool with the same id; a coupon's id is its claim's, so a claim delivered twice cannot become two coupons.
/// The engine itself lets no template take off both an amount and a part, and no coupon be held by no order.
/// </summary>
[Migration(8001)]
public sealed class M8001_Coupons : Migration
{
    private const string
        OneKind = "CHECK ((amount_off_cents IS NULL) <> (percent_off IS NULL) AND (percent_off IS NULL OR percent_off BETWEEN 1 AND 100))",
        HeldBySomething = "CHECK ((state = 0) = (order_id IS NULL))";

    public override void Up()
    {
        Create.Table("coupon_templates")
            .WithColumn("id").AsInt64().PrimaryKey()
            .WithColumn("title").AsString(200).NotNullable()
            .WithColumn("amount_off_cents").AsInt64().Nullable()
            .WithColumn("minimum_cents").AsInt64().NotNullable()
            .WithColumn("maximum_off_cents").AsInt64().Nullable()
            .WithColumn("currency").AsString(3).NotNullable()
            .WithColumn("valid_until").AsInt64().NotNullable();
        IfDatabase("sqlite").Execute.Sql($"ALTER TABLE coupon_templates ADD COLUMN percent_off INTEGER NULL {OneKind}");
        IfDatabase("mysql").Execute.Sql($"ALTER TABLE coupon_templates ADD COLUMN percent_off INT NULL, ADD CONSTRAINT ck_coupon_templates_kind {OneKind}");

        // None by user, as orders have none: a user's coupons are found by their claims.
        Create.Table("coupons")
            .WithColumn("id").AsInt64().PrimaryKey()
            .WithColumn("template_id").AsInt64().NotNullable().Indexed("ix_coupons_template")
            .WithColumn("user_id").AsString(64).NotNullable()
            .WithColumn("valid_until").AsInt64().NotNullable()
            .WithColumn("state").AsInt32().NotNullable().WithDefaultValue(0)
            .WithColumn("order_turns").AsInt64().NotNullable().WithDefaultValue(0)
            .WithColumn("version").AsInt64().NotNullable().WithDefaultValue(1);
        IfDatabase("sqlite").Execute.Sql($"ALTER TABLE coupons ADD COLUMN order_id INTEGER NULL {HeldBySomething}");
        IfDatabase("mysql").Execute.Sql($"ALTER TABLE coupons ADD COLUMN order_id BIGINT NULL, ADD CONSTRAINT ck_coupons_held {HeldBySomething}");
        IfDatabase("sqlite").Execute.Sql("CREATE INDEX ix_coupons_order ON coupons (order_id) WHERE order_id IS NOT NULL");
        IfDatabase("mysql").Execute.Sql("CREATE INDEX ix_coupons_order ON coupons (order_id)");
        IfDatabase("sqlite").Execute.Sql("CREATE INDEX ix_coupons_held ON coupons (id) WHERE state = 1");
        IfDatabase("mysql").Execute.Sql("CREATE INDEX ix_coupons_held ON coupons (state, id)");
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

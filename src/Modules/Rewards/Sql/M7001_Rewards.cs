using FluentMigrator;

namespace Sluice.Modules.Rewards.Sql;

/// <summary>Check-ins, one for each user and business day; points: what each user has, and every change of it with its cause, each cause once.</summary>
[Migration(7001)]
public sealed class M7001_Rewards : Migration
{
    public override void Up()
    {
        // The key is the truth: whatever nodes believe, a day has one row of a user.
        Create.Table("check_ins")
            .WithColumn("user_id").AsString(64).PrimaryKey()
            .WithColumn("business_date").AsString(10).PrimaryKey()
            .WithColumn("points").AsInt64().NotNullable()
            .WithColumn("streak_days").AsInt32().NotNullable()
            .WithColumn("checked_in_at").AsInt64().NotNullable();

        Create.Table("points_balances")
            .WithColumn("user_id").AsString(64).PrimaryKey()
            .WithColumn("balance").AsInt64().NotNullable()
            .WithColumn("version").AsInt64().NotNullable();

        Create.Table("points_entries")
            .WithColumn("id").AsInt64().PrimaryKey()
            .WithColumn("user_id").AsString(64).NotNullable()
            .WithColumn("cause_kind").AsString(16).NotNullable()
            .WithColumn("cause_id").AsString(64).NotNullable()
            .WithColumn("points").AsInt64().NotNullable()
            .WithColumn("balance_after").AsInt64().NotNullable()
            .WithColumn("reason").AsString(200).Nullable()
            .WithColumn("made_at").AsInt64().NotNullable();
        Create.Index("uq_points_entries_cause").OnTable("points_entries").OnColumn("user_id").Ascending().OnColumn("cause_kind").Ascending().OnColumn("cause_id").Ascending().WithOptions().Unique();
        Create.Index("ix_points_entries_user").OnTable("points_entries").OnColumn("user_id").Ascending().OnColumn("id").Ascending();
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

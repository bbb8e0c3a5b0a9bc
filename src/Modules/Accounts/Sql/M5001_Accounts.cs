using FluentMigrator;

namespace Sluice.Modules.Accounts.Sql;

/// <summary>Accounts, one for each e-mail, and the addresses of each.</summary>
[Migration(5001)]
public sealed class M5001_Accounts : Migration
{
    public override void Up()
    {
        Create.Table("accounts")
            .WithColumn("user_id").AsString(64).PrimaryKey()
            .WithColumn("email").AsString(254).NotNullable()
            .WithColumn("email_key").AsString(254).NotNullable().Unique("uq_accounts_email")
            .WithColumn("password_hash").AsString(200).NotNullable()
            .WithColumn("name").AsString(100).NotNullable()
            .WithColumn("locale").AsString(35).Nullable()
            .WithColumn("version").AsInt64().NotNullable()
            .WithColumn("created_at").AsInt64().NotNullable();

        Create.Table("addresses")
            .WithColumn("id").AsInt64().PrimaryKey()
            .WithColumn("user_id").AsString(64).NotNullable().Indexed("ix_addresses_user")
            .WithColumn("name").AsString(100).NotNullable()
            .WithColumn("line1").AsString(200).NotNullable()
            .WithColumn("line2").AsString(200).Nullable()
            .WithColumn("city").AsString(100).NotNullable()
            .WithColumn("postal_code").AsString(16).NotNullable()
            .WithColumn("region").AsString(100).Nullable()
            .WithColumn("country").AsString(2).NotNullable()
            .WithColumn("is_default").AsInt32().NotNullable();
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

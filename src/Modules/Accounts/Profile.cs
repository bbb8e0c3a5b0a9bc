using System.Text.Json;
using System.Text.Json.Serialization;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Accounts;

/// <summary>What is to be changed. <c>"locale": null</c> takes it away, no <c>locale</c> leaves it.</summary>
public sealed record ProfileRequest
{
    public string? Name { get; init; }

    public string? Locale
    {
        get;
        init => (field, SaysLocale) = (value, true);
    }

    [JsonIgnore] public bool SaysLocale { get; private init; }
}

public sealed record ProfileView(string UserId, string Email, string Name, string? Locale, DateTime CreatedAt, long Version);

/// <summary><c>GET /v1/me/profile</c>, <c>PATCH /v1/me/profile</c>: who the caller is.</summary>
internal static class Profile
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1/me/profile", GetAsync).For(AccessRule.User).WithTags("Accounts").WithSummary("The caller's profile").Produces<ProfileView>().IsVersioned().Refuses(404, "no-account");
        routes.MapPatch("/v1/me/profile", ChangeAsync).For(AccessRule.User).WithTags("Accounts").WithSummary("Change the caller's profile").Produces<ProfileView>().ChangesVersion().Refuses(404, "no-account");
    }

    public static CacheKey KeyOf(string userId) => CacheKey.OfUser(userId, "profile");

    public static Task<CachedAnswer> LoadAsync(Database database, string userId) => database.ReadAsync(
        async connection => await Account.FindAsync(connection, userId) is { } account ? new CachedAnswer(account.Version, ToJson(account)) : CachedAnswer.None, ReadFrom.Reader);

    private static async Task<IResult> GetAsync(HttpContext context, [FromKeyedServices(AccountsModule.Key)] Database database, TieredCache cache)
    {
        var (user, known) = (context.UserId(), Versioned.KnownVersion(context.Request));
        if (known > 0 && await cache.IsUnchangedAsync(KeyOf(user), known))
        {
            return Versioned.Unchanged(context, known);
        }

        var kept = await cache.GetAsync(KeyOf(user), () => LoadAsync(database, user), known);
        return kept.Json is { } json ? Versioned.Answer(context, kept.Version, json) : Account.NoAccount;
    }

    private static async Task<IResult> ChangeAsync(ProfileRequest request, HttpContext context, [FromKeyedServices(AccountsModule.Key)] Database database, CacheChanges changes)
    {
        if (request is { Name: null, SaysLocale: false } || (request.Name is not null && !Names.IsText(request.Name, Account.NameCharsMax)) || (request.Locale is not null && !Account.IsLocale(request.Locale)))
        {
            return Problem.Invalid($"Send what is to be changed: a 'name' (1 to {Account.NameCharsMax} characters), a 'locale' such as de or zh-Hant-TW, or null for none.");
        }

        // Not run again by itself when its commit got lost: somebody else may have changed the profile since, and was told so.
        var user = context.UserId();
        var account = await database.WriteAsync(async transaction =>
        {
            // The row is locked from here on, so the version that is compared is the one that is changed.
            var version = await Account.ChangeAsync(transaction, changes, user) ?? throw new ProblemException(Account.NoAccount);
            if (!Versioned.MayChange(context.Request, version - 1))
            {
                throw new ProblemException(new Problem(412, "changed-meanwhile", "Changed meanwhile", "This is not the version that you name in If-Match any more. Read it again."));
            }

            var connection = transaction.Connection!;
            var before = (await Account.FindAsync(connection, user, transaction))!;
            var after = before with { Name = request.Name ?? before.Name, Locale = request.SaysLocale ? request.Locale : before.Locale };
            await connection.ExecuteAsync("UPDATE accounts SET name = @Name, locale = @Locale WHERE user_id = @UserId", new { after.Name, after.Locale, after.UserId }, transaction);
            return after;
        });
        await changes.TellAsync(Account.KeysOf(user));
        return Versioned.Changed(context, account.Version, ToJson(account));
    }

    private static byte[] ToJson(Account account) => JsonSerializer.SerializeToUtf8Bytes(
        new ProfileView(account.UserId, account.Email, account.Name, account.Locale, DateTimeOffset.FromUnixTimeMilliseconds(account.CreatedAt).UtcDateTime, account.Version), AccountsJson.Default.ProfileView);
}

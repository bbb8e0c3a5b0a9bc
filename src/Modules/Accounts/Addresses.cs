using System.ComponentModel.DataAnnotations;
using System.Data.Common;
using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Accounts;

public sealed record AddressRequest(
    [property: Required] string? Name,
    [property: Required] string? Line1,
    string? Line2,
    [property: Required] string? City,
    [property: Required] string? PostalCode,
    string? Region,
    [property: Required] string? Country,
    bool? IsDefault);

public sealed record AddressView(string Id, string Name, string Line1, string? Line2, string City, string PostalCode, string? Region, string Country, bool IsDefault);

/// <summary><c>/v1/me/addresses</c>: where things are sent to. At most one of them is the default.</summary>
internal static class Addresses
{
    private const int AddressesMax = 20;

    private const string Columns = "id AS Id, name AS Name, line1 AS Line1, line2 AS Line2, city AS City, postal_code AS PostalCode, region AS Region, country AS Country, is_default AS IsDefault";

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1/me/addresses", ListAsync).For(AccessRule.User).WithTags("Accounts").WithSummary("The caller's addresses").Produces<Page<AddressView>>().IsVersioned().Refuses(404, "no-account");
        routes.MapPost("/v1/me/addresses", AddAsync).For(AccessRule.User).WithTags("Accounts").WithSummary("Add an address").Produces<AddressView>(201).Produces<AddressView>(200)
            .TakesIdempotencyKey().Refuses(404, "no-account", "not-found").Refuses(409, "too-many-addresses");
        routes.MapPut("/v1/me/addresses/{id}", ReplaceAsync).For(AccessRule.User).WithTags("Accounts").WithSummary("Replace an address").Produces<AddressView>().Refuses(404, "not-found");
        routes.MapDelete("/v1/me/addresses/{id}", DeleteAsync).For(AccessRule.User).WithTags("Accounts").WithSummary("Delete an address").Produces(204);
    }

    public static CacheKey KeyOf(string userId) => CacheKey.OfUser(userId, "addresses");

    private static async Task<IResult> ListAsync(HttpContext context, [FromKeyedServices(AccountsModule.Key)] Database database, TieredCache cache)
    {
        var (user, known) = (context.UserId(), Versioned.KnownVersion(context.Request));
        if (known > 0 && await cache.IsUnchangedAsync(KeyOf(user), known))
        {
            return Versioned.Unchanged(context, known);
        }

        var kept = await cache.GetAsync(KeyOf(user), () => LoadAsync(database, user), known);
        return kept.Json is { } json ? Versioned.Answer(context, kept.Version, json) : Account.NoAccount;
    }

    private static async Task<IResult> AddAsync(AddressRequest request, HttpContext context, [FromKeyedServices(AccountsModule.Key)] Database database, CacheChanges changes, [FromKeyedServices(AccountsModule.Key)] Idempotency idempotency, ClaimIds ids)
    {
        if (Refuse(request) is { } refusal)
        {
            return refusal;
        }

        // Keys are each user's own: two users may choose the same.
        var user = context.UserId();
        var (id, isNew) = await idempotency.OnceAsync(
            Idempotency.KeyOf(context.Request), $"POST addresses of {user}", JsonSerializer.Serialize(request, AccountsJson.Default.AddressRequest), async transaction =>
            {
                // Locks the account: two who add at once are counted one after the other.
                _ = await Account.ChangeAsync(transaction, changes, user) ?? throw new ProblemException(Account.NoAccount);
                if (await transaction.Connection!.QuerySingleAsync<long>("SELECT COUNT(*) FROM addresses WHERE user_id = @user", new { user }, transaction) >= AddressesMax)
                {
                    throw new ProblemException(new Problem(409, "too-many-addresses", "Too many addresses", $"An account has up to {AddressesMax}. Delete one first, or change one."));
                }

                var id = ids.Next(user);
                await ClearDefaultAsync(transaction, user, request);
                await transaction.Connection!.ExecuteAsync(
                    "INSERT INTO addresses (id, user_id, name, line1, line2, city, postal_code, region, country, is_default) VALUES (@id, @user, @Name, @Line1, @Line2, @City, @PostalCode, @Region, @Country, @isDefault)",
                    Row(id, user, request),
                    transaction);
                return id;
            });
        await changes.TellAsync(Account.KeysOf(user));
        return await database.ReadAsync(connection => FindAsync(connection, id, user)) is { } address
            ? Results.Json(address, AccountsJson.Default.AddressView, statusCode: isNew ? 201 : 200)
            : Problem.NotFound("address");
    }

    private static async Task<IResult> ReplaceAsync(string id, AddressRequest request, HttpContext context, [FromKeyedServices(AccountsModule.Key)] Database database, CacheChanges changes)
    {
        var user = context.UserId();
        if (!Names.TryId(id, out var addressId))
        {
            return Problem.NotFound("address");
        }

        if (Refuse(request) is { } refusal)
        {
            return refusal;
        }

        await ChangeOneAsync(database, changes, addressId, user, async transaction =>
        {
            await ClearDefaultAsync(transaction, user, request);
            await transaction.Connection!.ExecuteAsync(
                "UPDATE addresses SET name = @Name, line1 = @Line1, line2 = @Line2, city = @City, postal_code = @PostalCode, region = @Region, country = @Country, is_default = @isDefault WHERE id = @id AND user_id = @user",
                Row(addressId, user, request),
                transaction);
        });
        return Results.Json(
            new AddressView(Names.Id(addressId), request.Name!, request.Line1!, request.Line2, request.City!, request.PostalCode!, request.Region, request.Country!, request.IsDefault == true), AccountsJson.Default.AddressView);
    }

    private static async Task<IResult> DeleteAsync(string id, HttpContext context, [FromKeyedServices(AccountsModule.Key)] Database database, CacheChanges changes)
    {
        var user = context.UserId();
        if (!Names.TryId(id, out var addressId))
        {
            return Problem.NotFound("address");
        }

        await ChangeOneAsync(database, changes, addressId, user, transaction =>
            transaction.Connection!.ExecuteAsync("DELETE FROM addresses WHERE id = @addressId AND user_id = @user", new { addressId, user }, transaction));
        return Results.NoContent();
    }

    // Somebody else's address is none, as far as the caller is told.
    private static async Task ChangeOneAsync(Database database, CacheChanges changes, long id, string user, Func<DbTransaction, Task> change)
    {
        await database.WriteAsync(async transaction =>
        {
            if (await Account.ChangeAsync(transaction, changes, user) is null || await FindAsync(transaction.Connection!, id, user, transaction) is null)
            {
                throw new ProblemException(Problem.NotFound("address"));
            }

            await change(transaction);
        });
        await changes.TellAsync(Account.KeysOf(user));
    }

    private static Task<CachedAnswer> LoadAsync(Database database, string userId) => database.ReadAsync(
        async connection =>
        {
            if (await connection.QuerySingleOrDefaultAsync<long?>("SELECT version FROM accounts WHERE user_id = @userId", new { userId }) is not { } version)
            {
                return CachedAnswer.None;
            }

            var rows = await connection.QueryAsync<AddressRow>($"SELECT {Columns} FROM addresses WHERE user_id = @userId ORDER BY id LIMIT @AddressesMax", new { userId, AddressesMax });
            return new CachedAnswer(version, JsonSerializer.SerializeToUtf8Bytes(new Page<AddressView>([.. rows.Select(row => row.ToView())], null), AccountsJson.Default.PageAddressView));
        },
        ReadFrom.Reader);

    private static async Task<AddressView?> FindAsync(DbConnection connection, long id, string user, DbTransaction? transaction = null) =>
        (await connection.QuerySingleOrDefaultAsync<AddressRow?>($"SELECT {Columns} FROM addresses WHERE id = @id AND user_id = @user", new { id, user }, transaction))?.ToView();

    private static Task ClearDefaultAsync(DbTransaction transaction, string user, AddressRequest request) => request.IsDefault == true
        ? transaction.Connection!.ExecuteAsync("UPDATE addresses SET is_default = 0 WHERE user_id = @user", new { user }, transaction)
        : Task.CompletedTask;

    private static object Row(long id, string user, AddressRequest request) => new
    {
        id, user, request.Name, request.Line1, request.Line2, request.City, request.PostalCode, request.Region, request.Country, isDefault = request.IsDefault == true ? 1 : 0,
    };

    private static Problem? Refuse(AddressRequest request) =>
        Names.IsText(request.Name, 100) && Names.IsText(request.Line1, 200) && (request.Line2 is null || Names.IsText(request.Line2, 200)) && Names.IsText(request.City, 100) &&
        Names.IsText(request.PostalCode, 16) && (request.Region is null || Names.IsText(request.Region, 100)) && IsCountry(request.Country)
            ? null
            : Problem.Invalid(
                "An address has a 'name' (1 to 100 characters), 'line1' (to 200), perhaps 'line2' (to 200), a 'city' (to 100), a 'postalCode' (to 16), perhaps a 'region' (to 100), and a 'country' (ISO 3166, two capital letters such as DE).");

    private static bool IsCountry(string? text) => text is { Length: 2 } && !text.AsSpan().ContainsAnyExceptInRange('A', 'Z');

    [method: ExplicitConstructor]
    private sealed record AddressRow(long Id, string Name, string Line1, string? Line2, string City, string PostalCode, string? Region, string Country, long IsDefault)
    {
        public AddressView ToView() => new(Names.Id(Id), Name, Line1, Line2, City, PostalCode, Region, Country, IsDefault != 0);
    }
}

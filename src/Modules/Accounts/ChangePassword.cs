using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Accounts;

public sealed record PasswordRequest([property: Required] string? Current, [property: Required] string? New);

/// <summary><c>POST /v1/me/password</c>: a new password for who knows the old one. Tokens that were given out before stay good until they expire.</summary>
internal static class ChangePassword
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapPost("/v1/me/password", HandleAsync).For(AccessRule.User)
        .WithTags("Accounts").WithSummary("Change the caller's password").Produces(204)
        .Refuses(403, "wrong-password").Refuses(404, "no-account").Refuses(422, "weak-password").Refuses(429, "rate-limited").Refuses(503, "overloaded");

    private static async Task<IResult> HandleAsync(PasswordRequest request, HttpContext context, [FromKeyedServices(AccountsModule.Key)] Database database, Passwords passwords, LogInRate rate)
    {
        if (!Passwords.MayBe(request.Current) || !Passwords.MayBe(request.New))
        {
            return Problem.Invalid("Send the 'current' password and the 'new' one.");
        }

        if (await database.ReadAsync(connection => Account.FindAsync(connection, context.UserId()), ReadFrom.Reader) is not { } account)
        {
            return Account.NoAccount;
        }

        Account.TryEmail(account.Email, out _, out var key);
        if ((Passwords.Refuse(request.New, key) ?? await rate.RefuseAsync(context) ?? await rate.RefuseAsync(key)) is { } refusal)
        {
            return refusal;
        }

        // Of two changes at once the one that is later finds another hash: what it knows is not the password any more.
        var (isRight, _) = await passwords.CheckAsync(account.PasswordHash, request.Current!);
        return isRight && await LogIn.KeepHashAsync(database, account, await passwords.HashAsync(request.New!))
            ? Results.NoContent()
            : new Problem(403, "wrong-password", "Wrong password", "'current' is not the password of this account.");
    }
}

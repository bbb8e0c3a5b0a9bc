using System.ComponentModel.DataAnnotations;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Accounts;

public sealed record RegisterRequest([property: Required] string? Email, [property: Required] string? Password, [property: Required] string? Name);

/// <summary><c>POST /v1/accounts</c>: somebody becomes a user with an e-mail and a password.</summary>
internal static class Register
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapPost("/v1/accounts", HandleAsync).For(AccessRule.Public)
        .WithTags("Accounts").WithSummary("Register with an e-mail and a password").Produces<SessionAnswer>(201)
        .Refuses(409, "email-taken").Refuses(422, "weak-password").Refuses(429, "rate-limited").Refuses(503, "overloaded");

    private static async Task<IResult> HandleAsync(RegisterRequest request, HttpContext context, [FromKeyedServices(AccountsModule.Key)] Database database, Passwords passwords, LogInRate rate, Sessions sessions, TimeProvider time)
    {
        if (!Account.TryEmail(request.Email, out var email, out var key) || !Names.IsText(request.Name, Account.NameCharsMax))
        {
            return Problem.Invalid($"An account has an 'email' ({Account.EmailCharsMin} to {Account.EmailCharsMax} ASCII characters, such as ann@example.org), a 'password' and a 'name' (1 to {Account.NameCharsMax} characters).");
        }

        if ((Passwords.Refuse(request.Password, key) ?? await rate.RefuseAsync(context)) is { } refusal)
        {
            return refusal;
        }

        // A look before the work; whether the e-mail is free is decided below.
        if (await database.ReadAsync(connection => Account.FindByEmailAsync(connection, key), ReadFrom.Reader) is not null)
        {
            return Taken;
        }

        // Chance: who knows an e-mail does not know the id, and an id of Sluice's own making is nobody else's.
        var account = new Account($"user-{Guid.NewGuid():N}", email, await passwords.HashAsync(request.Password!), request.Name!, Locale: null, Version: 1, time.GetUtcNow().ToUnixTimeMilliseconds());

        // May run again: then the id tells whether it was this registration that took the e-mail. Of two at once the unique key refuses one, which looks again.
        var owner = await database.WriteAsync(
            async transaction =>
            {
                var connection = transaction.Connection!;
                if (await connection.QuerySingleOrDefaultAsync<string?>("SELECT user_id FROM accounts WHERE email_key = @key", new { key }, transaction) is { } taken)
                {
                    return taken;
                }

                await connection.ExecuteAsync(
                    "INSERT INTO accounts (user_id, email, email_key, password_hash, name, version, created_at) VALUES (@UserId, @Email, @key, @PasswordHash, @Name, @Version, @CreatedAt)",
                    new { account.UserId, account.Email, key, account.PasswordHash, account.Name, account.Version, account.CreatedAt },
                    transaction);
                return account.UserId;
            },
            LostCommit.RunAgain);
        return owner == account.UserId ? sessions.Begin(context, account.UserId, statusCode: 201) : Taken;
    }

    private static Problem Taken { get; } = new(409, "email-taken", "Registered already", "There is an account with this e-mail. Log in with POST /v1/sessions.");
}

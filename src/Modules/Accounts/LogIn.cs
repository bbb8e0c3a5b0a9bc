using System.ComponentModel.DataAnnotations;
using System.Security.Cryptography;
using System.Text;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Admission;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Accounts;

public sealed record LogInRequest([property: Required] string? Email, [property: Required] string? Password);

public sealed record SessionAnswer(string UserId, string Token, DateTime ExpiresAt);

/// <summary><c>POST /v1/sessions</c>: e-mail and password for a token. Whether it is the e-mail or the password that is wrong is not told, and not to be measured either.</summary>
internal static partial class LogIn
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapPost("/v1/sessions", HandleAsync).For(AccessRule.Public)
        .WithTags("Accounts").WithSummary("Log in with an e-mail and a password").Produces<SessionAnswer>()
        .Refuses(401, "wrong-credentials").Refuses(429, "rate-limited").Refuses(503, "overloaded");

    private static async Task<IResult> HandleAsync(LogInRequest request, HttpContext context, [FromKeyedServices(AccountsModule.Key)] Database database, Passwords passwords, LogInRate rate, Sessions sessions, ILogger<AccountsModule> log)
    {
        if (!Account.TryEmail(request.Email, out _, out var key) || !Passwords.MayBe(request.Password))
        {
            return Problem.Invalid("Send 'email' and 'password'.");
        }

        // The address first: who tries too much from one does not lock everybody else out of the account.
        if ((await rate.RefuseAsync(context) ?? await rate.RefuseAsync(key)) is { } refusal)
        {
            return refusal;
        }

        var account = await database.ReadAsync(connection => Account.FindByEmailAsync(connection, key), ReadFrom.Reader);
        var (isRight, newHash) = await passwords.CheckAsync(account?.PasswordHash, request.Password!);
        if (!isRight)
        {
            return new Problem(401, "wrong-credentials", "Not these", "There is no account with this e-mail and this password.") { Challenges = ["Password"] };
        }

        if (newHash is not null)
        {
            try
            {
                await KeepHashAsync(database, account!, newHash);
            }
            catch (DependencyUnavailableException e)
            {
                // The next log-in tries again.
                LogNotKept(log, e.Message);
            }
        }

        return sessions.Begin(context, account!.UserId);
    }

    /// <summary>Puts a hash in the place of the one that was checked, unless the password was changed since.</summary>
    /// <returns>False: it was.</returns>
    public static Task<bool> KeepHashAsync(Database database, Account account, string newHash) => database.WriteAsync(
        async transaction =>
        {
            var connection = transaction.Connection!;
            return await connection.ExecuteAsync(
                "UPDATE accounts SET password_hash = @newHash WHERE user_id = @UserId AND password_hash = @PasswordHash", new { newHash, account.UserId, account.PasswordHash }, transaction) == 1 ||
                // Run again after a commit whose answer got lost: no two hashes are the same, so this one is ours.
                await connection.QuerySingleOrDefaultAsync<string?>("SELECT password_hash FROM accounts WHERE user_id = @UserId", new { account.UserId }, transaction) == newHash;
        },
        LostCommit.RunAgain);

    [LoggerMessage(Level = LogLevel.Warning, Message = "A hash with more rounds was not kept: {Says}")]
    private static partial void LogNotKept(ILogger log, string says);
}

/// <summary>Tokens for who registered or logged in.</summary>
internal sealed class Sessions(UserTokens tokens, AccountsOptions options, TimeProvider time)
{
    public IResult Begin(HttpContext context, string userId, int statusCode = 200)
    {
        var expiresAt = time.GetUtcNow() + options.SessionLifetime;
        context.Response.Headers.CacheControl = "no-store";
        return Results.Json(new SessionAnswer(userId, tokens.Make(userId, expiresAt), expiresAt.UtcDateTime), AccountsJson.Default.SessionAnswer, statusCode: statusCode);
    }
}

/// <summary>How often somebody may try a password: for one account, and from one address, over all nodes. Every try counts, the right one too.</summary>
internal sealed class LogInRate(AccountsOptions options, [FromKeyedServices(AccountsModule.Key)] RateLimits limits)
{
    private readonly SharedRateLimit accounts = limits.New("log-ins", 1 / options.LogInPerAccountEvery.TotalSeconds, options.LogInsPerAccountBurst);
    private readonly SharedRateLimit addresses = limits.New("log-in-addresses", 1 / options.LogInPerAddressEvery.TotalSeconds, options.LogInsPerAddressBurst);

    /// <summary>Null, or why nothing is tried from the caller's address now.</summary>
    public async Task<Problem?> RefuseAsync(HttpContext context) =>
        Refusal(await addresses.CheckAsync(AddressLimit.NameOf(context.Connection.RemoteIpAddress)), "Too many people log in or register from your address. Wait a moment.");

    /// <summary>Null, or why no password of this account is tried now. The same whether there is such an account or not.</summary>
    public async Task<Problem?> RefuseAsync(string emailKey) =>
        Refusal(
            // An e-mail is nothing for keys in Redis, which people list.
            await accounts.CheckAsync(Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(emailKey)).AsSpan(0, 16))),
            "Too many log-ins with this e-mail. Wait a moment.");

    private static Problem? Refusal(TimeSpan? wait, string detail) => wait is null ? null : new Problem(429, "rate-limited", "Too fast", detail) { RetryAfter = wait };
}

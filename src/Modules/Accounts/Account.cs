using System.Buffers;
using System.Data.Common;
using System.Diagnostics.CodeAnalysis;
using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Accounts;

/// <summary>Somebody who registered with an e-mail and a password.</summary>
/// <param name="Version">Raised by one with each change of the profile or of the addresses.</param>
/// <param name="CreatedAt">Unix milliseconds.</param>
[method: ExplicitConstructor]
internal sealed record Account(string UserId, string Email, string PasswordHash, string Name, string? Locale, long Version, long CreatedAt)
{
    public const int EmailCharsMin = 3, EmailCharsMax = 254, NameCharsMax = 100;

    private const string Columns = "user_id AS UserId, email AS Email, password_hash AS PasswordHash, name AS Name, locale AS Locale, version AS Version, created_at AS CreatedAt";
    private const int LocalCharsMax = 64;

    // What mail servers take without quotes (RFC 5322, dot-atom); a domain with other letters is written in its ASCII form (xn--…).
    private static readonly SearchValues<char> LocalChars = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~.");
    private static readonly SearchValues<char> DomainChars = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.");

    public static Problem NoAccount { get; } = new(
        404, "no-account", "No account", "This user has not registered with Sluice: a guest, or somebody whom the shop signs in itself and knows better. Register with POST /v1/accounts.");

    /// <summary>The e-mail without blanks around it, and the form by which accounts are found: two that differ in case are one. ASCII only.</summary>
    public static bool TryEmail([NotNullWhen(true)] string? text, out string email, out string key)
    {
        email = text is { Length: <= EmailCharsMax * 2 } ? text.Trim(' ') : "";
        key = email.ToLowerInvariant();
        var at = email.IndexOf('@', StringComparison.Ordinal);
        return email.Length is >= EmailCharsMin and <= EmailCharsMax && at is > 0 and <= LocalCharsMax && at < email.Length - 1 &&
            IsDotted(email.AsSpan(0, at), LocalChars) && IsDotted(email.AsSpan(at + 1), DomainChars);

        static bool IsDotted(ReadOnlySpan<char> text, SearchValues<char> chars) =>
            !text.ContainsAnyExcept(chars) && text[0] != '.' && text[^1] != '.' && text.IndexOf("..", StringComparison.Ordinal) < 0;
    }

    /// <summary>A BCP 47 tag by its form, such as <c>de</c> or <c>zh-Hant-TW</c>.</summary>
    public static bool IsLocale(string text) => text.Length is >= 2 and <= 35 && text.Split('-') is var parts && parts[0].Length is 2 or 3 && parts[0].All(char.IsAsciiLetter) &&
        parts.Skip(1).All(part => part.Length is >= 1 and <= 8 && part.All(char.IsAsciiLetterOrDigit));

    /// <summary>What is kept of an account. All of it shows the version, so each change drops all of it.</summary>
    public static IReadOnlyList<CacheKey> KeysOf(string userId) => [Profile.KeyOf(userId), Addresses.KeyOf(userId)];

    public static Task<Account?> FindAsync(DbConnection connection, string userId, DbTransaction? transaction = null) =>
        connection.QuerySingleOrDefaultAsync<Account?>($"SELECT {Columns} FROM accounts WHERE user_id = @userId", new { userId }, transaction);

    public static Task<Account?> FindByEmailAsync(DbConnection connection, string emailKey) =>
        connection.QuerySingleOrDefaultAsync<Account?>($"SELECT {Columns} FROM accounts WHERE email_key = @emailKey", new { emailKey });

    /// <summary>Raises the version and notes what is to be dropped, in the transaction of a change. From here on changes of this account come one after another: its row is locked.</summary>
    /// <returns>The new version, or null when there is no such account.</returns>
    public static async Task<long?> ChangeAsync(DbTransaction transaction, CacheChanges changes, string userId)
    {
        var connection = transaction.Connection!;
        if (await connection.ExecuteAsync("UPDATE accounts SET version = version + 1 WHERE user_id = @userId", new { userId }, transaction) == 0)
        {
            return null;
        }

        await changes.AddAsync(transaction, KeysOf(userId));
        return await connection.QuerySingleAsync<long>("SELECT version FROM accounts WHERE user_id = @userId", new { userId }, transaction);
    }
}

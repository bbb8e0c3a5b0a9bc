using System.Collections.Frozen;
using Microsoft.AspNetCore.Identity;
using Microsoft.Extensions.Options;
using Sluice.Platform.Http;

namespace Sluice.Modules.Accounts;

/// <summary>Makes and checks hashes of passwords (ASP.NET Identity's, PBKDF2), a few at once: each costs more processor time than thousands of claims.</summary>
internal sealed class Passwords : IDisposable
{
    private const int CharsMin = 8, CharsMax = 128;

    private static readonly TimeSpan ComeAgain = TimeSpan.FromSeconds(2);

    // The most used of those that are long enough, as lists of stolen passwords have them.
    private static readonly FrozenSet<string> Common = new[]
    {
        "00000000", "11111111", "1111111111", "12341234", "12344321", "123123123", "12345678", "123456789", "1234567890", "12345678910", "123456abc", "123qwe123", "1q2w3e4r", "1q2w3e4r5t", "1qaz2wsx", "55555555", "66666666",
        "77777777", "87654321", "88888888", "987654321", "99999999", "a1234567", "a12345678", "aa123456", "aaaaaaaa", "abc12345", "abc123456", "abcd1234", "abcdefgh", "admin123", "asdfasdf", "asdfghjkl", "baseball", "changeme",
        "computer", "football", "iloveyou", "internet", "letmein1", "liverpool", "michelle", "p@ssw0rd", "passw0rd", "password", "password1", "password12", "password123", "princess", "q1w2e3r4", "qazwsxedc", "qwer1234", "qwerty12",
        "qwerty123", "qwertyui", "qwertyuiop", "starwars", "sunshine", "superman", "trustno1", "welcome1", "welcome123", "whatever", "woaini1314", "zaq12wsx",
    }.ToFrozenSet(StringComparer.OrdinalIgnoreCase);

    private static readonly object Nobody = new();

    private readonly PasswordHasher<object> hasher;
    private readonly SemaphoreSlim free;
    private readonly int insideMax;
    private readonly string hashOfNobody;
    private int inside;

    public Passwords(AccountsOptions options)
    {
        hasher = new(Options.Create(new PasswordHasherOptions { IterationCount = options.PasswordIterations }));
        free = new(options.PasswordsAtOnceMax, options.PasswordsAtOnceMax);
        insideMax = options.PasswordsAtOnceMax + options.PasswordsWaitingMax;
        hashOfNobody = hasher.HashPassword(Nobody, Guid.NewGuid().ToString());
    }

    /// <summary>1 to 128 characters; a character is one however many units or bytes it takes. More is not worth hashing.</summary>
    public static bool MayBe(string? password) => password is { Length: >= 1 and <= CharsMax * 2 } && password.EnumerateRunes().Count() <= CharsMax;

    /// <summary>Why this may not be the password of an account, or null.</summary>
    public static Problem? Refuse(string? password, string emailKey) =>
        !MayBe(password) || password!.EnumerateRunes().Count() < CharsMin ? Problem.Invalid($"A password has {CharsMin} to {CharsMax} characters, any.")
        : Common.Contains(password) || password.Trim().Equals(emailKey, StringComparison.OrdinalIgnoreCase)
            ? new Problem(422, "weak-password", "Too easy to guess", "This password is one of the first that anybody tries. Choose another one.")
        : null;

    /// <summary>A hash to keep: salted, with its own parameters in it.</summary>
    /// <exception cref="ProblemException">503: as many as may wait already.</exception>
    public Task<string> HashAsync(string password) => RunAsync(() => hasher.HashPassword(Nobody, password));

    /// <summary>Whether this is the password. The work is the same when there is no hash to compare with, and the answer no.</summary>
    /// <returns>Also the hash to keep instead, when the kept one was made with fewer rounds than are asked for now.</returns>
    /// <inheritdoc cref="HashAsync"/>
    public Task<(bool IsRight, string? NewHash)> CheckAsync(string? hash, string password) => RunAsync(() => hasher.VerifyHashedPassword(Nobody, hash ?? hashOfNobody, password) switch
    {
        _ when hash is null => (false, null),
        PasswordVerificationResult.Success => (true, null),
        PasswordVerificationResult.SuccessRehashNeeded => (true, (string?)hasher.HashPassword(Nobody, password)),
        _ => (false, null),
    });

    public void Dispose() => free.Dispose();

    private async Task<T> RunAsync<T>(Func<T> work)
    {
        if (Interlocked.Increment(ref inside) > insideMax)
        {
            Interlocked.Decrement(ref inside);
            throw new ProblemException(new Problem(503, "overloaded", "Too many at once", "More people log in than this node takes on. Nothing was done; ask again in a moment.") { RetryAfter = ComeAgain });
        }

        try
        {
            await free.WaitAsync();
            try
            {
                return await Task.Run(work);
            }
            finally
            {
                free.Release();
            }
        }
        finally
        {
            Interlocked.Decrement(ref inside);
        }
    }
}

using System.Buffers;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Sluice.Platform.Http;

/// <summary>
/// Tokens for users: JWTs (HS256) that this shop makes and checks itself.
/// </summary>
/// <remarks>
/// Checked by hand, not by a JWT library, because it stands on the hottest path: a library's check costs more than a claim (docs/adr/0005).
/// It stays safe by being narrow: the header must be that of one of our keys to the letter, so there is no algorithm to confuse and no key to look for;
/// then the signature in constant time; only then is the payload read.
/// </remarks>
public sealed class UserTokens : IDisposable
{
    /// <summary>No token is made for longer.</summary>
    public static readonly TimeSpan LifetimeMax = TimeSpan.FromDays(30);

    private const int TokenCharsMax = 512;

    /// <summary>9999-12-31T23:59:59Z.</summary>
    private const long UnixSecondsMax = 253_402_300_799;

    /// <summary>Verdicts kept, about 1 KB each.</summary>
    private const int VerdictsMax = 50_000;

    /// <summary>Clocks of two nodes may differ by this much.</summary>
    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(30);

    private readonly Signer own;
    private readonly TimeProvider time;

    // By age; few, so that a token's is found by looking at the beginning of each.
    private volatile Signer[] signers;
    private readonly RecentTokens<Verdict> recent = new(VerdictsMax);

    /// <param name="secret">Of the first key, whose tokens name none.</param>
    public UserTokens(string secret, TimeProvider time)
    {
        own = new(new TokenKey("", Encoding.UTF8.GetBytes(secret), DateTimeOffset.MinValue, DateTimeOffset.MaxValue));
        (signers, this.time) = ([own], time);
    }

    /// <summary>These keys count from now on, beside the first one.</summary>
    /// <param name="ownChecksUntil">How long the first one's tokens are still good.</param>
    public void Use(IEnumerable<TokenKey> keys, DateTimeOffset ownChecksUntil)
    {
        var wanted = keys.OrderBy(key => key.SignsFrom).Prepend(own.Key with { ChecksUntil = ownChecksUntil }).ToList();
        var before = signers;
        if (before.Select(signer => signer.Key).SequenceEqual(wanted))
        {
            return;
        }

        signers = [.. wanted.Select(key => Array.Find(before, signer => signer.Key == key) ?? new Signer(key))];

        // What is remembered of tokens of these counts no more, also what somebody is about to remember. Whoever checks with one just now is not disturbed: the collector takes it.
        foreach (var gone in before.Except(signers))
        {
            gone.IsGone = true;
        }
    }

    /// <summary>Makes a token for a user id that was checked with <see cref="Names.IsUserId"/>.</summary>
    public string Make(string userId, DateTimeOffset expiresAt)
    {
        var now = time.GetUtcNow().ToUnixTimeSeconds();

        // User ids have no character that JSON would escape.
        var payload = $$"""{"iss":"sluice","aud":"sluice","sub":"{{userId}}","iat":{{now}},"nbf":{{now}},"exp":{{expiresAt.ToUnixTimeSeconds()}}}""";
        var signer = Array.FindLast(signers, each => each.Key.SignsFrom.ToUnixTimeSeconds() <= now)!;
        var signed = $"{signer.Start}{Base64Url.EncodeToString(Encoding.UTF8.GetBytes(payload))}";
        Span<byte> signature = stackalloc byte[HMACSHA256.HashSizeInBytes];
        signer.Sign(Encoding.ASCII.GetBytes(signed), signature);
        return $"{signed}.{Base64Url.EncodeToString(signature)}";
    }

    /// <summary>The user of a token, or null when it is not ours, expired or not valid yet. A token seen twice before costs one look-up.</summary>
    public string? UserOf(ReadOnlySpan<char> token)
    {
        if (recent.TryFind(token, out var verdict))
        {
            if (!verdict.Signer.IsGone)
            {
                return verdict.Expires > time.GetUtcNow() ? verdict.UserId : null;
            }

            recent.Forget(token, verdict);
        }

        if (Check(token) is not { } fresh)
        {
            return null;
        }

        recent.Keep(token, fresh);
        return fresh.UserId;
    }

    public void Dispose()
    {
        foreach (var signer in signers)
        {
            signer.Dispose();
        }
    }

    private Verdict? Check(ReadOnlySpan<char> token)
    {
        if (token.Length > TokenCharsMax || SignerOf(token) is not { } signer)
        {
            return null;
        }

        var lastDot = token.LastIndexOf('.');
        if (lastDot <= signer.Start.Length)
        {
            return null;
        }

        Span<byte> ascii = stackalloc byte[TokenCharsMax];
        Span<byte> signature = stackalloc byte[64], expected = stackalloc byte[32], payload = stackalloc byte[TokenCharsMax];
        if (!Encoding.ASCII.TryGetBytes(token, ascii, out var count) || token.ContainsAnyExceptInRange('\u0021', '\u007e') ||
            !TryDecode(ascii[(lastDot + 1)..count], signature, out var signatureBytes))
        {
            return null;
        }

        signer.Sign(ascii[..lastDot], expected);
        if (!CryptographicOperations.FixedTimeEquals(signature[..signatureBytes], expected) ||
            !TryDecode(ascii[signer.Start.Length..lastDot], payload, out var payloadBytes))
        {
            return null;
        }

        try
        {
            return Read(payload[..payloadBytes], signer);
        }
        catch (JsonException)
        {
            // Signed with our key by somebody who does not make our tokens.
            return null;
        }
    }

    private Signer? SignerOf(ReadOnlySpan<char> token)
    {
        foreach (var signer in signers)
        {
            if (token.StartsWith(signer.Start, StringComparison.Ordinal))
            {
                return signer;
            }
        }

        return null;
    }

    // Base64Url.TryDecodeFromUtf8 throws for what is not Base64: an invalid token is an answer here, not an exception.
    private static bool TryDecode(ReadOnlySpan<byte> text, Span<byte> bytes, out int count) =>
        Base64Url.DecodeFromUtf8(text, bytes, out _, out count) == OperationStatus.Done;

    private Verdict? Read(ReadOnlySpan<byte> payload, Signer signer)
    {
        // By bytes, without a string for each name: a buyer of a rush is read once and never again.
        string? subject = null;
        bool isIssuer = false, isAudience = false;
        long expires = 0, notBefore = 0;
        var json = new Utf8JsonReader(payload);
        while (json.Read())
        {
            if (json.TokenType != JsonTokenType.PropertyName)
            {
                continue;
            }

            if (json.ValueTextEquals("sub"u8))
            {
                json.Read();
                subject = json.TokenType == JsonTokenType.String ? json.GetString() : null;
            }
            else if (json.ValueTextEquals("iss"u8))
            {
                json.Read();
                isIssuer = json.TokenType == JsonTokenType.String && json.ValueTextEquals("sluice"u8);
            }
            else if (json.ValueTextEquals("aud"u8))
            {
                json.Read();
                isAudience = json.TokenType == JsonTokenType.String && json.ValueTextEquals("sluice"u8);
            }
            else if (json.ValueTextEquals("exp"u8))
            {
                json.Read();
                expires = SecondsOf(ref json);
            }
            else if (json.ValueTextEquals("nbf"u8))
            {
                json.Read();
                notBefore = SecondsOf(ref json);
            }
        }

        var now = time.GetUtcNow();
        if (expires is < 0 or > UnixSecondsMax || notBefore is < 0 or > UnixSecondsMax)
        {
            return null;
        }

        var until = DateTimeOffset.FromUnixTimeSeconds(expires);
        until = until < signer.Key.ChecksUntil ? until : signer.Key.ChecksUntil;
        return subject is not null && isIssuer && isAudience && until > now && DateTimeOffset.FromUnixTimeSeconds(notBefore) <= now + Skew
            ? new Verdict(subject, until, signer)
            : null;
    }

    private static long SecondsOf(ref Utf8JsonReader json) => json.TokenType == JsonTokenType.Number && json.TryGetInt64(out var seconds) ? seconds : long.MaxValue;

    /// <summary>A key, and how tokens of it begin: the header, which names it, and the dot.</summary>
    private sealed class Signer : IDisposable
    {
        // The key is scheduled once for each thread: half of the cost of a signature.
        private readonly ThreadLocal<IncrementalHash> hashes;

        public Signer(TokenKey key)
        {
            Key = key;
            var header = key.Id.Length == 0 ? """{"alg":"HS256","typ":"JWT"}""" : $$"""{"alg":"HS256","typ":"JWT","kid":"{{key.Id}}"}""";
            Start = Base64Url.EncodeToString(Encoding.ASCII.GetBytes(header)) + ".";
            hashes = new(() => IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, key.Secret), trackAllValues: true);
        }

        public TokenKey Key { get; }

        public bool IsGone { get; set; }

        public string Start { get; }

        public void Sign(ReadOnlySpan<byte> text, Span<byte> signature)
        {
            var hash = hashes.Value!;
            hash.AppendData(text);
            hash.GetHashAndReset(signature);
        }

        public void Dispose()
        {
            foreach (var hash in hashes.Values)
            {
                hash.Dispose();
            }

            hashes.Dispose();
        }
    }

    private sealed record Verdict(string UserId, DateTimeOffset Expires, Signer Signer);
}

/// <summary>A secret that signs tokens.</summary>
/// <param name="Id">What its tokens name; letters and digits. Empty: they name none.</param>
/// <param name="SignsFrom">From here on it signs, if no newer one does.</param>
/// <param name="ChecksUntil">Its tokens are good until here at most.</param>
public sealed record TokenKey(string Id, byte[] Secret, DateTimeOffset SignsFrom, DateTimeOffset ChecksUntil)
{
    // By what it says: the secret belongs to the id.
    public bool Equals(TokenKey? other) => other is not null && (Id, SignsFrom, ChecksUntil) == (other.Id, other.SignsFrom, other.ChecksUntil);

    public override int GetHashCode() => HashCode.Combine(Id, SignsFrom, ChecksUntil);
}

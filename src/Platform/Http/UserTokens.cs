using System.Buffers;
using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Sluice.Platform.Http;

/// <summary>
/// Tokens for users: JWTs (HS256) that this shop makes and checks itself.
/// </summary>
/// <remarks>
/// Checked by hand, not by a JWT library, because it stands on the hottest path: a library's check costs more than a claim (docs/adr/0005).
/// It stays safe by being narrow: the header must be ours to the letter, so there is no algorithm to confuse and no key to choose;
/// then the signature in constant time; only then is the payload read.
/// </remarks>
public sealed class UserTokens : IDisposable
{
    private const int TokenCharsMax = 512;

    /// <summary>9999-12-31T23:59:59Z.</summary>
    private const long UnixSecondsMax = 253_402_300_799;

    /// <summary>Verdicts kept, about 1 KB each.</summary>
    private const int VerdictsMax = 50_000;

    /// <summary>Places in which a token that was seen once leaves its mark.</summary>
    private const int MarksCount = 1 << 16;

    /// <summary>Clocks of two nodes may differ by this much.</summary>
    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(30);

    private static readonly string Header = Base64Url.EncodeToString("""{"alg":"HS256","typ":"JWT"}"""u8);

    // Its key is scheduled once for each thread: half of the cost of a signature.
    private readonly ThreadLocal<IncrementalHash> signer;
    private readonly TimeProvider time;
    private readonly int[] marks = new int[MarksCount];
    private ConcurrentDictionary<string, Verdict> young = new(StringComparer.Ordinal);
    private int youngCount;
    private ConcurrentDictionary<string, Verdict> old = new(StringComparer.Ordinal);

    public UserTokens(string secret, TimeProvider time)
    {
        var key = Encoding.UTF8.GetBytes(secret);
        signer = new(() => IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, key), trackAllValues: true);
        this.time = time;
    }

    /// <summary>Makes a token for a user id that was checked with <see cref="Names.IsUserId"/>.</summary>
    public string Make(string userId, DateTimeOffset expiresAt)
    {
        var now = time.GetUtcNow().ToUnixTimeSeconds();

        // User ids have no character that JSON would escape.
        var payload = $$"""{"iss":"sluice","aud":"sluice","sub":"{{userId}}","iat":{{now}},"nbf":{{now}},"exp":{{expiresAt.ToUnixTimeSeconds()}}}""";
        var signed = $"{Header}.{Base64Url.EncodeToString(Encoding.UTF8.GetBytes(payload))}";
        Span<byte> signature = stackalloc byte[HMACSHA256.HashSizeInBytes];
        Sign(Encoding.ASCII.GetBytes(signed), signature);
        return $"{signed}.{Base64Url.EncodeToString(signature)}";
    }

    /// <summary>The user of a token, or null when it is not ours, expired or not valid yet. A token seen twice before costs one look-up.</summary>
    public string? UserOf(ReadOnlySpan<char> token)
    {
        if (young.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(token, out var verdict) || old.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(token, out verdict))
        {
            return verdict.Expires > time.GetUtcNow() ? verdict.UserId : null;
        }

        if (Check(token) is not { } fresh)
        {
            return null;
        }

        // Most buyers of a rush ask once, and what is kept of them costs the collector more than the check: kept is who comes a second time.
        if (IsMarked(token) && young.TryAdd(token.ToString(), fresh) && Interlocked.Increment(ref youngCount) >= VerdictsMax / 2)
        {
            // Two generations: when the young one is full it becomes the old one, and the old one is dropped. No clean-up, no lock.
            // Counted beside the dictionary: its own Count takes every lock it has.
            youngCount = 0;
            (old, young) = (young, new(StringComparer.Ordinal));
        }

        return fresh.UserId;
    }

    // True when a token like this one left its mark before. Another may have overwritten it or left the same: then a verdict is kept one visit later or sooner.
    private bool IsMarked(ReadOnlySpan<char> token)
    {
        var mark = string.GetHashCode(token[^8..], StringComparison.Ordinal);
        ref var place = ref marks[(uint)mark % MarksCount];
        if (place == mark)
        {
            return true;
        }

        place = mark;
        return false;
    }

    public void Dispose()
    {
        foreach (var hash in signer.Values)
        {
            hash.Dispose();
        }

        signer.Dispose();
    }

    private void Sign(ReadOnlySpan<byte> text, Span<byte> signature)
    {
        var hash = signer.Value!;
        hash.AppendData(text);
        hash.GetHashAndReset(signature);
    }

    private Verdict? Check(ReadOnlySpan<char> token)
    {
        if (token.Length > TokenCharsMax || !token.StartsWith(Header, StringComparison.Ordinal) || token.Length <= Header.Length || token[Header.Length] != '.')
        {
            return null;
        }

        var lastDot = token.LastIndexOf('.');
        if (lastDot <= Header.Length + 1)
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

        Sign(ascii[..lastDot], expected);
        if (!CryptographicOperations.FixedTimeEquals(signature[..signatureBytes], expected) ||
            !TryDecode(ascii[(Header.Length + 1)..lastDot], payload, out var payloadBytes))
        {
            return null;
        }

        try
        {
            return Read(payload[..payloadBytes]);
        }
        catch (JsonException)
        {
            // Signed with our key by somebody who does not make our tokens.
            return null;
        }
    }

    // Base64Url.TryDecodeFromUtf8 throws for what is not Base64: an invalid token is an answer here, not an exception.
    private static bool TryDecode(ReadOnlySpan<byte> text, Span<byte> bytes, out int count) =>
        Base64Url.DecodeFromUtf8(text, bytes, out _, out count) == OperationStatus.Done;

    private Verdict? Read(ReadOnlySpan<byte> payload)
    {
        string? subject = null, issuer = null, audience = null;
        long expires = 0, notBefore = 0;
        var json = new Utf8JsonReader(payload);
        while (json.Read())
        {
            if (json.TokenType != JsonTokenType.PropertyName)
            {
                continue;
            }

            var name = json.GetString();
            json.Read();
            switch (name)
            {
                case "sub":
                    subject = json.TokenType == JsonTokenType.String ? json.GetString() : null;
                    break;
                case "iss":
                    issuer = json.TokenType == JsonTokenType.String ? json.GetString() : null;
                    break;
                case "aud":
                    audience = json.TokenType == JsonTokenType.String ? json.GetString() : null;
                    break;
                case "exp":
                    expires = json.TokenType == JsonTokenType.Number && json.TryGetInt64(out var expiresAt) ? expiresAt : long.MaxValue;
                    break;
                case "nbf":
                    notBefore = json.TokenType == JsonTokenType.Number && json.TryGetInt64(out var notBeforeAt) ? notBeforeAt : long.MaxValue;
                    break;
                default:
                    break;
            }
        }

        var now = time.GetUtcNow();
        if (expires is < 0 or > UnixSecondsMax || notBefore is < 0 or > UnixSecondsMax)
        {
            return null;
        }

        var until = DateTimeOffset.FromUnixTimeSeconds(expires);
        return subject is not null && issuer == "sluice" && audience == "sluice" && until > now && DateTimeOffset.FromUnixTimeSeconds(notBefore) <= now + Skew
            ? new Verdict(subject, until)
            : null;
    }

    private sealed record Verdict(string UserId, DateTimeOffset Expires);
}

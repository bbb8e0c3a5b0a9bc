using System.Buffers;
using System.Globalization;

namespace Sluice.Platform.Http;

/// <summary>What ids and names may look like, checked at the edge before they reach a key, a script or a log line.</summary>
public static class Names
{
    private const string LettersAndDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    private static readonly SearchValues<char> UserIdChars = SearchValues.Create(LettersAndDigits + "_-.@");
    private static readonly SearchValues<char> KeyChars = SearchValues.Create(LettersAndDigits + "_-");

    /// <summary>1–64 letters, digits, <c>_ - . @</c>.</summary>
    public static bool IsUserId(string? text) => text is { Length: >= 1 and <= 64 } && !text.AsSpan().ContainsAnyExcept(UserIdChars);

    /// <summary>16–64 letters, digits, <c>_ -</c>.</summary>
    public static bool IsIdempotencyKey(string? text) => text is { Length: >= 16 and <= 64 } && !text.AsSpan().ContainsAnyExcept(KeyChars);

    /// <summary>1–64 letters, digits, <c>_ - .</c>; no dot first.</summary>
    public static bool IsSku(string? text) => text is { Length: >= 1 and <= 64 } && text[0] != '.' && !text.AsSpan().ContainsAnyExcept(UserIdChars) && !text.Contains('@');

    /// <summary>An ISO 4217 code by its form: three capital letters.</summary>
    public static bool IsCurrency(string? text) => text is { Length: 3 } && !text.AsSpan().ContainsAnyExceptInRange('A', 'Z');

    /// <summary>Text that people read: 1 to <paramref name="charsMax"/> characters, no control or direction-changing ones, not blank, no lone surrogate.</summary>
    public static bool IsText(string? text, int charsMax)
    {
        if (string.IsNullOrWhiteSpace(text) || text.Length > charsMax)
        {
            return false;
        }

        for (var i = 0; i < text.Length; i++)
        {
            if (char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
            {
                i++;
            }
            else if (char.IsSurrogate(text[i]) || char.IsControl(text[i]) || text[i] is (>= '\u202a' and <= '\u202e') or (>= '\u2066' and <= '\u2069'))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Text of several lines: as <see cref="IsText"/>, with <c>\n</c> in between.</summary>
    public static bool IsLines(string? text, int charsMax) => IsText(text?.Replace('\n', ' '), charsMax);

    /// <summary>An id as it stands in JSON and in paths: 1–19 digits, no sign, no leading zero.</summary>
    public static bool TryId(string? text, out long id)
    {
        id = 0;
        return text is { Length: >= 1 and <= 19 } && text[0] != '0' && long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out id);
    }

    /// <summary>An RFC 3339 time with its offset, from 2020 to 2059; without an offset nobody knows which hour is meant.</summary>
    public static bool TryTime(string? text, out DateTimeOffset time)
    {
        time = default;
        return text is { Length: >= 20 and <= 35 } && text[10] == 'T' && (text[^1] == 'Z' || text[^6] is '+' or '-') &&
            DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out time) &&
            time.Year is >= 2020 and < 2060;
    }

    /// <summary>An ISO 8601 duration within bounds, e.g. <c>PT15M</c>.</summary>
    public static bool TryDuration(string? text, TimeSpan min, TimeSpan max, out TimeSpan duration)
    {
        duration = default;
        try
        {
            duration = text is { Length: >= 3 and <= 20 } ? System.Xml.XmlConvert.ToTimeSpan(text) : default;
            return duration >= min && duration <= max;
        }
        catch (Exception e) when (e is FormatException or OverflowException)
        {
            return false;
        }
    }

    /// <summary>The id as decimal string.</summary>
    public static string Id(long id) => id.ToString(CultureInfo.InvariantCulture);
}

using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Sluice.Platform.Pools;

/// <summary>
/// A claim as text, the two forms that Claim.lua writes: in the queue <c>1,&lt;user&gt;,&lt;id&gt;,&lt;units&gt;,&lt;key&gt;</c> (1 = version of the form; 2: with terms as a sixth field),
/// in the holders <c>&lt;id&gt;,&lt;units&gt;,&lt;key&gt;[,&lt;terms&gt;];</c> with a leading <c>-</c> once released. Neither users nor keys nor terms can contain a comma or semicolon.
/// </summary>
public static class ClaimEntry
{
    public static string ToQueue(Claim claim) =>
        claim.Terms is null ? string.Create(CultureInfo.InvariantCulture, $"1,{claim.UserId},{claim.Id},{claim.Units},{claim.IdempotencyKey}")
            : string.Create(CultureInfo.InvariantCulture, $"2,{claim.UserId},{claim.Id},{claim.Units},{claim.IdempotencyKey},{claim.Terms}");

    /// <summary>Reads a queue entry. False for anything that Claim.lua cannot have written.</summary>
    public static bool TryFromQueue(long poolId, string? entry, [NotNullWhen(true)] out Claim? claim)
    {
        claim = null;
        if (entry is null || entry.Split(',') is not ([_, var user, var id, var units, var key, ..] and var fields) || fields[0] != (fields.Length == 6 ? "2" : "1") || fields.Length > 6)
        {
            return false;
        }

        var terms = fields.Length == 6 ? fields[5] : null;
        if (terms is not null && !IsTerms(terms))
        {
            return false;
        }

        if (user.Length is 0 or > 64 || key.Length > 64 ||
            !long.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var idNumber) ||
            !int.TryParse(units, NumberStyles.None, CultureInfo.InvariantCulture, out var unitsNumber) || unitsNumber < 1)
        {
            return false;
        }

        claim = new Claim(idNumber, poolId, user, unitsNumber, key.Length == 0 ? null : key, terms);
        return true;
    }

    /// <summary>What may be a claim's terms.</summary>
    public static bool IsTerms(string terms) => terms.Length is >= 1 and <= 32 && terms.All(char.IsAsciiLetterOrDigit);

    /// <param name="terms">Only of a claim that SQL does not have: of any other they are nobody's question any more.</param>
    public static string ToHolder(long id, int units, string? key, bool released, string? terms = null) =>
        string.Create(CultureInfo.InvariantCulture, $"{(released ? "-" : "")}{id},{units},{key}{(terms is null ? "" : ",")}{terms};");

    /// <summary>Reads a value of the holders hash: each claim of one user.</summary>
    public static IEnumerable<(long Id, int Units, string Key, bool Released)> FromHolder(string value)
    {
        foreach (var part in value.Split(';', StringSplitOptions.RemoveEmptyEntries))
        {
            var released = part[0] == '-';
            var fields = part.Split(',');
            yield return (
                long.Parse(fields[0].AsSpan(released ? 1 : 0), NumberStyles.None, CultureInfo.InvariantCulture),
                int.Parse(fields[1], NumberStyles.None, CultureInfo.InvariantCulture),
                fields[2],
                released);
        }
    }
}

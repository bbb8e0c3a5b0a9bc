using System.Globalization;

namespace Sluice.Modules.Catalog.Contracts;

/// <summary>Amounts as people and search engines write them.</summary>
public static class Money
{
    // ISO 4217; every other currency has two.
    private static readonly HashSet<string> WithoutDecimals = ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"];
    private static readonly HashSet<string> WithThree = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

    /// <summary>12.50 EUR → 1250, 1250 JPY → 1250. False: no amount, below 0, or with more decimals than the currency has.</summary>
    public static bool TryParse(string text, string currency, out long minorUnits)
    {
        minorUnits = 0;
        if (!decimal.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var amount) || amount < 0 || amount > long.MaxValue / 1_000)
        {
            return false;
        }

        var minor = amount * Scale(currency);
        minorUnits = (long)minor;
        return minorUnits == minor;
    }

    /// <summary>1250 EUR → 12.50, 1250 JPY → 1250.</summary>
    public static string Amount(long minorUnits, string currency)
    {
        var scale = Scale(currency);
        return ((decimal)minorUnits / scale).ToString(scale switch { 1 => "F0", 1_000 => "F3", _ => "F2" }, CultureInfo.InvariantCulture);
    }

    private static int Scale(string currency) => WithoutDecimals.Contains(currency) ? 1 : WithThree.Contains(currency) ? 1_000 : 100;
}

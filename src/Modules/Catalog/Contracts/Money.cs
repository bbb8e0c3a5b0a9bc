using System.Globalization;

namespace Sluice.Modules.Catalog.Contracts;

/// <summary>Amounts as people and search engines write them.</summary>
internal static class Money
{
    // ISO 4217; every other currency has two.
    private static readonly HashSet<string> WithoutDecimals = ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"];
    private static readonly HashSet<string> WithThree = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

    /// <summary>1250 EUR → 12.50, 1250 JPY → 1250.</summary>
    public static string Amount(long minorUnits, string currency)
    {
        var decimals = WithoutDecimals.Contains(currency) ? 0 : WithThree.Contains(currency) ? 3 : 2;
        var scale = decimals switch { 0 => 1, 3 => 1_000, _ => 100 };
        return ((decimal)minorUnits / scale).ToString("F" + decimals, CultureInfo.InvariantCulture);
    }
}

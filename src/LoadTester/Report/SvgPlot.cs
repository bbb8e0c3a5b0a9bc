using System.Globalization;
using System.Text.RegularExpressions;
using ScottPlot;

namespace Sluice.LoadTester.Report;

/// <summary>
/// Makes a plot's SVG a citizen of the page: colours become the page's tokens (so dark mode and print need no second picture), ids are
/// made unique, and text is set by the reader's own font instead of by the metrics of the font that the plot was measured with.
/// </summary>
internal static partial class SvgPlot
{
    /// <summary>The light values of the tokens, by the name of their CSS property. Plots use these and no other colours.</summary>
    public static readonly IReadOnlyDictionary<string, string> Tokens = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["ink"] = "#10242B",
        ["muted"] = "#4F666D",
        ["line"] = "#D7E2E0",
        ["rest"] = "#A9BDBF",
        ["pale"] = "#7DB9C4",
        ["water"] = "#0B7285",
        ["good"] = "#237032",
        ["warn"] = "#B35C00",
        ["bad"] = "#C92A2A",
    };

    private static readonly Dictionary<string, string> NameByHex = Tokens.ToDictionary(t => t.Value, t => t.Key, StringComparer.OrdinalIgnoreCase);

    public static Color Colour(string token) => Color.FromHex(Tokens[token]);

    /// <param name="id">Unique in the page.</param>
    /// <param name="label">What the picture shows, for those who do not see it.</param>
    public static string Render(Plot plot, string id, string label, int width, int height)
    {
        var svg = plot.GetSvgXml(width, height);
        svg = svg[svg.IndexOf("<svg", StringComparison.Ordinal)..];
        svg = SvgTag().Replace(svg, $"<svg class=\"plot\" role=\"img\" aria-label=\"{System.Net.WebUtility.HtmlEncode(label)}\" viewBox=\"0 0 {width} {height}\">", 1);
        svg = Hex().Replace(svg, match => NameByHex.TryGetValue(match.Groups["hex"].Value, out var name) ? $"{match.Groups["what"].Value}=\"var(--{name})\"" : match.Value);
        svg = ClipId().Replace(svg, $"${{before}}{id}-cl_");
        svg = Text().Replace(svg, Anchor);
        return Spaces().Replace(svg, ">\n<");
    }

    // Skia places every glyph by itself. Where the first and last glyph stand tells how the text was aligned.
    private static string Anchor(Match match)
    {
        var attributes = FontFamily().Replace(match.Groups["attributes"].Value, "");
        var text = match.Groups["text"].Value.Trim();
        var xs = match.Groups["x"].Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(x => double.Parse(x, CultureInfo.InvariantCulture)).ToArray();
        var y = match.Groups["y"].Value.TrimEnd(',', ' ');
        if (xs.Length < 2)
        {
            return string.Create(CultureInfo.InvariantCulture, $"<text{attributes} x=\"{(xs.Length > 0 ? xs[0] : 0):0.##}\" y=\"{y}\">{text}</text>");
        }

        var anchor = xs[0] > -0.5 ? "start" : xs[^1] > -0.5 ? "middle" : "end";
        return $"<text{attributes} text-anchor=\"{anchor}\" x=\"0\" y=\"{y}\">{text}</text>";
    }

    [GeneratedRegex("<svg[^>]*>", RegexOptions.None, 1000)]
    private static partial Regex SvgTag();

    [GeneratedRegex("(?<what>fill|stroke)=\"(?<hex>#[0-9A-Fa-f]{6})\"", RegexOptions.None, 1000)]
    private static partial Regex Hex();

    [GeneratedRegex("(?<before>id=\"|url\\(#)cl_", RegexOptions.None, 1000)]
    private static partial Regex ClipId();

    [GeneratedRegex("<text(?<attributes>[^>]*?) x=\"(?<x>[^\"]*)\" y=\"(?<y>[^\"]*)\">(?<text>[^<]*)</text>", RegexOptions.None, 1000)]
    private static partial Regex Text();

    [GeneratedRegex(" font-family=\"[^\"]*\"", RegexOptions.None, 1000)]
    private static partial Regex FontFamily();

    [GeneratedRegex(">\\s+<", RegexOptions.None, 1000)]
    private static partial Regex Spaces();
}

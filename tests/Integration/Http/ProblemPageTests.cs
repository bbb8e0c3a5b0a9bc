using System.Text.RegularExpressions;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>docs/problems.md lists exactly the problems that the source has: code and status.</summary>
public sealed partial class ProblemPageTests
{
    [Fact]
    public void ProblemPage_AndSource_ListTheSameCodes()
    {
        var source = Directory.EnumerateFiles(Path.Combine(Programs.Root, "src"), "*.cs", SearchOption.AllDirectories)
            .Where(file => !file.Contains("LoadTester", StringComparison.Ordinal))
            .SelectMany(file => Made().Matches(File.ReadAllText(file)))
            .SelectMany(made => Code().Matches(made.Groups["codes"].Value).Select(code => $"{made.Groups["status"].Value} {code.Groups["code"].Value}"));
        var page = Page();

        Assert.Equal(page.Count, page.Distinct().Count());
        Assert.Equal(source.Distinct().Order(StringComparer.Ordinal), page.Order(StringComparer.Ordinal));
    }

    /// <summary>Each problem on the page as <c>409 sold-out</c>.</summary>
    internal static IReadOnlyList<string> Page() =>
    [
        .. File.ReadLines(Path.Combine(Programs.Root, "docs/problems.md"))
            .Select(line => Row().Match(line)).Where(row => row.Success).Select(row => $"{row.Groups["status"].Value} {row.Groups["code"].Value}"),
    ];

    // new Problem(409, "sold-out", "Sold out", …) or new(409, …), perhaps with a choice between two codes.
    [GeneratedRegex(@"new(?: Problem)?\(\s*(?<status>[45]\d\d),\s*(?<codes>.+?),\s*""[A-Z]", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1_000)]
    private static partial Regex Made();

    [GeneratedRegex(@"(?<=^|[?:] )""(?<code>[a-z-]+)""", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1_000)]
    private static partial Regex Code();

    [GeneratedRegex(@"^\| `(?<code>[a-z-]+)` \| (?<status>\d{3}) \|", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1_000)]
    private static partial Regex Row();
}

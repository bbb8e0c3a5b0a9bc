using System.Text.RegularExpressions;

namespace Sluice.Tests.Unit.House;

/// <summary>The documents are part of the product: their links lead somewhere, and the tests they name exist.</summary>
public sealed partial class DocsTests
{
    private static IEnumerable<string> Documents => SourceTree.Files(".", "*.md");

    [Fact]
    public void Links_LeadToFilesThatExist()
    {
        var dead = new List<string>();
        foreach (var file in Documents)
        {
            foreach (Match link in Link().Matches(SourceTree.Read(file)))
            {
                var target = link.Groups[1].Value.Split('#')[0];
                if (target.Length > 0 && !target.Contains("://", StringComparison.Ordinal) && !target.StartsWith("mailto:", StringComparison.Ordinal) &&
                    !Path.Exists(Path.GetFullPath(Path.Combine(SourceTree.Root, Path.GetDirectoryName(file)!, target))))
                {
                    dead.Add($"{file}: {target}");
                }
            }
        }

        Assert.Empty(dead);
    }

    [Fact]
    public void Guarantees_NameTestsThatExist()
    {
        var tests = string.Concat(SourceTree.Files("tests", "*.cs").Select(SourceTree.Read));
        var named = TestName().Matches(SourceTree.Read("docs/guarantees.md")).Select(match => match.Groups[1].Value).Distinct(StringComparer.Ordinal).ToList();
        Assert.NotEmpty(named);
        Assert.Empty(named.Where(name => !Regex.IsMatch(tests, $@"\b{name}\b")));
    }

    [Fact]
    public void Guarantees_NameCodeThatExists()
    {
        var paths = CodePath().Matches(SourceTree.Read("docs/guarantees.md")).Select(match => match.Groups[1].Value).Distinct(StringComparer.Ordinal).ToList();
        Assert.NotEmpty(paths);
        Assert.Empty(paths.Where(path => !File.Exists(Path.Combine(SourceTree.Root, path))));
    }

    [GeneratedRegex(@"\[[^\]]*\]\(([^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"`([A-Z][A-Za-z0-9]+_[A-Za-z0-9_]+)`")]
    private static partial Regex TestName();

    [GeneratedRegex(@"`(src/[A-Za-z0-9/._-]+\.(?:cs|lua))`")]
    private static partial Regex CodePath();
}

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

    public static TheoryData<string> Modules =>
        new(Directory.GetDirectories(Path.Combine(SourceTree.Root, "src/Modules")).Select(folder => Path.GetFileName(folder)).Where(name => name is not ("obj" or "bin")));

    [Theory]
    [MemberData(nameof(Modules))]
    public void ModulePage_NamesItsFilesRoutesAndTables_AndNoOthers(string module)
    {
        var folder = $"src/Modules/{module}";
        var page = SourceTree.Read($"{folder}/README.md");
        var files = SourceTree.Files(folder, "*.cs").ToDictionary(file => Path.GetRelativePath(folder, file), SourceTree.Read);
        var source = string.Concat(files.Values);

        Assert.Equal(
            files.Keys.Order(StringComparer.Ordinal),
            FileRow().Matches(page).SelectMany(row => SourceName().Matches(row.Value)).Select(name => name.Groups[1].Value).Order(StringComparer.Ordinal));

        // A row may add verbs to its address: `…/{id}/open`, `/pause`.
        var rows = RouteRow().Matches(page).Select(row => row.Value).ToList();
        var routes = RouteMapped().Matches(source).Select(map => $"{map.Groups[1].Value.ToUpperInvariant()} {map.Groups[2].Value}").ToList();
        Assert.NotEmpty(routes);
        Assert.Empty(routes.Where(route => !rows.Any(row => row.Contains($"`{route}`", StringComparison.Ordinal))));
        Assert.Empty(rows.SelectMany(row => RouteNamed().Matches(row)).Select(name => name.Groups[1].Value).Where(route => !routes.Contains(route) && !route.EndsWith("/open", StringComparison.Ordinal)));

        Assert.Empty(TableMade().Matches(source).Select(table => table.Groups[1].Value).Where(table => !page.Contains($"`{table}`", StringComparison.Ordinal)));
        Assert.InRange(page.Count(c => c == '\n'), 20, 80);
    }

    [GeneratedRegex(@"^\| `.+\.cs` \|", RegexOptions.Multiline)]
    private static partial Regex FileRow();

    [GeneratedRegex(@"`([A-Za-z0-9_/]+\.cs)`")]
    private static partial Regex SourceName();

    [GeneratedRegex(@"^\| `(?:GET|POST|PUT|PATCH|DELETE) .+$", RegexOptions.Multiline)]
    private static partial Regex RouteRow();

    [GeneratedRegex(@"`((?:GET|POST|PUT|PATCH|DELETE) [^`]+)`")]
    private static partial Regex RouteNamed();

    [GeneratedRegex(@"\.Map(Get|Post|Put|Patch|Delete)\(""([^""]+)""")]
    private static partial Regex RouteMapped();

    [GeneratedRegex(@"Create\.Table\(""(\w+)""")]
    private static partial Regex TableMade();

    [GeneratedRegex(@"\[[^\]]*\]\(([^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"`([A-Z][A-Za-z0-9]+_[A-Za-z0-9_]+)`")]
    private static partial Regex TestName();

    [GeneratedRegex(@"`(src/[A-Za-z0-9/._-]+\.(?:cs|lua))`")]
    private static partial Regex CodePath();
}

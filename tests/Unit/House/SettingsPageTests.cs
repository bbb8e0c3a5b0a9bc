using System.Text;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Microsoft.CodeAnalysis;
using Sluice.Host;

namespace Sluice.Tests.Unit.House;

/// <summary>docs/settings.md is written from the options classes, so it cannot be behind them. <c>UPDATE_DOCS=1</c> writes it anew.</summary>
public sealed partial class SettingsPageTests
{
    private const string Page = "docs/settings.md";

    [Fact]
    public void SettingsPage_SaysWhatTheOptionsClassesSay()
    {
        var text = Write();
        if (Environment.GetEnvironmentVariable("UPDATE_DOCS") == "1")
        {
            File.WriteAllText(Path.Combine(SourceTree.Root, Page), text);
        }

        Assert.Equal(text, SourceTree.Read(Page));
    }

    private static string Write()
    {
        var page = new StringBuilder("# Settings\n\n")
            .Append("**Each comes from `appsettings.json` (section `Sluice`), the environment or the command line, the later over the earlier; one that is unknown or out of bounds stops the start.**\n")
            .Append("`Pools:Durability` is `SLUICE__POOLS__DURABILITY` in the environment and `--set Pools:Durability=Committed` on the command line. The banner at the start shows what is not default.\n");
        var classes = SourceTree.Compilation.GetSymbolsWithName(name => name.EndsWith("Options", StringComparison.Ordinal), SymbolFilter.Type).OfType<INamedTypeSymbol>()
            .OrderBy(type => type.Name != "NodeOptions").ThenBy(type => type.Name, StringComparer.Ordinal);
        foreach (var type in classes)
        {
            // A class may be of several sections: one for each module that has such settings.
            var sections = Node.Sections.Where(section => section.Value.Name == type.Name).Select(section => section.Key).Order(StringComparer.Ordinal).ToList();
            Assert.True(sections.Count > 0, $"{type.Name} is of no section.");
            page.Append(sections is [""] ? "\n## The node\n" : $"\n## {string.Join(", ", sections)}\n").Append("| setting | default | allowed | |\n|---|---|---|---|\n");
            foreach (var property in type.GetMembers().OfType<IPropertySymbol>().Where(property => property.DeclaredAccessibility == Accessibility.Public))
            {
                page.Append($"| {string.Join(", ", sections.Select(section => $"`{(section.Length == 0 ? "" : section + ":")}{property.Name}`"))} | {Default(property)} | {Allowed(property)} | {Explained(property)} |\n");
            }
        }

        return page.ToString();
    }

    private static string Default(IPropertySymbol property)
    {
        var source = property.DeclaringSyntaxReferences[0].GetSyntax().ToString();
        var value = Initializer().Match(source) is { Success: true } match ? match.Groups[1].Value : property.Type.SpecialType == SpecialType.System_Boolean ? "false" : "0";
        return $"`{value.Replace("TimeSpan.From", "", StringComparison.Ordinal).Replace("_", "", StringComparison.Ordinal).Trim('"')}`";
    }

    private static string Allowed(IPropertySymbol property)
    {
        var range = property.GetAttributes().FirstOrDefault(attribute => attribute.AttributeClass?.Name == "RangeAttribute");
        if (range is not null)
        {
            return string.Join(" – ", range.ConstructorArguments.Where(argument => argument.Kind != TypedConstantKind.Type).Select(argument => $"`{argument.Value}`"));
        }

        return property.Type.TypeKind == TypeKind.Enum ? string.Join(", ", property.Type.GetMembers().OfType<IFieldSymbol>().Select(field => $"`{field.Name}`"))
            : property.Type.SpecialType == SpecialType.System_Boolean ? "`true`, `false`" : "";
    }

    private static string Explained(IPropertySymbol property)
    {
        var xml = XElement.Parse(property.GetDocumentationCommentXml() is { Length: > 0 } comment ? comment : "<member><summary/></member>");
        var text = string.Concat(xml.Element("summary")!.DescendantNodes().Select(node => node switch
        {
            XText { Parent.Name.LocalName: "c" } code => $"`{code.Value}`",
            XText plain => plain.Value,
            XElement { Name.LocalName: "see" } see => $"`{see.Attribute("cref")!.Value.Split('.')[^1]}`",
            _ => "",
        }));
        return Blank().Replace(text.Trim(), " ").Replace("|", "\\|", StringComparison.Ordinal);
    }

    [GeneratedRegex(@"\}\s*=\s*(.+);$")]
    private static partial Regex Initializer();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Blank();
}

using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Sluice.Tests.Unit.House;

/// <summary>What a reviewer would otherwise have to say every time.</summary>
public sealed partial class TidyTests
{
    private const int LinesMax = 400;

    private static readonly string[] EmptyWords = ["Manager", "Helper", "Helpers", "Util", "Utils", "Common", "Base", "Impl", "Data", "Info", "Processor", "Service"];

    private static IEnumerable<string> Sources => SourceTree.Files("src", "*.cs");

    [Fact]
    public void Files_StayShortEnoughToRead() =>
        Assert.Empty(Sources.Concat(SourceTree.Files("tests", "*.cs")).Where(file => SourceTree.Read(file).Count(c => c == '\n') > LinesMax));

    [Fact]
    public void TypeNames_SayWhatTheThingIs() => Assert.Empty(Types().Where(type => EmptyWords.Any(word => type.Name.EndsWith(word, StringComparison.Ordinal))).Select(type => $"{type.File}: {type.Name}"));

    [Fact]
    public void Classes_AreSealedOrStatic() => Assert.Empty(
        Types().Where(type => type.Node is ClassDeclarationSyntax or RecordDeclarationSyntax { ClassOrStructKeyword.RawKind: not (int)SyntaxKind.StructKeyword })
            .Where(type => !type.Node.Modifiers.Any(modifier => modifier.Kind() is SyntaxKind.SealedKeyword or SyntaxKind.StaticKeyword or SyntaxKind.AbstractKeyword))
            .Select(type => $"{type.File}: {type.Name}"));

    [Fact]
    public void Catches_DoSomething() => Assert.Empty(
        Sources.SelectMany(file => CSharpSyntaxTree.ParseText(SourceTree.Read(file)).GetRoot().DescendantNodes().OfType<CatchClauseSyntax>()
            .Where(clause => clause.Block.Statements.Count == 0 && !clause.Block.ToFullString().Contains("//", StringComparison.Ordinal))
            .Select(clause => $"{file}: {clause.ToString()[..Math.Min(60, clause.ToString().Length)]}")));

    [Fact]
    public void Interfaces_HaveTwoImplementationsOrAModuleBehindThem()
    {
        // The module boundary and what a module gives to the platform (each new module adds one), the load tester's screens (terminal, lines, nothing), RabbitMQ and Kafka, SQLite and MySQL, a folder and a bucket, Redis and memcached and MongoDB for what nodes share, and Sentinels and a Redis Cluster.
        string[] boundaries = ["IBroker", "IModule", "IPoolKind", "IPrimaries", "IQueueUse", "IScreen", "ISharedStore", "ISitePart", "ISiteTarget", "ISqlEngine"];
        Assert.Equal(boundaries.Order(StringComparer.Ordinal), Types().Where(type => type.Node is InterfaceDeclarationSyntax).Select(type => type.Name).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Comments_CarryNoDebt() =>
        Assert.Empty(Sources.Concat(SourceTree.Files("tests", "*.cs")).Where(file => !file.EndsWith("TidyTests.cs", StringComparison.Ordinal) && Debt().IsMatch(SourceTree.Read(file))));

    [Fact]
    public void Settings_HaveBoundsOnEveryNumber()
    {
        var properties = Types().Where(type => type.Name.EndsWith("Options", StringComparison.Ordinal) && !type.File.StartsWith("src/LoadTester", StringComparison.Ordinal))
            .SelectMany(type => type.Node.Members.OfType<PropertyDeclarationSyntax>().Select(property => (type, property))).ToList();
        Assert.NotEmpty(properties);
        Assert.Empty(properties
            .Where(each => each.property.Type.ToString() is "int" or "long" or "double" or "TimeSpan")
            .Where(each => !each.property.AttributeLists.ToString().Contains("Range", StringComparison.Ordinal))
            .Select(each => $"{each.type.Name}.{each.property.Identifier}"));
    }

    [Fact]
    public void Settings_AreExplained() => Assert.Empty(
        Types().Where(type => type.Name.EndsWith("Options", StringComparison.Ordinal) && !type.File.StartsWith("src/LoadTester", StringComparison.Ordinal))
            .SelectMany(type => type.Node.Members.OfType<PropertyDeclarationSyntax>()
                .Where(property => property.Modifiers.Any(modifier => modifier.IsKind(SyntaxKind.PublicKeyword)) && !property.GetLeadingTrivia().ToFullString().Contains("///", StringComparison.Ordinal))
                .Select(property => $"{type.Name}.{property.Identifier}")));

    [Fact]
    public void Scripts_SayTheirKeysAndArguments() => Assert.All(
        SourceTree.Files("src", "*.lua"),
        file =>
        {
            var text = SourceTree.Read(file);
            Assert.Contains("-- KEYS", text, StringComparison.Ordinal);
            Assert.Contains("-- ARGV", text, StringComparison.Ordinal);
            Assert.Contains("-- Answer", text, StringComparison.OrdinalIgnoreCase);
        });

    private static IEnumerable<(string File, string Name, TypeDeclarationSyntax Node)> Types() =>
        Sources.SelectMany(file => CSharpSyntaxTree.ParseText(SourceTree.Read(file)).GetRoot().DescendantNodes().OfType<TypeDeclarationSyntax>()
            .Select(type => (file, type.Identifier.Text, type)));

    [GeneratedRegex(@"\b(TODO|FIXME|HACK|XXX)\b")]
    private static partial Regex Debt();
}

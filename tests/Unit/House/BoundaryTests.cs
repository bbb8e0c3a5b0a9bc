using Microsoft.CodeAnalysis;

namespace Sluice.Tests.Unit.House;

/// <summary>The walls of the house: who may use whom. Resolved by the compiler, so neither an alias nor an inferred type gets around it.</summary>
public sealed class BoundaryTests
{
    [Fact]
    public void Sources_CompileTogether_SoTheWallsAreReallyLookedAt()
    {
        var errors = SourceTree.Compilation.GetDiagnostics().Where(diagnostic => diagnostic.Severity == DiagnosticSeverity.Error && !IsGenerated(diagnostic)).Take(5).ToList();
        Assert.Empty(errors);

        // Log methods and JSON contexts are completed by generators, which do not run here.
        static bool IsGenerated(Diagnostic diagnostic) => diagnostic.Id is "CS8795" or "CS0534" or "CS0117" or "CS7036" or "CS1729" or "CS8130";
    }

    [Fact]
    public void Platform_UsesNoModule() => AssertNoUse("src/Platform", type => Namespace(type).StartsWith("Sluice.Modules", StringComparison.Ordinal));

    [Fact]
    public void Modules_UseOtherModules_OnlyThroughTheirContracts()
    {
        foreach (var module in Directory.GetDirectories(Path.Combine(SourceTree.Root, "src/Modules")).Select(Path.GetFileName).Where(name => name is not ("obj" or "bin")))
        {
            var own = $"Sluice.Modules.{module}";
            AssertNoUse($"src/Modules/{module}", type =>
                Namespace(type) is var from && from.StartsWith("Sluice.Modules.", StringComparison.Ordinal) && !IsIn(from, own) && !from.EndsWith(".Contracts", StringComparison.Ordinal));
        }
    }

    [Theory]
    [InlineData("StackExchange.Redis.ConnectionMultiplexer", "src/Platform/Redis")]
    [InlineData("Microsoft.Data.Sqlite.SqliteConnection", "src/Platform/Sql")]
    [InlineData("Garnet.GarnetServer", "src/Platform/Redis")]
    public void Engines_AreOpened_InOnePlace(string type, string folder)
    {
        var uses = SourceTree.Compilation.SyntaxTrees.Where(tree => tree.FilePath.StartsWith("src/", StringComparison.Ordinal))
            .Where(tree => SourceTree.TypesUsedIn(tree).Any(use => use.Type.ToDisplayString() == type)).Select(tree => tree.FilePath).ToList();
        Assert.NotEmpty(uses);
        Assert.All(uses, file => Assert.StartsWith(folder + "/", file));
    }

    private static void AssertNoUse(string folder, Func<ITypeSymbol, bool> isForbidden)
    {
        var trees = SourceTree.Compilation.SyntaxTrees.Where(tree => tree.FilePath.StartsWith(folder + "/", StringComparison.Ordinal)).ToList();
        Assert.NotEmpty(trees);
        var uses = trees.SelectMany(tree => SourceTree.TypesUsedIn(tree).Where(use => isForbidden(use.Type)).Select(use => $"{tree.FilePath}:{use.Line} uses {use.Type.ToDisplayString()}")).Distinct(StringComparer.Ordinal).ToList();
        Assert.Empty(uses);
    }

    private static string Namespace(ITypeSymbol type) => type.ContainingNamespace.ToDisplayString();

    private static bool IsIn(string name, string root) => name == root || name.StartsWith(root + ".", StringComparison.Ordinal);
}

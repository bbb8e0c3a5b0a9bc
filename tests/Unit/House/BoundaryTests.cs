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
    public void Platform_UsesNoModule() => AssertNoUse("src/Platform", from => IsIn(from, "Sluice.Modules"));

    [Fact]
    public void Platform_AndModules_UseNoOperations()
    {
        AssertNoUse("src/Platform", from => IsIn(from, "Sluice.Operations"));
        AssertNoUse("src/Modules", from => IsIn(from, "Sluice.Operations"));
        AssertNoUse("src/Operations", from => IsIn(from, "Sluice.Modules"));
    }

    [Fact]
    public void Modules_UseOtherModules_OnlyThroughTheirContracts()
    {
        foreach (var module in Directory.GetDirectories(Path.Combine(SourceTree.Root, "src/Modules")).Select(Path.GetFileName).Where(name => name is not ("obj" or "bin")))
        {
            AssertNoUse($"src/Modules/{module}", from => IsIn(from, "Sluice.Modules") && from != "Sluice.Modules" && !IsIn(from, $"Sluice.Modules.{module}") && !from.EndsWith(".Contracts", StringComparison.Ordinal));
        }
    }

    [Theory]
    [InlineData("StackExchange.Redis.ConnectionMultiplexer", "src/Platform/Redis")]
    [InlineData("Microsoft.Data.Sqlite.SqliteConnection", "src/Platform/Sql")]
    [InlineData("MySqlConnector.MySqlDataSource", "src/Platform/Sql")]
    [InlineData("MySqlConnector.MySqlConnection", "src/Platform/Sql")]
    [InlineData("Garnet.GarnetServer", "src/Platform/Redis")]
    public void Engines_AreOpened_InOnePlace(string type, string folder)
    {
        var files = SourceTree.Uses.Where(file => file.Value.Any(use => use.Type == type)).Select(file => file.Key).ToList();
        Assert.NotEmpty(files);
        Assert.All(files, file => Assert.StartsWith(folder + "/", file));
    }

    private static void AssertNoUse(string folder, Func<string, bool> isForbidden)
    {
        var files = SourceTree.Uses.Where(file => file.Key.StartsWith(folder + "/", StringComparison.Ordinal)).ToList();
        Assert.NotEmpty(files);
        Assert.Empty(files.SelectMany(file => file.Value.Where(use => isForbidden(use.Namespace)).Select(use => $"{file.Key}:{use.Line} uses {use.Type}")));
    }

    private static bool IsIn(string name, string root) => name == root || name.StartsWith(root + ".", StringComparison.Ordinal);
}

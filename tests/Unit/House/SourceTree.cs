using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Text;

namespace Sluice.Tests.Unit.House;

/// <summary>The repository as it lies on the disk, and the product's sources with their meaning resolved by the compiler.</summary>
internal static class SourceTree
{
    private static readonly Lazy<CSharpCompilation> Compiled = new(Compile);

    private static readonly Lazy<Dictionary<string, IReadOnlyList<TypeUse>>> Used = new(FindUses);

    public static string Root { get; } = FindRoot();

    /// <summary>The product's sources, compiled as one; the first access takes a few seconds.</summary>
    public static CSharpCompilation Compilation => Compiled.Value;

    /// <summary>Every file that git would take, by path relative to the root.</summary>
    public static IReadOnlyList<string> Files(string folder, string pattern) =>
        [.. Directory.EnumerateFiles(Path.Combine(Root, folder), pattern, SearchOption.AllDirectories)
            .Select(file => Path.GetRelativePath(Root, file))
            .Where(file => !file.Split('/').Any(part => part is "obj" or "bin" or "artifacts" or "node_modules" or ".git" or "data"))
            .Order(StringComparer.Ordinal)];

    public static string Read(string file) => File.ReadAllText(Path.Combine(Root, file));

    private static CSharpCompilation Compile()
    {
        var options = new CSharpParseOptions(LanguageVersion.Latest, DocumentationMode.Parse);
        const string ImplicitUsings =
            "global using System; global using System.Collections.Generic; global using System.IO; global using System.Linq; global using System.Net.Http; global using System.Threading; " +
            "global using System.Threading.Tasks;";
        var trees = new[] { "src/Platform", "src/Modules", "src/Operations" }.SelectMany(folder => Files(folder, "*.cs"))
            .Select(file => CSharpSyntaxTree.ParseText(SourceText.From(Read(file)), options, file))
            .Append(CSharpSyntaxTree.ParseText(ImplicitUsings, options, "ImplicitUsings.cs"));
        var references = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Where(assembly => !Path.GetFileName(assembly).StartsWith("Sluice.", StringComparison.Ordinal))
            .Select(assembly => MetadataReference.CreateFromFile(assembly));
        return CSharpCompilation.Create("house", trees, references, new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, nullableContextOptions: NullableContextOptions.Enable));
    }

    /// <summary>Each type that each file uses and where, however it is named: by using, alias, full name, or only by inference.</summary>
    public static IReadOnlyDictionary<string, IReadOnlyList<TypeUse>> Uses => Used.Value;

    private static Dictionary<string, IReadOnlyList<TypeUse>> FindUses()
    {
        var uses = new Dictionary<string, IReadOnlyList<TypeUse>>(StringComparer.Ordinal);
        foreach (var tree in Compilation.SyntaxTrees.Where(tree => tree.FilePath.StartsWith("src/", StringComparison.Ordinal)))
        {
            var model = Compilation.GetSemanticModel(tree);
            var found = new HashSet<TypeUse>();
            foreach (var node in tree.GetRoot().DescendantNodes().Where(node => node is ExpressionSyntax or BaseTypeSyntax))
            {
                var symbol = model.GetSymbolInfo(node).Symbol;
                var types = new[] { model.GetTypeInfo(node).Type, symbol as ITypeSymbol, symbol?.ContainingType };
                foreach (var type in types.OfType<ITypeSymbol>().Where(type => type.ContainingNamespace is not null))
                {
                    found.Add(new(type.ToDisplayString(), type.ContainingNamespace.ToDisplayString(), node.GetLocation().GetLineSpan().StartLinePosition.Line + 1));
                }
            }

            uses[tree.FilePath] = [.. found];
        }

        return uses;
    }

    private static string FindRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Sluice.slnx")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("Not inside the repository.");
        }

        return folder;
    }
}

/// <summary>A type, its namespace, and the line that uses it.</summary>
internal readonly record struct TypeUse(string Type, string Namespace, int Line);

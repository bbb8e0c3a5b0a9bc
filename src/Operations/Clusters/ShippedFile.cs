using System.Text;

namespace Sluice.Operations.Clusters;

/// <summary>The configuration that is handed out to teams (deploy/…) is what the cluster on one host runs with.</summary>
internal static class ShippedFile
{
    /// <summary>A shipped file with other words in it. Each of them must be there, or the file and this have grown apart.</summary>
    public static string With(string name, params (string From, string To)[] changes)
    {
        using var stream = typeof(ShippedFile).Assembly.GetManifestResourceStream(name) ?? throw new InvalidOperationException($"{name} is not part of this program.");
        using var reader = new StreamReader(stream, Encoding.UTF8);
        var text = reader.ReadToEnd();
        foreach (var (from, to) in changes)
        {
            text = text.Contains(from, StringComparison.Ordinal) ? text.Replace(from, to, StringComparison.Ordinal) : throw new InvalidOperationException($"The shipped {name} has no '{from}'.");
        }

        return text;
    }
}

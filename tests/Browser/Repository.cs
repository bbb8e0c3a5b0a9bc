namespace Sluice.Tests.Browser;

/// <summary>Where this checkout lies, found from where the tests run.</summary>
internal static class Repository
{
    public static string Root { get; } = Find();

    private static string Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Sluice.slnx")))
                return folder.FullName;
        }

        throw new InvalidOperationException($"No Sluice.slnx above {AppContext.BaseDirectory}: run the tests from a checkout.");
    }
}

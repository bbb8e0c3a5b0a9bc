namespace Sluice.Tests.Servers;

/// <summary>The checkout that this program was built in, and the programs under test as ./test has built them.</summary>
public static class Programs
{
    public static string Root { get; } = FindRoot();

    /// <summary>As it was built; ./test compiles it ahead, and says where that is.</summary>
    public static string Server => Environment.GetEnvironmentVariable("SLUICE_TEST_SERVER") is { Length: > 0 } ahead ? ahead : Path.Combine(Root, "artifacts/bin/Sluice.Host/release/sluice.dll");

    public static string LoadTester => Path.Combine(Root, "artifacts/bin/Sluice.LoadTester/release/sluice-rush.dll");

    private static string FindRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Sluice.slnx")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("Not inside the repository: run this from a checkout.");
        }

        return folder;
    }
}

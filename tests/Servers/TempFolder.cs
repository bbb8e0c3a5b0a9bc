namespace Sluice.Tests.Servers;

/// <summary>A folder of one test's own, gone afterwards.</summary>
public sealed class TempFolder : IDisposable
{
    // SQLite takes away what belongs to its last connection, and may do that while the folder is being emptied.
    private const int Tries = 1_000;

    public string Path { get; } = Directory.CreateTempSubdirectory("sluice-test-").FullName;

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose()
    {
        for (var tried = 1; Directory.Exists(Path); tried++)
        {
            try
            {
                Directory.Delete(Path, recursive: true);
            }
            catch (IOException) when (tried < Tries)
            {
                Thread.Yield();
            }
        }
    }
}

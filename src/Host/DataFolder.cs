using Sluice.Platform.Hosting;

namespace Sluice.Host;

/// <summary>
/// The right to use a data folder with its embedded engine: one process at a time, because two would write one log. The owner leaves its address, so that
/// <c>sluice audit</c> can ask it. The operating system takes the lock back when the owner dies, however it dies.
/// </summary>
internal sealed class DataFolder : IDisposable
{
    private readonly FileStream file;
    private readonly string address;

    private DataFolder(FileStream file, string address) => (this.file, this.address) = (file, address);

    /// <exception cref="DependencyUnavailableException">Another process has it.</exception>
    public static DataFolder Own(string folder)
    {
        Directory.CreateDirectory(folder);
        try
        {
            var file = new FileStream(Path.Combine(folder, "sluice.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            return new DataFolder(file, Path.Combine(folder, "sluice.url"));
        }
        catch (IOException)
        {
            throw new DependencyUnavailableException("data folder", $"{Path.GetFullPath(folder)} is in use by another sluice{(OwnerOf(folder) is { } url ? $" at {url}" : "")}. Stop it, or choose another folder with --data.");
        }
    }

    /// <summary>The address of the server that owns the folder, or null.</summary>
    public static string? OwnerOf(string folder)
    {
        var path = Path.Combine(folder, "sluice.url");
        return File.Exists(path) ? File.ReadAllText(path).Trim() : null;
    }

    /// <summary>True when some process owns the folder now.</summary>
    public static bool IsOwned(string folder)
    {
        try
        {
            if (!File.Exists(Path.Combine(folder, "sluice.lock")))
            {
                return false;
            }

            using var probe = new FileStream(Path.Combine(folder, "sluice.lock"), FileMode.Open, FileAccess.ReadWrite, FileShare.None);
            return false;
        }
        catch (IOException)
        {
            return true;
        }
    }

    public void Announce(string url) => File.WriteAllText(address, url);

    public void Dispose()
    {
        File.Delete(address);
        file.Dispose();
    }
}

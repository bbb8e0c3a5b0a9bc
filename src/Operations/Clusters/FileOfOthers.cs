using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Sluice.Operations.Clusters;

/// <summary>
/// Reads a file without a lock on it. .NET takes one (flock) with each file that it opens: it cannot read one that its server has locked, and a server that starts meanwhile would find ours and end.
/// </summary>
internal static partial class FileOfOthers
{
    private const int ReadOnlyNotInherited = 0x80000;

    /// <summary>What is in it now; null when it is not there.</summary>
    public static string? TryRead(string path)
    {
        using var handle = Open(path, ReadOnlyNotInherited);
        if (handle.IsInvalid)
        {
            return null;
        }

        using var reader = new StreamReader(new FileStream(handle, FileAccess.Read));
        return reader.ReadToEnd();
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial SafeFileHandle Open(string path, int flags);
}

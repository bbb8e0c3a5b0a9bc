using System.IO.Compression;
using System.Runtime.InteropServices;
using Sluice.Platform.Hosting;
using Sluice.Platform.Site;

namespace Sluice.Operations.Publishing;

/// <summary>
/// A folder that a web server serves:
/// <code>
/// current            → releases/17-4f0c…      a link; replaced in one step
/// releases/17-4f0c…/ index.html, products/mug.html (.br, .gz), v1/products/mug.json, assets/…, manifest.json
/// </code>
/// A release is made beside the others under a name that nobody serves, and complete before <c>current</c> leads to it. What has not changed is the same file as before (a hard link), so a change costs what it changes.
/// </summary>
public sealed partial class FolderTarget(string folder, TimeProvider time) : ISiteTarget
{
    // Whoever still reads from a release of a moment ago finds it.
    private const int ReleasesKept = 3;

    // Pages that were loaded before a new build of the shop still ask for the scripts of before.
    private const int AssetFoldersKept = 4;

    private const int CompressBytesMin = 512;

    // What the systems say when somebody else has the lock.
    private const int LockedOnLinux = 11, LockedOnMac = 35, LockedOnWindows = unchecked((int)0x80070020);

    private bool isChecked;

    public string Describe => $"folder {Path.GetFullPath(folder)}";

    private string Releases => Path.Combine(folder, "releases");

    private string Current => Path.Combine(folder, "current");

    public async Task<SiteChange?> PublishAsync(Site site, CancellationToken cancel)
    {
        Directory.CreateDirectory(Releases);

        // One at a time, from reading to showing: so what is shown last was read last. The system gives the lock back when its holder dies.
        using var mine = TryLock();
        if (mine is null)
        {
            return null;
        }

        var draft = Path.Combine(Releases, $".draft-{Guid.NewGuid():N}");
        try
        {
            // Step 1: what those left who died here.
            foreach (var left in Directory.EnumerateDirectories(Releases, ".draft-*"))
            {
                Directory.Delete(left, recursive: true);
            }

            foreach (var left in Directory.EnumerateFileSystemEntries(folder, ".current-*"))
            {
                File.Delete(left);
            }

            // Step 2: the new release. The version is read before the files, so no file is older than it says.
            var before = ReadManifest();
            var manifest = new SiteManifest(await site.VersionAsync(), time.GetUtcNow(), new SortedDictionary<string, PublishedFile>(StringComparer.Ordinal));
            await foreach (var file in site.FilesAsync(cancel))
            {
                var published = SiteManifest.Describe(file);
                manifest.Files.Add(file.Url, published);
                await PutAsync(draft, file, before?.Files.GetValueOrDefault(file.Url) == published, cancel);
            }

            KeepOldAssets(draft);
            await File.WriteAllBytesAsync(Path.Combine(draft, SiteManifest.FileName), manifest.ToBytes(), cancel);
            FaultPoints.Reach("site.written");

            // Step 3: nothing new. The first time in a process every file was looked at, and is put anew if it was damaged.
            var changed = manifest.ChangedSince(before);
            if (changed.Count == 0 && before!.Version == manifest.Version && isChecked)
            {
                return new SiteChange(manifest, []);
            }

            // Step 4: shown, in one step.
            var release = Path.Combine(Releases, $"{manifest.Version}-{Guid.NewGuid().ToString("N")[..8]}");
            Directory.Move(draft, release);
            FaultPoints.Reach("site.named");
            Show(release);
            FaultPoints.Reach("site.shown");

            // Step 5: the oldest go.
            foreach (var old in new DirectoryInfo(Releases).EnumerateDirectories().Where(old => old.FullName != Path.GetFullPath(release)).OrderByDescending(old => old.LastWriteTimeUtc).Skip(ReleasesKept - 1).ToList())
            {
                old.Delete(recursive: true);
            }

            isChecked = true;
            return new SiteChange(manifest, changed);
        }
        finally
        {
            if (Directory.Exists(draft))
            {
                Directory.Delete(draft, recursive: true);
            }
        }
    }

    /// <summary>The file's place inside a release: pages end with .html and data with .json, so that a web server knows what they are.</summary>
    internal static string PathOf(string url, string contentType)
    {
        var path = url == "/" ? "index" : url[1..];
        return Path.HasExtension(path) && path.StartsWith("assets/", StringComparison.Ordinal) || path.StartsWith("img/", StringComparison.Ordinal) ? path
            : contentType.StartsWith("text/html", StringComparison.Ordinal) ? path + ".html"
            : contentType.StartsWith("application/json", StringComparison.Ordinal) ? path + ".json"
            : path;
    }

    private SiteManifest? ReadManifest()
    {
        var path = Path.Combine(Current, SiteManifest.FileName);
        return File.Exists(path) ? SiteManifest.FromBytes(File.ReadAllBytes(path)) : null;
    }

    private async Task PutAsync(string draft, SiteFile file, bool isUnchanged, CancellationToken cancel)
    {
        var path = PathOf(file.Url, file.ContentType);
        var place = Path.Combine(draft, path);
        Directory.CreateDirectory(Path.GetDirectoryName(place)!);
        if (isUnchanged && Reuse(Path.Combine(Current, path), place, file.Content.Length))
        {
            return;
        }

        await File.WriteAllBytesAsync(place, file.Content, cancel);
        if (file.Content.Length >= CompressBytesMin && IsText(file.ContentType))
        {
            await CompressAsync(place + ".br", output => new BrotliStream(output, CompressionLevel.Optimal), file.Content, cancel);
            await CompressAsync(place + ".gz", output => new GZipStream(output, CompressionLevel.Optimal), file.Content, cancel);
        }
    }

    private static bool IsText(string contentType) => contentType.StartsWith("text/", StringComparison.Ordinal) || contentType.Contains("json", StringComparison.Ordinal) || contentType.Contains("svg", StringComparison.Ordinal);

    private static async Task CompressAsync(string path, Func<Stream, Stream> compressor, byte[] content, CancellationToken cancel)
    {
        await using var output = File.Create(path);
        await using var compressed = compressor(output);
        await compressed.WriteAsync(content, cancel);
    }

    // The same file under one more name, with its compressed forms. A power cut may have left a file shorter than it was written.
    private static bool Reuse(string old, string place, long bytes)
    {
        if (new FileInfo(old) is not { Exists: true } there || there.Length != bytes || Link(old, place) != 0)
        {
            return false;
        }

        foreach (var form in new[] { ".br", ".gz" })
        {
            if (new FileInfo(old + form) is { Exists: true, Length: > 0 } && Link(old + form, place + form) != 0)
            {
                File.Copy(old + form, place + form);
            }
        }

        return true;
    }

    private void KeepOldAssets(string draft)
    {
        var assets = new DirectoryInfo(Path.Combine(Current, "assets"));
        if (!assets.Exists)
        {
            return;
        }

        var kept = Path.Combine(draft, "assets");
        foreach (var old in assets.EnumerateDirectories().Where(old => !Directory.Exists(Path.Combine(kept, old.Name))).OrderByDescending(old => old.LastWriteTimeUtc).Take(AssetFoldersKept - 1))
        {
            foreach (var file in old.EnumerateFiles("*", SearchOption.AllDirectories))
            {
                var place = Path.Combine(kept, old.Name, Path.GetRelativePath(old.FullName, file.FullName));
                Directory.CreateDirectory(Path.GetDirectoryName(place)!);
                if (Link(file.FullName, place) != 0)
                {
                    file.CopyTo(place);
                }
            }
        }
    }

    private void Show(string release)
    {
        var link = Path.Combine(folder, $".current-{Guid.NewGuid():N}");
        File.CreateSymbolicLink(link, Path.Combine("releases", Path.GetFileName(release)));
        if (Rename(link, Current) != 0)
        {
            var says = Marshal.GetLastPInvokeErrorMessage();
            File.Delete(link);
            throw new IOException($"{Current} cannot be replaced: {says}");
        }
    }

    private FileStream? TryLock()
    {
        try
        {
            return new FileStream(Path.Combine(folder, ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (e.HResult is LockedOnLinux or LockedOnMac or LockedOnWindows)
        {
            return null;
        }
    }

    [LibraryImport("libc", EntryPoint = "link", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Link(string old, string place);

    // .NET's own move of a link looks at what it leads to.
    [LibraryImport("libc", EntryPoint = "rename", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Rename(string from, string to);
}

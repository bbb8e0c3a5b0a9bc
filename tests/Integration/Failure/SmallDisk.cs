using System.Diagnostics;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>A disk of a few MiB that can be filled up: a tmpfs of its own. Needs root; a machine where it cannot be mounted fails the test and says so.</summary>
internal sealed class SmallDisk : IAsyncDisposable
{
    private readonly TempFolder folder = new();

    private SmallDisk()
    {
    }

    public string Path => folder.Path;

    private string Ballast => folder.File("ballast");

    public static async Task<SmallDisk> MountAsync(int sizeKiB)
    {
        var disk = new SmallDisk();
        var (exit, says) = await RunAsync("mount", "-t", "tmpfs", "-o", $"size={sizeKiB}k", "sluice-test", disk.Path);
        if (exit != 0)
        {
            disk.folder.Dispose();
            Assert.Fail($"The disk-full drill needs the right to mount a tmpfs (root, CAP_SYS_ADMIN): {says}");
        }

        return disk;
    }

    /// <summary>Writes until so much is left and no more.</summary>
    public void FillUpTo(int leftMiB)
    {
        using var file = new FileStream(Ballast, FileMode.Append, FileAccess.Write, FileShare.Read, bufferSize: 0);
        var block = new byte[1 << 20];
        while (new DriveInfo(Path).AvailableFreeSpace > (long)leftMiB << 20)
        {
            file.Write(block);
        }
    }

    /// <summary>Writes until not one byte more fits.</summary>
    public void Fill()
    {
        using var file = new FileStream(Ballast, FileMode.Append, FileAccess.Write, FileShare.Read, bufferSize: 0);
        foreach (var size in new[] { 1 << 20, 1 << 12, 1 })
        {
            var block = new byte[size];
            try
            {
                // Bounded by the disk, which is small.
                while (true)
                {
                    file.Write(block);
                }
            }
            catch (IOException)
            {
                // Full for blocks of this size.
            }
        }
    }

    /// <summary>Makes the disk larger.</summary>
    public async Task GrowAsync(int sizeKiB)
    {
        var (exit, says) = await RunAsync("mount", "-o", $"remount,size={sizeKiB}k", Path);
        Assert.True(exit == 0, says);
    }

    /// <summary>Takes the ballast away again.</summary>
    public void Free() => File.Delete(Ballast);

    public async ValueTask DisposeAsync()
    {
        var (exit, says) = await RunAsync("umount", Path);
        Assert.True(exit == 0, says);
        folder.Dispose();
    }

    private static async Task<(int Exit, string Says)> RunAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardError = true, UseShellExecute = false };
        using var process = Process.Start(start)!;
        var says = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, says);
    }
}

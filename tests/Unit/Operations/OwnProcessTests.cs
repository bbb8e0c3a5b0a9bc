using System.Diagnostics;
using Sluice.Operations;
using Sluice.Operations.Clusters;

namespace Sluice.Tests.Unit.Operations;

/// <summary>Only what a cluster started itself is ever signalled.</summary>
public sealed class OwnProcessTests : IDisposable
{
    private static readonly Dictionary<string, string> NoEnvironment = [];

    private readonly string folder = Directory.CreateTempSubdirectory("sluice-test-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Process_OfOurs_IsAliveUntilItIsEnded()
    {
        var process = Start("sleep", "600");
        Assert.True(process.IsAlive);
        Assert.True(await process.EndAsync(Signals.Term, TimeSpan.FromSeconds(30), CancellationToken.None));
        Assert.False(process.IsAlive);
    }

    [Fact]
    public async Task Process_WithTheSameIdAndAnotherStart_IsNotTouched()
    {
        using var stranger = Process.Start(new ProcessStartInfo("sleep", ["600"]))!;
        try
        {
            var ours = Start("true");
            var mistaken = ours with { Id = stranger.Id, StartTicks = 1 };
            Assert.False(mistaken.IsAlive);
            mistaken.Signal(Signals.Kill);
            mistaken.SignalAll(Signals.Kill);
            await mistaken.KillAsync(CancellationToken.None);
            Assert.True(await mistaken.EndAsync(Signals.Term, TimeSpan.Zero, CancellationToken.None));

            // Of another boot neither, whatever the numbers say.
            var before = Start("sleep", "600");
            Assert.False((before with { Boot = "another" }).IsAlive);
            await (before with { Boot = "another" }).KillAsync(CancellationToken.None);
            Assert.True(before.IsAlive);
            await before.KillAsync(CancellationToken.None);

            Assert.False(stranger.HasExited);
        }
        finally
        {
            stranger.Kill();
        }
    }

    [Fact]
    public async Task Process_ThatLeftChildrenBehind_IsEndedWithThem()
    {
        // As nginx whose master was killed: its workers keep the port.
        var child = Path.Combine(folder, "child");
        var process = Start("sh", "-c", $"sleep 600 & echo $! >{child}; wait");
        while (!File.Exists(child) || (await File.ReadAllTextAsync(child)).Length < 2)
        {
            await Task.Yield();
        }

        var id = int.Parse((await File.ReadAllTextAsync(child)).Trim(), System.Globalization.CultureInfo.InvariantCulture);
        Signals.Send(process.Id, Signals.Kill);
        while (process.IsAlive)
        {
            await Task.Yield();
        }

        Assert.True(Directory.Exists($"/proc/{id}"));
        await process.KillAsync(CancellationToken.None);
        Assert.True(!File.Exists($"/proc/{id}/stat") || (await File.ReadAllTextAsync($"/proc/{id}/stat")).Contains(") Z", StringComparison.Ordinal));
    }

    private OwnProcess Start(string program, params string[] arguments) => OwnProcess.Start(program, arguments, NoEnvironment, folder, Path.Combine(folder, "log"));
}

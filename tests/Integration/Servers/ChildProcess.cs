using System.Collections.Concurrent;
using System.Diagnostics;

namespace Sluice.Tests.Integration.Servers;

/// <summary>A process that this test started: its output, and the ways to end it. Ended by its own id, never by name.</summary>
public sealed class ChildProcess : IAsyncDisposable
{
    private readonly Process process;
    private readonly ConcurrentQueue<string> lines = new();

    private ChildProcess(Process process)
    {
        this.process = process;
        process.OutputDataReceived += (_, line) => Keep(line.Data);
        process.ErrorDataReceived += (_, line) => Keep(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public int Id => process.Id;

    public bool HasExited => process.HasExited;

    public int ExitCode => process.ExitCode;

    /// <summary>The last lines it said, for the message of a failed test.</summary>
    public string Output => string.Join(Environment.NewLine, lines);

    public static ChildProcess Start(string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null, string? folder = null)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true, UseShellExecute = false, WorkingDirectory = folder ?? "" };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        return new ChildProcess(Process.Start(start) ?? throw new InvalidOperationException($"{program} did not start."));
    }

    /// <summary>SIGKILL: no warning, nothing of it runs afterwards.</summary>
    public async Task KillAsync()
    {
        if (!process.HasExited)
        {
            process.Kill();
        }

        await process.WaitForExitAsync();
    }

    /// <summary>SIGTERM, and wait until it ended by itself.</summary>
    public async Task<int> TerminateAsync()
    {
        await SignalAsync("TERM");
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(60));
        return process.ExitCode;
    }

    public async Task<int> WaitAsync(TimeSpan atMost)
    {
        await process.WaitForExitAsync().WaitAsync(atMost);
        return process.ExitCode;
    }

    /// <summary>SIGSTOP freezes it in whatever it does.</summary>
    public Task StopAsync() => SignalAsync("STOP");

    /// <summary>True once SIGSTOP has reached it.</summary>
    public async Task<bool> IsFrozenAsync()
    {
        // The state in /proc: T while it is stopped.
        var stat = await File.ReadAllTextAsync($"/proc/{process.Id}/stat");
        return stat[(stat.LastIndexOf(')') + 2)..][0] == 'T';
    }

    /// <summary>SIGCONT wakes it again.</summary>
    public Task ContinueAsync() => SignalAsync("CONT");

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        process.Dispose();
    }

    private async Task SignalAsync(string signal)
    {
        using var kill = Process.Start("/bin/kill", [$"-{signal}", $"{process.Id}"]);
        await kill.WaitForExitAsync();
    }

    private void Keep(string? line)
    {
        if (line is null)
        {
            return;
        }

        lines.Enqueue(line);
        while (lines.Count > 200)
        {
            lines.TryDequeue(out _);
        }
    }
}

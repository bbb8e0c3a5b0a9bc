using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Sluice.Tests.Servers;

/// <summary>A process that this program started: its output, and the ways to end it. Ended by its own id, never by name.</summary>
public sealed partial class ChildProcess : IAsyncDisposable
{
    private const int LinesMax = 200, StandardOutputLinesMax = 10_000;

    private const int SigInt = 2, SigTerm = 15, SigCont = 18, SigStop = 19;

    private static readonly TimeSpan EndTimeMax = TimeSpan.FromSeconds(30);

    private readonly Process process;
    private readonly Queue<string> lines = new();
    private readonly List<string> standardOutput = [];

    private ChildProcess(Process process)
    {
        this.process = process;
        process.OutputDataReceived += (_, line) => Keep(line.Data, isOutput: true);
        process.ErrorDataReceived += (_, line) => Keep(line.Data, isOutput: false);
        process.StandardInput.Close();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public int Id => process.Id;

    public bool HasExited => process.HasExited;

    public int ExitCode => process.ExitCode;

    /// <summary>The last lines it said on either output, for the message of a failure.</summary>
    public string Output
    {
        get
        {
            lock (lines)
            {
                return string.Join(Environment.NewLine, lines);
            }
        }
    }

    /// <summary>What it said on standard output, up to 10,000 lines. Whole once <see cref="WaitAsync"/> has returned.</summary>
    public string StandardOutput
    {
        get
        {
            lock (lines)
            {
                return string.Join('\n', standardOutput);
            }
        }
    }

    public static ChildProcess Start(string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null, string? folder = null)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true, UseShellExecute = false, WorkingDirectory = folder ?? "" };
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
        Signal(SigTerm);
        return await WaitAsync(TimeSpan.FromSeconds(60));
    }

    /// <summary>SIGTERM; SIGKILL if it has not ended after 30 s.</summary>
    public async Task EndAsync()
    {
        Signal(SigTerm);
        try
        {
            await process.WaitForExitAsync().WaitAsync(EndTimeMax);
        }
        catch (TimeoutException)
        {
            await Console.Error.WriteLineAsync($"Process {Id} did not stop within {EndTimeMax.TotalSeconds:0} s; killing it.");
            await KillAsync();
        }
    }

    /// <summary>Waits until it has ended and all of its output is here.</summary>
    /// <exception cref="TimeoutException">It still runs.</exception>
    public async Task<int> WaitAsync(TimeSpan atMost, CancellationToken cancel = default)
    {
        await process.WaitForExitAsync(cancel).WaitAsync(atMost, cancel);
        return process.ExitCode;
    }

    /// <summary>SIGINT, as from Ctrl-C.</summary>
    public void Interrupt() => Signal(SigInt);

    /// <summary>SIGSTOP freezes it in whatever it does; returns when each of its threads has stopped (at most after some seconds: one that waits for the disk stops when that has answered).</summary>
    public void Stop()
    {
        Signal(SigStop);
        SpinWait.SpinUntil(() => Directory.GetDirectories($"/proc/{process.Id}/task").All(IsFrozenOrGone), TimeSpan.FromSeconds(3));
    }

    /// <summary>True once SIGSTOP has reached it.</summary>
    public async Task<bool> IsFrozenAsync() => IsFrozen(await File.ReadAllTextAsync($"/proc/{process.Id}/stat"));

    /// <summary>SIGCONT wakes it again.</summary>
    public void Continue() => Signal(SigCont);

    /// <summary>User and system time since its start.</summary>
    public TimeSpan CpuTime()
    {
        process.Refresh();
        return process.TotalProcessorTime;
    }

    /// <summary>Kills it if it still runs.</summary>
    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        process.Dispose();
    }

    private void Signal(int signal)
    {
        // A process that has ended is still ours until it is disposed of, so its id cannot be another's by now.
        if (!process.HasExited)
        {
            _ = Kill(process.Id, signal);
        }
    }

    // The state in /proc: T while it is stopped.
    private static bool IsFrozen(string stat) => stat[(stat.LastIndexOf(')') + 2)..][0] == 'T';

    private static bool IsFrozenOrGone(string thread)
    {
        try
        {
            return IsFrozen(File.ReadAllText($"{thread}/stat"));
        }
        catch (IOException)
        {
            return true;
        }
    }

    private void Keep(string? line, bool isOutput)
    {
        if (line is null)
        {
            return;
        }

        lock (lines)
        {
            if (isOutput && standardOutput.Count < StandardOutputLinesMax)
            {
                standardOutput.Add(line);
            }

            lines.Enqueue(line);
            if (lines.Count > LinesMax)
            {
                lines.Dequeue();
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int processId, int signal);
}

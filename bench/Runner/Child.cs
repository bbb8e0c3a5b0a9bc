using System.Collections.ObjectModel;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Sluice.Bench.Runner;

/// <summary>A process that this program started: its output's tail, its CPU time, and its orderly end. Only ever stopped by its own id.</summary>
internal sealed partial class Child : IAsyncDisposable
{
    private const int TailLinesMax = 200;
    private const int SigInt = 2;
    private const int SigTerm = 15;
    private static readonly TimeSpan StopTimeMax = TimeSpan.FromSeconds(30);

    private readonly Process process;
    private readonly Queue<string> tail = new();
    private readonly List<string> output = [];

    private Child(Process process, string name)
    {
        this.process = process;
        Name = name;
    }

    public string Name { get; }

    public bool HasExited => process.HasExited;

    public static Child Start(string name, string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // The same runtime settings for everything that is compared.
        start.Environment["DOTNET_gcServer"] = "0";
        start.Environment["DOTNET_TieredPGO"] = "1";
        foreach (var (key, value) in environment ?? ReadOnlyDictionary<string, string>.Empty) start.Environment[key] = value;

        var child = new Child(new Process { StartInfo = start }, name);
        var started = child.process;
        started.OutputDataReceived += (_, line) => child.Keep(line.Data, isOutput: true);
        started.ErrorDataReceived += (_, line) => child.Keep(line.Data, isOutput: false);
        started.Start();
        started.StandardInput.Close();
        started.BeginOutputReadLine();
        started.BeginErrorReadLine();
        return child;
    }

    /// <summary>Runs a program to its end and returns its standard output.</summary>
    /// <param name="interruptWhen">Asked again and again; once it says true the program gets a SIGINT, as from Ctrl-C.</param>
    /// <exception cref="BenchException">It failed, or took longer than <paramref name="timeMax"/>.</exception>
    public static async Task<string> RunAsync(
        string name, string program, IEnumerable<string> arguments, TimeSpan timeMax, CancellationToken cancel,
        int? otherGoodExitCode = null, Func<bool>? interruptWhen = null)
    {
        await using var child = Start(name, program, arguments);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(timeMax);
        try
        {
            while (interruptWhen is not null && !child.HasExited)
            {
                if (interruptWhen())
                {
                    _ = Kill(child.process.Id, SigInt);
                    break;
                }

                await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, limit.Token);
            }

            await child.process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new BenchException($"{name} took longer than {timeMax.TotalSeconds:F0} s.\n{child.Tail()}");
        }

        if (child.process.ExitCode != 0 && child.process.ExitCode != otherGoodExitCode)
        {
            throw new BenchException($"{name} ended with exit code {child.process.ExitCode}.\n{child.Tail()}");
        }

        lock (child.output) return string.Join('\n', child.output);
    }

    /// <summary>User and system time since the start, from /proc/&lt;pid&gt;/stat.</summary>
    public TimeSpan CpuTime()
    {
        process.Refresh();
        return process.TotalProcessorTime;
    }

    public long ResidentBytes()
    {
        process.Refresh();
        return process.WorkingSet64;
    }

    public string Tail()
    {
        lock (tail) return string.Join('\n', tail);
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
        {
            _ = Kill(process.Id, SigTerm);
            using var limit = new CancellationTokenSource(StopTimeMax);
            try
            {
                await process.WaitForExitAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                await Console.Error.WriteLineAsync($"{Name} did not stop within {StopTimeMax.TotalSeconds:F0} s; killing it.");
                process.Kill();
                await process.WaitForExitAsync(CancellationToken.None);
            }
        }

        process.Dispose();
    }

    private void Keep(string? line, bool isOutput)
    {
        if (line is null) return;
        if (isOutput)
        {
            // Bounded: the programs whose whole output is wanted print a page at most.
            lock (output) if (output.Count < 10_000) output.Add(line);
        }

        lock (tail)
        {
            tail.Enqueue(line);
            if (tail.Count > TailLinesMax) tail.Dequeue();
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int processId, int signal);
}

/// <summary>The run cannot go on, and the message says why; shown without a stack trace.</summary>
internal sealed class BenchException(string message) : Exception(message);

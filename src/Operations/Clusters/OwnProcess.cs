using System.Diagnostics;
using System.Globalization;

namespace Sluice.Operations.Clusters;

/// <summary>
/// A process that a cluster started, known by its id *and* the moment of its start (and the boot): an id alone is given out again. It leads a session of its own, so that it outlives the
/// command that started it, and so that what it started itself (nginx' workers) can be ended with it.
/// </summary>
/// <param name="Id">Process id, also of its session.</param>
/// <param name="StartTicks">Field 22 of <c>/proc/&lt;id&gt;/stat</c>: clock ticks since the boot.</param>
/// <param name="Boot">The kernel's id of that boot.</param>
internal sealed record OwnProcess(int Id, long StartTicks, string Boot)
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(20);

    private static readonly Lazy<string> ThisBoot = new(() => File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim());

    /// <summary>Starts a program that lives on when this command ends. What it says goes to the end of <paramref name="log"/>.</summary>
    public static OwnProcess Start(string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string> environment, string folder, string log)
    {
        // setsid and sh become the program: the id stays the same.
        var start = new ProcessStartInfo("setsid", ["sh", "-c", "exec \"$@\" >>\"$0\" 2>&1 </dev/null", log, program, .. arguments]) { UseShellExecute = false, WorkingDirectory = folder };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        using var process = Process.Start(start) ?? throw new InvalidOperationException($"{program} did not start.");
        return new OwnProcess(process.Id, StatOf(process.Id)?.StartTicks ?? 0, ThisBoot.Value);
    }

    /// <summary>True while this very process runs (or is stopped by SIGSTOP).</summary>
    public bool IsAlive => Boot == ThisBoot.Value && StatOf(Id) is { } stat && stat.StartTicks == StartTicks && stat.State is not ('Z' or 'X');

    /// <summary>True while SIGSTOP holds it.</summary>
    public bool IsFrozen => IsAlive && StatOf(Id)?.State is 'T' or 't';

    /// <summary>Sends a signal to the process alone. Nothing if it is not alive.</summary>
    public void Signal(int signal)
    {
        if (IsAlive)
        {
            _ = Signals.Send(Id, signal);
        }
    }

    /// <summary>Sends a signal to the process and to what it started. Also when it has died itself and left something behind.</summary>
    public void SignalAll(int signal)
    {
        foreach (var id in Session())
        {
            _ = Signals.Send(id, signal);
        }
    }

    /// <summary>kill -9, of what it started as well; returns when all are gone.</summary>
    public async Task KillAsync(CancellationToken cancel)
    {
        while (Session() is { Count: > 0 })
        {
            SignalAll(Signals.Kill);
            await Task.Delay(Look, TimeProvider.System, cancel);
        }
    }

    /// <summary>Asks it to end and waits.</summary>
    /// <returns>False when it still ran after <paramref name="atMost"/> and was killed.</returns>
    public async Task<bool> EndAsync(int signal, TimeSpan atMost, CancellationToken cancel)
    {
        var started = TimeProvider.System.GetTimestamp();
        Signal(signal);
        while (Session().Count > 0)
        {
            if (TimeProvider.System.GetElapsedTime(started) > atMost)
            {
                await KillAsync(cancel);
                return false;
            }

            await Task.Delay(Look, TimeProvider.System, cancel);
        }

        return true;
    }

    // Ours: those of the session that the process led, none of them older than it. While one of them lives, the kernel gives the number of the session to nobody else.
    private List<int> Session()
    {
        if (Boot != ThisBoot.Value || (StatOf(Id) is { } leader && leader.StartTicks != StartTicks))
        {
            return [];
        }

        return [.. Directory.EnumerateDirectories("/proc")
            .Select(path => int.TryParse(Path.GetFileName(path), NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? id : 0)
            .Where(id => id > 0 && StatOf(id) is { } stat && (id == Id || stat.Session == Id) && stat.StartTicks >= StartTicks && stat.State is not ('Z' or 'X'))];
    }

    private static (char State, int Session, long StartTicks)? StatOf(int id)
    {
        try
        {
            // The name, in parentheses, may hold anything; after it: state, parent, group, session … and 20th the start.
            var stat = File.ReadAllText($"/proc/{id}/stat");
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return (fields[0][0], int.Parse(fields[3], CultureInfo.InvariantCulture), long.Parse(fields[19], CultureInfo.InvariantCulture));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Gone.
            return null;
        }
    }
}

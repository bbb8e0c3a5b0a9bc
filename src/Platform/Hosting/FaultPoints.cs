namespace Sluice.Platform.Hosting;

/// <summary>
/// Places where a drill can end or stop this process to the letter: <c>SLUICE_FAULT=queue.committed:kill:3</c> kills it the third time it comes by,
/// <c>:stop</c> freezes it as SIGSTOP does. Without the variable a point costs one null check.
/// </summary>
public static class FaultPoints
{
    private static readonly Fault? Armed = Fault.Parse(Environment.GetEnvironmentVariable("SLUICE_FAULT"));

    public static void Reach(string point) => Armed?.Reach(point);

    private sealed class Fault(string point, string what, int at)
    {
        private int passes;

        public static Fault? Parse(string? text) =>
            text?.Split(':') is [var point, var what, var at] && int.TryParse(at, out var pass) ? new Fault(point, what, pass) : null;

        public void Reach(string here)
        {
            if (here == point && Interlocked.Increment(ref passes) == at)
            {
                // The kernel's own kill, not Environment.Exit: nothing of ours may run after it.
                using var kill = System.Diagnostics.Process.Start("/bin/kill", [what == "stop" ? "-STOP" : "-KILL", Environment.ProcessId.ToString()]);
                kill.WaitForExit();
                new ManualResetEventSlim().Wait(TimeSpan.FromMilliseconds(what == "stop" ? 0 : 10_000));
            }
        }
    }
}

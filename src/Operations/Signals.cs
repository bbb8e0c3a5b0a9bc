using System.Runtime.InteropServices;

namespace Sluice.Operations;

/// <summary>The signals of Linux that are sent here. Whoever sends one has made sure whose process it is.</summary>
internal static partial class Signals
{
    public const int Hup = 1, Quit = 3, Kill = 9, Term = 15, Cont = 18, Stop = 19;

    /// <summary>False, with the error in <see cref="Marshal.GetLastPInvokeError"/>, when the process is gone or not ours to signal.</summary>
    public static bool Send(int processId, int signal) => SendSignal(processId, signal) == 0;

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int SendSignal(int processId, int signal);
}

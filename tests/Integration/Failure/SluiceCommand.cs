using System.Diagnostics;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>The command line of the program, run to its end, with the two outputs kept apart.</summary>
internal static class SluiceCommand
{
    // A whole cluster on a machine that has much else to do takes minutes to start.
    private static readonly TimeSpan AtMost = TimeSpan.FromMinutes(5);

    public static async Task<(int Exit, string Text, string Says)> RunAsync(params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", [Programs.Server, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        using var process = Process.Start(start)!;
        var (text, says) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        try
        {
            await process.WaitForExitAsync().WaitAsync(AtMost);
        }
        catch (TimeoutException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }

        return (process.ExitCode, await text, await says);
    }
}

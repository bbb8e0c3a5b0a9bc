using System.CommandLine;
using System.Runtime.InteropServices;
using Sluice.LoadTester;
using Sluice.LoadTester.Report;
using Sluice.LoadTester.Screen;
using Spectre.Console;

var parsed = new RushCommand().Build(RunAsync).Parse(args);
if (parsed.Errors.Count > 0 && parsed.Action is not System.CommandLine.Help.HelpAction)
{
    foreach (var error in parsed.Errors)
    {
        await Console.Error.WriteLineAsync(error.Message);
    }

    await Console.Error.WriteLineAsync("See sluice-rush --help.");
    return ExitCode.BadArguments;
}

return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });

static async Task<int> RunAsync(RushOptions options)
{
    var time = TimeProvider.System;
    using var stop = new CancellationTokenSource();

    // The first Ctrl-C sends the crowd home and audits what was promised until then; the second one ends the program as usual.
    using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, StopOnce);
    using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, StopOnce);
    try
    {
        var rush = new Rush(options, Screens.Choose(options, time), time);
        var (result, timeline) = await rush.RunAsync(stop.Token);
        if (options.LedgerFile is { } ledger)
        {
            await rush.Ledger.WriteCsvAsync(ledger, CancellationToken.None);
        }

        if (options.ReportFile is { } report)
        {
            await File.WriteAllTextAsync(report, RushReport.Render(result, timeline), CancellationToken.None);
        }

        var json = result.ToJson();
        if (options.OutFile is { } file)
        {
            await File.WriteAllTextAsync(file, json + "\n", CancellationToken.None);
        }

        if (options.Json)
        {
            await Console.Out.WriteLineAsync(json);
        }
        else
        {
            Summary.Write(result, AnsiConsole.Console);
        }

        return result.Held ? ExitCode.Held : ExitCode.Broken;
    }
    catch (CannotRunException exception)
    {
        await Console.Error.WriteLineAsync(exception.Message);
        return ExitCode.CouldNotRun;
    }
    catch (OperationCanceledException) when (stop.IsCancellationRequested)
    {
        await Console.Error.WriteLineAsync("Stopped before the rush began: nothing was bought.");
        return ExitCode.CouldNotRun;
    }
    catch (IOException exception)
    {
        await Console.Error.WriteLineAsync($"A file could not be written: {exception.Message}");
        return ExitCode.CouldNotRun;
    }

    void StopOnce(PosixSignalContext context)
    {
        context.Cancel = !stop.IsCancellationRequested;
        stop.Cancel();
    }
}

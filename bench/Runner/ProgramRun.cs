namespace Sluice.Bench.Runner;

/// <summary>Programs that run to their end.</summary>
internal static class ProgramRun
{
    /// <summary>The same runtime settings for everything that is compared.</summary>
    public static IReadOnlyDictionary<string, string> Environment(IReadOnlyDictionary<string, string>? more = null)
    {
        var settings = new Dictionary<string, string>(StringComparer.Ordinal) { ["DOTNET_gcServer"] = "0", ["DOTNET_TieredPGO"] = "1" };
        foreach (var (name, value) in more ?? new Dictionary<string, string>()) settings[name] = value;
        return settings;
    }

    /// <summary>Runs a program to its end and returns its standard output.</summary>
    /// <param name="interruptWhen">Asked again and again; once it says true the program gets a SIGINT, as from Ctrl-C.</param>
    /// <exception cref="BenchException">It failed, or took longer than <paramref name="timeMax"/>.</exception>
    public static async Task<string> ToEndAsync(
        string name, string program, IEnumerable<string> arguments, TimeSpan timeMax, CancellationToken cancel,
        int? otherGoodExitCode = null, Func<bool>? interruptWhen = null)
    {
        await using var child = ChildProcess.Start(program, arguments, Environment());
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(timeMax);
        try
        {
            while (interruptWhen is not null && !child.HasExited)
            {
                if (interruptWhen())
                {
                    child.Interrupt();
                    break;
                }

                await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, limit.Token);
            }

            var exit = await child.WaitAsync(Timeout.InfiniteTimeSpan, limit.Token);
            if (exit != 0 && exit != otherGoodExitCode) throw new BenchException($"{name} ended with exit code {exit}.\n{child.Output}");
            return child.StandardOutput;
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            await child.EndAsync();
            throw new BenchException($"{name} took longer than {timeMax.TotalSeconds:F0} s.\n{child.Output}");
        }
    }

    /// <summary>Starts a server and returns when it is ready.</summary>
    /// <param name="arguments">The program and its arguments, without the address.</param>
    /// <exception cref="BenchException">It ended or was not ready in time.</exception>
    public static async Task<ServerProcess> ServerAsync(string[] arguments, CancellationToken cancel, IReadOnlyDictionary<string, string>? environment = null)
    {
        var server = new ServerProcess("dotnet", arguments);
        try
        {
            await server.StartAsync(Environment(environment), cancel);
            return server;
        }
        catch (InvalidOperationException e)
        {
            await server.DisposeAsync();
            throw new BenchException(e.Message);
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }
}

/// <summary>The run cannot go on, and the message says why; shown without a stack trace.</summary>
internal sealed class BenchException(string message) : Exception(message);

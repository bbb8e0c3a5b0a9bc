using System.Text.Json;
using Sluice.Operations.Publishing;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using Spectre.Console;

namespace Sluice.Host;

/// <summary><c>sluice publish</c>: once, what a node with the role ops does at each change: the pages and data that everybody sees alike, as files. Reads SQL only; a server may run on the same data.</summary>
internal static class PublishCommand
{
    public static async Task<int> RunAsync(List<KeyValuePair<string, string?>> overrides, string? folder, bool json, CancellationToken cancel)
    {
        if (folder is not null)
        {
            overrides.Add(new("Publish:Folder", folder));
        }

        var settings = Node.Load(overrides);
        var options = settings.Get<PublishOptions>();
        var data = settings.Get<NodeOptions>().Data;
        if (options.Contradictions().ToList() is { Count: > 0 } contradictions)
        {
            throw new SettingsException(contradictions);
        }

        if (!options.IsOn)
        {
            throw new SettingsException(["Publish:Folder: say where to: --folder site, or --set Publish:Bucket=…"]);
        }

        var sql = settings.Get<SqlOptions>();
        if (sql.Connection.Equals(SqlOptions.Embedded, StringComparison.OrdinalIgnoreCase) && !Directory.Exists(data))
        {
            throw new SettingsException([$"Data: there is no folder {Path.GetFullPath(data)}"]);
        }

        var (runs, needs) = Node.ModulesOf(settings.Get<NodeOptions>());
        using var databases = new NodeDatabases(sql, data, runs, needs, Node.OwnSql(settings));
        await databases.PrepareAsync();
        await using var services = Services(settings, needs, databases);
        var targets = services.GetServices<ISiteTarget>().ToList();
        var results = new List<PublishResult>();
        foreach (var target in targets)
        {
            results.Add(await PublishAsync(services, target, cancel));
        }

        await services.GetRequiredService<EdgePurge>().TellAsync([.. results.SelectMany(result => result.ChangedUrls).Distinct(StringComparer.Ordinal)], cancel);
        if (json)
        {
            Console.WriteLine(JsonSerializer.Serialize(results, PublishJson.Default.ListPublishResult));
            return Commands.Well;
        }

        foreach (var result in results)
        {
            Console.WriteLine($"{result.Target}: {result.Files:N0} files, {result.ChangedUrls.Count:N0} changed, {result.Seconds:N1} s");
            foreach (var url in result.ChangedUrls.Take(10))
            {
                Console.WriteLine($"  {url}");
            }

            if (result.ChangedUrls.Count > 10)
            {
                Console.WriteLine($"  and {result.ChangedUrls.Count - 10:N0} more");
            }
        }

        return Commands.Well;
    }

    private static ServiceProvider Services(Settings settings, IReadOnlyList<IModule> needs, NodeDatabases databases)
    {
        var services = new ServiceCollection();
        services.AddLogging();
        services.AddSingleton(databases.Main);
        services.AddSingleton(TimeProvider.System);
        foreach (var options in settings.All)
        {
            services.AddSingleton(options.GetType(), options);
        }

        foreach (var module in needs)
        {
            services.AddModuleEngines(module, databases.Of(module.Name), redis: null);
            module.AddServices(services);
        }

        services.AddSite(settings.Get<PublishOptions>());
        return services.BuildServiceProvider();
    }

    private static async Task<PublishResult> PublishAsync(ServiceProvider services, ISiteTarget target, CancellationToken cancel)
    {
        // A server that publishes to the same place has it for a moment.
        var started = TimeProvider.System.GetTimestamp();
        while (true)
        {
            if (await AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) }).Status().StartAsync($"Publishing to {Markup.Escape(target.Describe)}", _ => target.PublishAsync(services.GetRequiredService<Site>(), cancel)) is { } change)
            {
                return new PublishResult(target.Describe, change.Manifest.Version, change.Manifest.Files.Count, TimeProvider.System.GetElapsedTime(started).TotalSeconds, change.ChangedUrls);
            }

            if (TimeProvider.System.GetElapsedTime(started) > TimeSpan.FromSeconds(30))
            {
                throw new IOException($"{target.Describe}: somebody else has been publishing there for half a minute");
            }

            await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, cancel);
        }
    }
}

internal sealed record PublishResult(string Target, long Version, int Files, double Seconds, IReadOnlyList<string> ChangedUrls);

[System.Text.Json.Serialization.JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[System.Text.Json.Serialization.JsonSerializable(typeof(List<PublishResult>))]
internal sealed partial class PublishJson : System.Text.Json.Serialization.JsonSerializerContext;

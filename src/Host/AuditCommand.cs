using System.Text.Json;
using Sluice.Modules.Orders;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.WriteQueue;
using Spectre.Console;

namespace Sluice.Host;

/// <summary><c>sluice audit</c>: every pool, in Redis and SQL. Asks the running server, or opens the folder itself when none runs.</summary>
internal static class AuditCommand
{
    private static readonly TimeSpan SettleMax = TimeSpan.FromSeconds(60), Pause = TimeSpan.FromMilliseconds(250);

    public static async Task<int> RunAsync(List<KeyValuePair<string, string?>> overrides, string? url, string? apiKeyFile, bool json, CancellationToken cancel)
    {
        var settings = Node.Load(overrides);
        var data = settings.Get<NodeOptions>().Data;
        url ??= DataFolder.IsOwned(data) ? DataFolder.OwnerOf(data) : null;
        var results = url is not null ? await AskAsync(url, apiKeyFile ?? Path.Combine(data, "admin.key"), cancel) : await OpenAsync(settings, cancel);
        if (json)
        {
            Console.WriteLine(JsonSerializer.Serialize(results, AuditJson.Default.ListAuditResult));
        }
        else
        {
            Print(results);
        }

        return results.TrueForAll(result => result.Verdict == Verdict.Holds) ? Commands.Well : Commands.Broken;
    }

    private static async Task<List<AuditResult>> AskAsync(string url, string apiKeyFile, CancellationToken cancel)
    {
        using var shop = ShopClient.Open(url, apiKeyFile);
        var results = new List<AuditResult>();
        foreach (var id in await shop.PoolIdsAsync(cancel))
        {
            results.Add(await SettledAsync(async () => (await shop.CertificateAsync(id, cancel)).Certificate, cancel));
        }

        return results;
    }

    // No server runs: recover the engine, write what waits, then look. The same start as serve, without the listening.
    private static async Task<List<AuditResult>> OpenAsync(Settings settings, CancellationToken cancel)
    {
        if (!Directory.Exists(settings.Get<NodeOptions>().Data))
        {
            throw new SettingsException([$"Data: there is no folder {Path.GetFullPath(settings.Get<NodeOptions>().Data)}"]);
        }

        using var folder = ServeCommand.Own(settings);
        await using var node = await Node.OpenAsync(settings);
        var workers = node.App.Services.GetServices<IHostedService>().Where(service => service is PoolKeeper or QueueDrain or QueueReader or QueueCarrier or ForwardOrders).ToList();
        foreach (var worker in workers)
        {
            await worker.StartAsync(cancel);
        }

        try
        {
            var audit = node.App.Services.GetRequiredService<PoolAudit>();
            var results = new List<AuditResult>();
            foreach (var pool in await node.App.Services.GetRequiredService<PoolStore>().ListAsync(poolsMax: int.MaxValue))
            {
                results.Add(await SettledAsync(async () => (await audit.RunAsync(pool.Id))!, cancel));
            }

            return results;
        }
        finally
        {
            foreach (var worker in workers.AsEnumerable().Reverse())
            {
                await worker.StopAsync(CancellationToken.None);
            }
        }
    }

    private static async Task<AuditResult> SettledAsync(Func<Task<AuditResult>> look, CancellationToken cancel)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var result = await look();
            if (result.Verdict != Verdict.Settling || TimeProvider.System.GetElapsedTime(started) > SettleMax)
            {
                return result;
            }

            await Task.Delay(Pause, TimeProvider.System, cancel);
        }
    }

    private static void Print(List<AuditResult> results)
    {
        if (results.Count == 0)
        {
            Console.WriteLine("No pools yet: nothing was promised.");
            return;
        }

        var table = new Table { Border = TableBorder.Simple };
        table.AddColumns("pool", "title", "verdict");
        foreach (var name in new[] { "capacity", "sold", "held", "left", "released", "dead letters" })
        {
            table.AddColumn(new TableColumn(name).RightAligned());
        }

        foreach (var result in results)
        {
            var verdict = result.Verdict switch
            {
                Verdict.Holds => "[green]holds[/]",
                Verdict.Settling => "[yellow]settling[/]",
                Verdict.Broken => "[red]BROKEN[/]",
            };
            table.AddRow(
                $"{result.PoolId}", Markup.Escape(result.Title), verdict, $"{result.CapacityUnits:N0}", $"{result.SoldUnits:N0}", $"{result.HeldUnits:N0}", $"{result.LeftUnits:N0}",
                $"{result.ReleasedUnits:N0}", $"{result.DeadLetters:N0}");
        }

        AnsiConsole.Write(table);
        foreach (var result in results)
        {
            foreach (var check in result.Checks.Where(check => !check.Holds))
            {
                Console.WriteLine($"pool {result.PoolId}: {check.Name}: expected {check.Expected:N0}, found {check.Found:N0}. {check.Says}");
            }
        }
    }
}

[System.Text.Json.Serialization.JsonSourceGenerationOptions(JsonSerializerDefaults.Web, UseStringEnumConverter = true, Converters = [typeof(VerdictConverter)])]
[System.Text.Json.Serialization.JsonSerializable(typeof(List<AuditResult>))]
internal sealed partial class AuditJson : System.Text.Json.Serialization.JsonSerializerContext;

using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;

namespace Sluice.Host;

internal sealed record DemoArguments(int Buyers, int Stock, int Port, bool Json, bool Exit);

/// <summary><c>sluice demo</c>: a shop, a crowd from a process of its own, and the proof.</summary>
internal static class DemoCommand
{
    public static async Task<int> RunAsync(DemoArguments arguments, List<KeyValuePair<string, string?>> overrides, CancellationToken cancel)
    {
        var url = $"http://localhost:{arguments.Port}";
        overrides.InsertRange(0, DemoShop.Settings);
        overrides.Insert(0, new(nameof(NodeOptions.Urls), url));
        var settings = Node.Load(overrides);
        var data = settings.Get<NodeOptions>().Data;
        using var folder = ServeCommand.Own(settings);
        await using var node = await Node.OpenAsync(settings);
        await node.App.StartAsync(cancel);
        folder?.Announce(url);
        try
        {
            var exit = await SellAndProveAsync(arguments, url, data, data, cancel);
            if (!arguments.Exit && !cancel.IsCancellationRequested)
            {
                await Say(arguments, $"The shop stays open at {url} until Ctrl-C.");
                await node.App.WaitForShutdownAsync(cancel);
            }

            return exit;
        }
        finally
        {
            await node.App.StopAsync(CancellationToken.None);
        }
    }

    /// <summary>A sale, a crowd and the certificate, at a shop that runs.</summary>
    /// <param name="keys">Folder of the shop's keys.</param>
    /// <param name="data">Where the reports go.</param>
    /// <returns>The exit code: <see cref="Commands.Well"/> only when the rush and the certificate hold.</returns>
    public static async Task<int> SellAndProveAsync(DemoArguments arguments, string url, string keys, string data, CancellationToken cancel)
    {
        await Say(arguments, $"The shop is open at {url}. {arguments.Buyers:N0} buyers are coming for {arguments.Stock:N0} copper kettles.");
        await DemoShop.SeedAsync(url, keys, cancel);
        using var shop = ShopClient.Open(url, Path.Combine(keys, "admin.key"));
        var sale = await DemoShop.CreateRushSaleAsync(shop, arguments.Stock, cancel);

        var reports = Directory.CreateDirectory(Path.Combine(data, "reports")).FullName;
        var report = Path.Combine(reports, $"rush-{sale}.html");
        var result = Path.Combine(reports, $"rush-{sale}.json");
        var code = await RushAsync(arguments, url, sale, Path.Combine(keys, "admin.key"), report, result, cancel);
        if (code is Commands.WrongArguments or Commands.Unreachable || !File.Exists(result))
        {
            await Console.Error.WriteLineAsync($"sluice: the load tester could not run (exit code {code}).");
            return code == Commands.Well ? Commands.Unreachable : code;
        }

        // The certificate once more, from the server itself and not by way of the load tester; its signature is checked as anybody could.
        var certificate = await shop.SendAsync(HttpMethod.Get, $"/v1/pools/{sale}/certificate", null, cancel);
        var file = Path.Combine(reports, $"certificate-{sale}.json");
        await File.WriteAllTextAsync(file, certificate.ToJsonString(new JsonSerializerOptions { WriteIndented = true }), cancel);
        var shopKeys = (await shop.SendAsync(HttpMethod.Get, "/.well-known/sluice-keys", null, cancel)).ToJsonString();
        var wrong = await Certificates.VerifyAsync(certificate.ToJsonString(), shopKeys);
        var holds = (string?)certificate["certificate"]!["verdict"] == "holds" && wrong is null;
        var exit = holds && code == Commands.Well ? Commands.Well : Commands.Broken;
        if (arguments.Json)
        {
            Console.WriteLine(new JsonObject
            {
                ["exitCode"] = exit,
                ["url"] = url,
                ["rush"] = JsonNode.Parse(await File.ReadAllTextAsync(result, cancel)),
                ["certificate"] = certificate,
                ["certificateFile"] = file,
                ["reportFile"] = report,
            }.ToJsonString());
        }
        else
        {
            Print(certificate["certificate"]!, wrong, file, report, url, sale);
        }

        return exit;
    }

    // In a process of its own: what it measures is what a stranger would, and what it remembers is not ours to touch.
    private static async Task<int> RushAsync(DemoArguments arguments, string url, string sale, string keyFile, string report, string result, CancellationToken cancel)
    {
        var tester = new[] { "../../Sluice.LoadTester/release", "../../Sluice.LoadTester/debug", "." }
            .Select(folder => Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, folder, "sluice-rush.dll"))).FirstOrDefault(File.Exists)
            ?? throw new DependencyUnavailableException("load tester", "sluice-rush.dll is not beside this program; build the whole solution.");
        var start = new ProcessStartInfo(Environment.ProcessPath is { } path && Path.GetFileNameWithoutExtension(path) == "dotnet" ? path : "dotnet");
        string[] all =
        [
            tester, "--url", url, "--sale", sale, "--api-key-file", keyFile, "--buyers", $"{arguments.Buyers}", "--open-at-start", "--report", report, "--out", result,
            .. arguments.Json ? ["--quiet"] : Array.Empty<string>(),
        ];
        foreach (var argument in all)
        {
            start.ArgumentList.Add(argument);
        }

        start.RedirectStandardOutput = arguments.Json;
        using var process = Process.Start(start)!;
        if (arguments.Json)
        {
            await process.StandardOutput.ReadToEndAsync(cancel);
        }

        await process.WaitForExitAsync(cancel);
        return process.ExitCode;
    }

    private static void Print(JsonNode certificate, string? wrong, string file, string report, string url, string sale)
    {
        Console.WriteLine();
        Console.WriteLine($"Certificate of pool {certificate["poolId"]} '{certificate["title"]}': {(string?)certificate["verdict"]}{(wrong is null ? ", signature good" : $", SIGNATURE WRONG: {wrong}")}");
        foreach (var (name, key) in new[] { ("capacity", "capacityUnits"), ("sold", "soldUnits"), ("held", "heldUnits"), ("released", "releasedUnits"), ("left", "leftUnits"), ("in the queue", "queueDepth"), ("dead letters", "deadLetters") })
        {
            Console.WriteLine($"  {name,-14}{(long)certificate[key]!,12:N0}");
        }

        foreach (var check in certificate["checks"]!.AsArray())
        {
            Console.WriteLine($"  {((bool)check!["holds"]! ? "holds " : "BROKEN")}  {check["name"],-32} {check["says"]}");
        }

        Console.WriteLine();
        Console.WriteLine($"  certificate  {file}");
        Console.WriteLine($"  report       {report}");
        Console.WriteLine($"  sale page    {url}/sales/{sale}");
    }

    public static Task Say(DemoArguments arguments, string text) => arguments.Json ? Console.Error.WriteLineAsync(text) : Console.Out.WriteLineAsync(text);
}

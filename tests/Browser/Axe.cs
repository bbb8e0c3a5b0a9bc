using System.Diagnostics;
using System.Text.Json;
using Microsoft.Playwright;

namespace Sluice.Tests.Browser;

/// <summary>The accessibility checker axe-core, taken from npm at test time in the version that package.json pins.</summary>
internal sealed class Axe
{
    private readonly string _source;

    private Axe(string source) => _source = source;

    public static async Task<Axe> LoadAsync()
    {
        var folder = Path.Combine(Programs.Root, "tests", "Browser");
        var script = Path.Combine(folder, "node_modules", "axe-core", "axe.min.js");
        if (!File.Exists(script))
            await InstallAsync(folder);
        return new Axe(await File.ReadAllTextAsync(script));
    }

    private static async Task InstallAsync(string folder)
    {
        using var npm = Process.Start(new ProcessStartInfo("npm", ["ci", "--prefix", folder]) { WorkingDirectory = folder })
            ?? throw new InvalidOperationException("npm did not start.");
        await npm.WaitForExitAsync();
        if (npm.ExitCode != 0)
            throw new InvalidOperationException($"npm ci in {folder} ended with exit code {npm.ExitCode}.");
    }

    /// <summary>What is wrong with the page as it stands, one line per violation; empty when nothing is.</summary>
    public async Task<IReadOnlyList<string>> ViolationsAsync(IPage page)
    {
        await page.EvaluateAsync(_source);
        var found = await page.EvaluateAsync<JsonElement>(
            """
            async () => (await axe.run(document, { resultTypes: ['violations'] })).violations
              .map(violation => `${violation.id}: ${violation.help} at ${violation.nodes.map(node => node.target.join(' ')).join(', ')}`)
            """);
        return [.. found.EnumerateArray().Select(line => line.GetString()!)];
    }
}

using System.Globalization;
using System.Text.Json.Nodes;
using Sluice.Operations.Clusters;
using Sluice.Tests.Integration.Failure;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>A cluster as a person starts it: by <c>sluice cluster up</c>, in a folder of its own, every process real. Ended with the test, also when that fails.</summary>
internal sealed class OneHost : IAsyncDisposable
{
    private readonly TempFolder folder = new();

    private OneHost()
    {
    }

    public string Folder => folder.Path;

    /// <summary>The shop through nginx.</summary>
    public SluiceServer Shop { get; private set; } = null!;

    public static async Task<OneHost> StartAsync(string sql, string redis = "single")
    {
        var host = new OneHost();
        try
        {
            var port = FreePorts();
            await host.DoAsync(["up", "--sql", sql, "--redis", redis, "--port", $"{port}", .. Drills.NoRateLimit.SelectMany(setting => new[] { "--set", setting })]);
            host.FindShop();
            return host;
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs one verb of <c>sluice cluster</c> and demands that it succeeds.</summary>
    public async Task<string> DoAsync(params string[] verb)
    {
        var (exit, text, says) = await TryAsync(verb);
        Assert.True(exit == 0, $"sluice cluster {string.Join(' ', verb)} ended with {exit}: {says} {text}");
        return text;
    }

    public Task<(int Exit, string Text, string Says)> TryAsync(params string[] verb) => SluiceCommand.RunAsync(["cluster", .. verb, "--data", Folder]);

    public async Task<JsonObject> StatusAsync() => (JsonObject)JsonNode.Parse((await TryAsync("status", "--json")).Text)!;

    /// <summary>Health of one member as <c>status</c> says it.</summary>
    public static string HealthOf(JsonObject status, string name) => (string)status["members"]!.AsArray().Single(member => (string)member!["name"]! == name)!["health"]!;

    public static int PidOf(JsonObject status, string name) => (int)status["members"]!.AsArray().Single(member => (string)member!["name"]! == name)!["pid"]!;

    /// <summary>Looks again where the writer is: the drill's own audit reads the database itself.</summary>
    public void FindShop()
    {
        var at = new ClusterFolder(Folder);
        var state = at.Load();
        Shop = SluiceServer.At(state.PublicPort, at.Keys, MariaDbMember.Connection(at, MariaDbMember.WriterPort(state)));
    }

    public async ValueTask DisposeAsync()
    {
        if (File.Exists(folder.File("cluster.json")))
        {
            // Killed by their ids: what a test leaves nobody reads.
            foreach (var member in new ClusterFolder(Folder).Load().Members)
            {
                if (member.Process is { } process)
                {
                    await process.KillAsync(CancellationToken.None);
                }
            }
        }

        folder.Dispose();
    }

    // Thirty ports in a row, below those that the kernel gives to outgoing connections.
    private static int FreePorts()
    {
        while (true)
        {
            var first = Random.Shared.Next(12_000, 30_000);
            if (Enumerable.Range(first, 30).All(ClusterPlan.IsFree))
            {
                return first;
            }
        }
    }
}

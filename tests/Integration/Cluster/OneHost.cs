using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Dapper;
using MySqlConnector;
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

    /// <param name="settings">For every node, each as <c>Section:Name=value</c>.</param>
    public static async Task<OneHost> StartAsync(string sql, string redis = "single", params IEnumerable<string> settings)
    {
        var host = new OneHost();
        try
        {
            var port = FreePorts();
            await host.DoAsync(["up", "--sql", sql, "--redis", redis, "--port", $"{port}", .. Drills.NoRateLimit.Concat(settings).SelectMany(setting => new[] { "--set", setting })]);
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

    /// <summary>What <c>sluice cluster status --json</c> says, without the second of a core that its start takes: drills look again and again while a rush needs both cores.</summary>
    public async Task<JsonObject> StatusAsync() =>
        (JsonObject)JsonSerializer.SerializeToNode(await ClusterStatus.LookAsync(new ClusterFolder(Folder), TestContext.Current.CancellationToken), ClusterStatusJson.Default.ClusterStatus)!;

    public async Task<bool> IsWellAsync() => (await ClusterStatus.LookAsync(new ClusterFolder(Folder), TestContext.Current.CancellationToken)).IsWell;

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

    /// <summary>Waits until servers that are there to be read are read: of ten looks at an order ten were there, some at each of them. Nothing else may be going on.</summary>
    public Task AwaitReadersAsync(string orderId, string token, params string[] readers) => Eventually.TrueAsync(
        async () =>
        {
            var before = await Task.WhenAll(readers.Select(SnapshotsAsync));
            for (var look = 0; look < 10; look++)
            {
                Assert.Equal(200, (await Shop.UserAsync(HttpMethod.Get, $"/v1/orders/{orderId}", token)).Status);
            }

            var reads = (await Task.WhenAll(readers.Select(SnapshotsAsync))).Zip(before, (after, first) => after - first).ToList();
            return reads.Sum() >= 10 && reads.TrueForAll(count => count > 0);
        },
        $"orders are read at {string.Join(" and ", readers)}");

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

    // Each read of a node begins one; those who look after the servers begin none.
    private async Task<long> SnapshotsAsync(string mariaDb)
    {
        var at = new ClusterFolder(Folder);
        await using var connection = new MySqlConnection(MariaDbMember.Connection(at, at.Load().Find(mariaDb)!.Port));
        return long.Parse((await connection.QuerySingleAsync<(string, string)>("SHOW GLOBAL STATUS LIKE 'Com_begin'")).Item2, CultureInfo.InvariantCulture);
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

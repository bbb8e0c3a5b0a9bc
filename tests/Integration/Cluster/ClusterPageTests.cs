using Sluice.Operations.Clusters;
using Sluice.Tests.Integration.Failure;
using Sluice.Tests.Integration.Http;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>The examples of docs/cluster.md, run as somebody would paste them.</summary>
[Collection(Clusters.Name)]
public sealed class ClusterPageTests
{
    [Fact]
    public async Task Examples_OfTheClusterPage_PrintWhatItShows()
    {
        using var folder = new TempFolder();
        File.CreateSymbolicLink(folder.File("sluice"), Path.Combine(Programs.Root, "sluice"));

        // Wide, so that no table is folded.
        var environment = new Dictionary<string, string>(StringComparer.Ordinal) { ["SLUICE_NO_BUILD"] = "1", ["no_proxy"] = "*", ["COLUMNS"] = "200" };
        var port = Random.Shared.Next(12_000, 30_000);
        try
        {
            await PageExamplesTests.RunAsync(
                PageExample.Of("docs/cluster.md"), folder, environment,
                commands => commands.Replace("localhost:8080", $"127.0.0.1:{port}", StringComparison.Ordinal).Replace("cluster up", $"cluster up --port {port}", StringComparison.Ordinal));
        }
        finally
        {
            foreach (var member in new ClusterFolder(folder.File("data/cluster")).Load().Members)
            {
                await (member.Process?.KillAsync(CancellationToken.None) ?? Task.CompletedTask);
            }
        }
    }
}

using Sluice.Operations.Clusters;

namespace Sluice.Host;

/// <summary><c>sluice demo --cluster</c>: the same sale and the same crowd, through nginx, at a cluster of real engines.</summary>
internal static class ClusterDemo
{
    public static async Task<int> RunAsync(DemoArguments arguments, string? data, bool isPortGiven, IReadOnlyList<string> settings, CancellationToken cancel)
    {
        var folder = new ClusterFolder(data ?? ClusterCommands.DefaultFolder);
        var mine = !folder.Exists || !folder.Load().Members.Any(member => member.IsAlive);
        var cluster = new Cluster(folder, Console.Error.WriteLine);
        var state = await cluster.UpAsync(isPortGiven ? arguments.Port : null, null, null, mine ? [.. ClusterCommands.DemoSettings, .. settings] : null, cancel);
        var url = $"http://127.0.0.1:{state.PublicPort}";
        try
        {
            return await DemoCommand.SellAndProveAsync(arguments, url, folder.Keys, folder.Root, cancel);
        }
        finally
        {
            if (arguments.Exit && mine)
            {
                await cluster.DownAsync(CancellationToken.None);
            }
            else
            {
                await DemoCommand.Say(arguments, $"The cluster stays up at {url}. 'sluice cluster status' looks at it, 'sluice cluster down' ends it.");
            }
        }
    }
}

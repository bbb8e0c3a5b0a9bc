using Sluice.Operations.Clusters;
using Sluice.Tests.Integration.Failure;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>The longest drills, on everything that <c>sluice cluster up</c> starts: three Galera nodes behind HAProxy, a Redis primary with two replicas and three Sentinels. One cluster bears them one after the other.</summary>
[Collection(Clusters.Name)]
public sealed class FullClusterDrillTests(FullClusterDrillTests.OneForAll shared, ITestOutputHelper output) : IClassFixture<FullClusterDrillTests.OneForAll>
{
    private static readonly TimeSpan Rush = TimeSpan.FromSeconds(30);

    // What a visitor may be told while something of a kind is restarted (docs/failure-modes.md). Whatever is not here has another that does the same, or is left in order.
    private static readonly Dictionary<MemberKind, string[]> Allowed = new()
    {
        [MemberKind.Nginx] = ["look: connection cut", "claim with key: Nothing", "claim without key: connection cut"],
        [MemberKind.MariaDb] = Unavailable, [MemberKind.SqlCheck] = Unavailable, [MemberKind.HaProxy] = Unavailable,
    };

    private static string[] Unavailable => ["claim with key: Unavailable", "claim with key: NoNode", "claim without key: 503 unavailable"];

    [Fact(Skip = "SLUICE_TEST_ALL=1 runs it", SkipType = typeof(Drills), SkipUnless = nameof(Drills.RunsAll))]
    public async Task Everything_RestartedOneAfterAnother_LosesNothingAndFailsOnlyWhatHasOneServer()
    {
        var host = await shared.HostAsync();
        var broken = new List<string>();
        var crowd = await ClusterRush.DrillAsync(
            host, output,
            async (_, crowd) =>
            {
                foreach (var member in new ClusterFolder(host.Folder).Load().InOrder.OrderByDescending(member => member.Kind == MemberKind.Redis && member.Name != "redis-1").ToList())
                {
                    var isPrimary = (await host.StatusAsync())["members"]!.AsArray().Any(each => (string)each!["name"]! == member.Name && (string)each["role"]! == "redis primary");
                    var before = crowd.Failures.ToDictionary(failure => failure.Key, failure => failure.Value, StringComparer.Ordinal);
                    var started = TimeProvider.System.GetTimestamp();
                    await host.DoAsync("restart", member.Name);
                    await Eventually.TrueAsync(async () => OneHost.HealthOf(await host.StatusAsync(), member.Name) == "ok", $"{member.Name} is well again");
                    await crowd.AwaitNewClaimsAsync(100);
                    var failed = crowd.Failures.Where(failure => failure.Value > before.GetValueOrDefault(failure.Key)).ToDictionary(failure => failure.Key, failure => failure.Value - before.GetValueOrDefault(failure.Key), StringComparer.Ordinal);
                    var says = $"{member.Name}{(isPrimary ? ", the Redis primary" : "")}: {TimeProvider.System.GetElapsedTime(started).TotalSeconds:0} s, {(failed.Count == 0 ? "no failure" : string.Join(", ", failed.Select(failure => $"{failure.Value} × {failure.Key}")))}";
                    output.WriteLine(says);
                    var allowed = isPrimary ? Unavailable : Allowed.GetValueOrDefault(member.Kind, []);
                    if (failed.Keys.Any(failure => !allowed.Contains(failure)))
                    {
                        broken.Add(says);
                    }
                }
            },
            atLeast: 2 * Rush);
        output.WriteLine($"everything restarted: {crowd.LongestClaimGap.TotalSeconds:0.0} s without an answer to a claim");
        Assert.Empty(broken);
    }

    [Fact(Skip = "SLUICE_TEST_ALL=1 runs it", SkipType = typeof(Drills), SkipUnless = nameof(Drills.RunsAll))]
    public async Task GaleraWriter_HungInMidRushAndWoken_IsReplacedUnattended()
    {
        var host = await shared.HostAsync();
        await Eventually.TrueAsync(async () => ClusterRush.WriterOf(await host.StatusAsync()) is "mariadb-1", "the first node is written");
        var crowd = await ClusterRush.DrillAsync(
            host, output,
            async (sale, crowd) =>
            {
                await host.DoAsync("kill", "mariadb-1", "--stop");
                var lost = TimeProvider.System.GetTimestamp();
                await Eventually.TrueAsync(async () => ClusterRush.WriterOf(await host.StatusAsync()) is "mariadb-2", "another node is written");
                output.WriteLine($"seen by 'status' that another node is written: {TimeProvider.System.GetElapsedTime(lost).TotalSeconds:0.0} s after it hung");
                await ClusterRush.AwaitWrittenAsync(host, sale, crowd);
                await host.DoAsync("kill", "mariadb-1", "--cont");
                await Eventually.TrueAsync(async () => ClusterRush.WriterOf(await host.StatusAsync()) is "mariadb-1", "the first node is written again");
                await crowd.AwaitNewClaimsAsync(200);
            },
            atLeast: Rush);
        output.WriteLine($"the Galera writer hung: {crowd.LongestClaimGap.TotalSeconds:0.0} s without an answer to a claim");
        await Eventually.TrueAsync(host.IsWellAsync, "all are well");
    }

    /// <summary>Started by the first drill that runs: most test runs have none.</summary>
    public sealed class OneForAll : IAsyncDisposable
    {
        private OneHost? host;

        public async ValueTask DisposeAsync() => await (host?.DisposeAsync() ?? ValueTask.CompletedTask);

        internal async Task<OneHost> HostAsync() => host ??= await OneHost.StartAsync("galera", "sentinel");
    }
}

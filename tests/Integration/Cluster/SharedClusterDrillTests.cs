using System.Globalization;
using Sluice.Operations.Clusters;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>Drills after which everything is as it was: one cluster bears them one after the other.</summary>
[Collection(Clusters.Name)]
public sealed class SharedClusterDrillTests(SharedClusterDrillTests.OneForAll shared, ITestOutputHelper output) : IClassFixture<SharedClusterDrillTests.OneForAll>
{
    private static readonly TimeSpan Rush = TimeSpan.FromSeconds(10);

    [Fact]
    public async Task Nginx_KilledAndStartedAgain_LosesNothing()
    {
        var host = shared.Host;
        await ClusterRush.DrillAsync(host, output, async (_, _) =>
        {
            await host.DoAsync("kill", "nginx");
            await host.DoAsync("start", "nginx");
        }, part: 0.5);
    }

    // A few seconds; SLUICE_TEST_CUT_SECONDS=10 is the drill as it was measured: cut for 10 s in a rush of 30 s.
    [Fact]
    public async Task Network_CutBetweenTheNodesAndRedisInMidRush_LosesNothing()
    {
        var host = shared.Host;
        var cut = TimeSpan.FromSeconds(int.TryParse(Environment.GetEnvironmentVariable("SLUICE_TEST_CUT_SECONDS"), NumberStyles.None, CultureInfo.InvariantCulture, out var seconds) ? seconds : 3);
        var redis = new ClusterFolder(host.Folder).Load().Find("redis-1")!;
        var crowd = await ClusterRush.DrillAsync(host, output, async (_, _) =>
        {
            await using (await NetworkCut.OfAsync(redis.Port))
            {
                await Eventually.TrueAsync(async () => (await host.Shop.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, "/health/ready"))) is { Status: 503 } answer && answer.Text.Contains("redis", StringComparison.Ordinal), "a node misses Redis");
                await Task.Delay(cut, TimeProvider.System);
            }

            await Task.Delay(cut * 2, TimeProvider.System);
        }, part: 0.5);
        Assert.True(redis.IsAlive);
        output.WriteLine($"cut off from Redis for {cut.TotalSeconds:0} s and what a node needed to say so: {crowd.LongestClaimGap.TotalSeconds:0.0} s without an answer to a claim");
    }

    [Fact]
    public async Task Worker_KilledAndStartedAgain_LosesNothing()
    {
        var host = shared.Host;
        var crowd = await ClusterRush.DrillAsync(
            host, output,
            async (_, crowd) =>
            {
                await host.DoAsync("kill", "worker-1");
                await crowd.AwaitNewClaimsAsync(200);
                await host.DoAsync("start", "worker-1");
            },
            atLeast: Rush);
        output.WriteLine($"the only worker killed: {crowd.LongestClaimGap.TotalSeconds:0.0} s without an answer to a claim");
    }

    // It wakes with what it had in hand, when another one has written that.
    [Fact]
    public async Task Worker_HungWhileAnotherTakesOverAndWoken_LosesAndDoublesNothing()
    {
        var host = shared.Host;
        var crowd = await ClusterRush.DrillAsync(
            host, output,
            async (sale, crowd) =>
            {
                await host.DoAsync("kill", "worker-1", "--stop");
                await crowd.AwaitNewClaimsAsync(200);
                await host.DoAsync("add", "worker");
                await ClusterRush.AwaitWrittenAsync(host, sale, crowd);
                await host.DoAsync("kill", "worker-1", "--cont");
                await crowd.AwaitNewClaimsAsync(200);
                await host.DoAsync("remove", "worker-2");
            },
            atLeast: Rush);
        output.WriteLine($"a worker hung and woken: {crowd.LongestClaimGap.TotalSeconds:0.0} s without an answer to a claim");
    }

    [Fact]
    public async Task Redis_KilledAndItsDataLost_LosesNothing()
    {
        var host = shared.Host;
        var crowd = await ClusterRush.DrillAsync(
            host, output,
            async (_, crowd) =>
            {
                await host.DoAsync("kill", "redis-1");
                Directory.Delete(Path.Combine(host.Folder, "redis-1"), recursive: true);
                await host.DoAsync("start", "redis-1");
                await crowd.AwaitNewClaimsAsync(200);
            },
            atLeast: Rush);
        output.WriteLine($"Redis killed and its data lost: {crowd.LongestClaimGap.TotalSeconds:0.0} s without an answer to a claim");
    }

    /// <summary>Two API nodes, a worker, an ops node, one Redis and one MariaDB behind nginx.</summary>
    public sealed class OneForAll : IAsyncLifetime
    {
        internal OneHost Host { get; private set; } = null!;

        public async ValueTask InitializeAsync() => Host = await OneHost.StartAsync("single");

        public async ValueTask DisposeAsync() => await (Host?.DisposeAsync() ?? ValueTask.CompletedTask);
    }
}

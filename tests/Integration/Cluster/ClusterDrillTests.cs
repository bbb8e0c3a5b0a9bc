using System.Globalization;
using Sluice.Operations.Clusters;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using Sluice.Platform.WriteQueue;
using Sluice.Tests.Integration.Contract;
using Sluice.Tests.Integration.Failure;
using Sluice.Tests.Integration.Servers;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>
/// A real cluster under a crowd: nginx, two API nodes, a worker, an ops node, Redis and MariaDB. Whatever is restarted or killed, what was acknowledged is there afterwards, once; the time without
/// service is printed and stands in docs/failure-modes.md.
/// </summary>
[Collection(Clusters.Name)]
public sealed class ClusterDrillTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Nodes_RestartedOneAfterAnother_FailNoRequestAndLoseNothing()
    {
        await using var host = await OneHost.StartAsync("single");
        var crowd = await DrillAsync(host, async () =>
        {
            foreach (var node in new[] { "api-1", "api-2", "worker-1", "ops-1", "api-1" })
            {
                await host.DoAsync("restart", node);
            }
        });
        Assert.True(crowd.Failures.Count == 0, crowd.Says);
    }

    [Fact]
    public async Task Nodes_AddedAndRemovedUnderLoad_FailNoRequestAndLoseNothing()
    {
        await using var host = await OneHost.StartAsync("single");
        var crowd = await DrillAsync(host, async () =>
        {
            await host.DoAsync("add", "api");
            await host.DoAsync("add", "worker");
            await host.DoAsync("remove", "api-1");
            await host.DoAsync("remove", "worker-1");
        });
        Assert.True(crowd.Failures.Count == 0, crowd.Says);
        var status = await host.StatusAsync();
        Assert.Equal(["api-2", "api-3", "worker-2"], status["members"]!.AsArray().Select(member => (string)member!["name"]!).Where(name => name.Contains("api-") || name.Contains("worker-")).Order());
        Assert.Contains("# api-3", await File.ReadAllTextAsync(Path.Combine(host.Folder, "nginx", "sluice-upstream.conf")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task ApiNode_KilledAndHung_LosesNothing()
    {
        await using var host = await OneHost.StartAsync("single");
        var crowd = await DrillAsync(host, async () =>
        {
            await host.DoAsync("kill", "api-1");
            await ClusterRush.AwaitUpstreamAsync(host, "api-1", isIn: false);
            await host.DoAsync("start", "api-1");
            await ClusterRush.AwaitUpstreamAsync(host, "api-1", isIn: true);
            await host.DoAsync("kill", "api-2", "--stop");
            await ClusterRush.AwaitUpstreamAsync(host, "api-2", isIn: false);
            await host.DoAsync("kill", "api-2", "--cont");
            await ClusterRush.AwaitUpstreamAsync(host, "api-2", isIn: true);
        });

        // What carries a key, or only looks, is tried at the other node; a claim without a key is not: it may have been taken. On a machine that is too busy the other node may say itself that an engine is away:
        // that is an answer, and may reach everybody who asks in such a moment, of which there are few; it is told apart from nginx', which says that no node had one. There are six claims with a key for each without: were they not tried again, nginx would say so six times as often.
        // (That each is tried again is NginxTests' affair; of fewer than a dozen nothing can be said.)
        string[] allowed = ["claim with key: Unavailable", "claim with key: NoNode"];
        Assert.DoesNotContain(crowd.Failures, failure => !failure.Key.StartsWith("claim without key", StringComparison.Ordinal) && !allowed.Contains(failure.Key));
        var withoutKey = crowd.Failures.Where(failure => failure.Key.StartsWith("claim without key", StringComparison.Ordinal)).Sum(failure => failure.Value);
        Assert.InRange(crowd.Failures.GetValueOrDefault("claim with key: NoNode"), 0, Math.Max(2 * withoutKey, 12));
        Assert.InRange(crowd.Failures.GetValueOrDefault("claim with key: Unavailable"), 0, 2 * Crowd.AtOnce);
    }

    [Fact]
    public async Task Redis_KilledAndStartedAgain_LosesNothingAndKeepsTheUpstream()
    {
        await using var host = await OneHost.StartAsync("single");
        var file = Path.Combine(host.Folder, "nginx", "sluice-upstream.conf");
        DateTime written = default;
        await DrillAsync(host, async () =>
        {
            // The ops node writes it once by itself, a calm second after its start: that may be after the first sales.
            await Eventually.TrueAsync(
                async () => (await host.DoAsync("logs", "ops-1")).Split('\n').Any(line => line.Contains("upstream is now", StringComparison.Ordinal) && line.Contains("api-1", StringComparison.Ordinal) && line.Contains("api-2", StringComparison.Ordinal)),
                "the ops node has written who is there");
            written = File.GetLastWriteTimeUtc(file);
            await host.DoAsync("kill", "redis-1");
            await host.DoAsync("start", "redis-1");
        }, part: 0.5);
        Assert.Equal(written, File.GetLastWriteTimeUtc(file));
    }

    [Fact]
    public async Task RedisPrimary_KilledAndBackAsAReplica_LosesNothingUnattended()
    {
        await using var host = await OneHost.StartAsync("single", "sentinel");
        var crowd = await DrillAsync(host, async () =>
        {
            await host.DoAsync("kill", "redis-1");

            // Back at once: the worst moment, in which the Sentinels may not have noticed yet. It waits for them, and follows.
            await host.DoAsync("start", "redis-1");
        }, part: 0.5);
        output.WriteLine($"the Redis primary killed: {crowd.LongestClaimGap.TotalSeconds:0.0} s without an answer to a claim");
        var status = await host.StatusAsync();
        Assert.Equal("redis replica", (string?)status["members"]!.AsArray().Single(member => (string)member!["name"]! == "redis-1")!["role"]);
        await Eventually.TrueAsync(async () => OneHost.HealthOf(await host.StatusAsync(), "redis-1") == "ok", "the former primary follows");
    }

    [Fact]
    public async Task RedisClusterPrimary_KilledInMidRush_IsReplacedUnattended_AndOtherSalesGoOnMeanwhile()
    {
        await using var host = await OneHost.StartAsync("single", "cluster");
        var (sale, other, primary) = ("", "", "");
        var crowd = await DrillAsync(host, async crowded =>
        {
            sale = crowded;
            primary = await PrimaryOfAsync(host, sale);
            while (other.Length == 0 || await PrimaryOfAsync(host, other) == primary)
            {
                other = await host.Shop.OpenSaleAsync(5);
            }

            var token = await host.Shop.TokenAsync("elsewhere");
            await host.DoAsync("kill", primary);

            // Until it is started its replica is alone and takes no claim: what is sold now is sold without it.
            await Eventually.TrueAsync(async () => (await host.Shop.ClaimAsync(other, token, key: "elsewhere-0123456789")).Status is 200 or 202, "a sale on another primary goes on");
            await host.DoAsync("start", primary);
        }, part: 0.5);
        output.WriteLine($"the primary of the sale killed, {primary}: {crowd.LongestClaimGap.TotalSeconds:0.0} s without an answer to a claim");
        await Eventually.TrueAsync(async () => OneHost.HealthOf(await host.StatusAsync(), primary) == "ok", "the former primary follows");
        Assert.NotEqual(primary, await PrimaryOfAsync(host, sale));
        Assert.Equal("redis replica", (string?)(await host.StatusAsync())["members"]!.AsArray().Single(member => (string)member!["name"]! == primary)!["role"]);

        // All six at once: they find each other again.
        var sold = (int)(await host.Shop.SettledCertificateAsync(sale))["soldUnits"]!;
        await Task.WhenAll(new ClusterFolder(host.Folder).Load().Members.Where(member => member.Kind == MemberKind.Redis).Select(member => member.Process!.KillAsync(CancellationToken.None)));
        await host.DoAsync("up");
        await Eventually.TrueAsync(host.IsWellAsync, "all are well again");
        Assert.Equal(3, (await host.StatusAsync())["members"]!.AsArray().Count(member => (string)member!["role"]! == "redis primary"));
        Assert.Equal(201, (await host.Shop.ClaimAsync(other, await host.Shop.TokenAsync("last"), prefer: "wait=20")).Status);
        foreach (var (id, units) in new[] { (sale, sold), (other, 2) })
        {
            var certificate = await host.Shop.SettledCertificateAsync(id);
            Assert.Equal(("holds", units), ((string?)certificate["verdict"], (int)certificate["soldUnits"]!));
        }
    }

    // SLUICE_TEST_ALL=1 runs both.
    public static TheoryData<string> Fates => Drills.RunsAll ? ["hang", "kill"] : ["hang"];

    [Theory]
    [MemberData(nameof(Fates))]
    public async Task SqlPrimary_LostAndAReplicaPromoted_LosesNothing(string how)
    {
        await using var host = await OneHost.StartAsync("replication");
        await DrillAsync(host, async () =>
        {
            var lost = TimeProvider.System.GetTimestamp();
            await host.DoAsync(how == "kill" ? ["kill", "mariadb-1"] : ["kill", "mariadb-1", "--stop"]);
            await host.DoAsync("promote");
            host.FindShop();
            var probe = await Rush.BuyersAsync(host.Shop, 1, "probe");
            output.WriteLine($"{how}: after {TimeProvider.System.GetElapsedTime(lost).TotalSeconds:0.0} s every node writes to the new primary ({probe.Count} token made)");
            await host.DoAsync("start", "mariadb-1");
        });

        // The former primary follows, and has what the new one has.
        await Eventually.TrueAsync(async () => OneHost.HealthOf(await host.StatusAsync(), "mariadb-1") == "ok", "the former primary follows");
    }

    [Fact]
    public async Task GaleraWriter_KilledInMidRush_IsReplacedUnattended_AndTheClusterComesBackFromEveryStop()
    {
        await using var host = await OneHost.StartAsync("galera");
        var crowd = await ClusterRush.DrillAsync(host, output, async (sale, crowd) =>
        {
            await host.DoAsync("kill", "mariadb-1");
            var lost = TimeProvider.System.GetTimestamp();
            await Eventually.TrueAsync(async () => ClusterRush.WriterOf(await host.StatusAsync()) is "mariadb-2", "another node is written");
            output.WriteLine($"seen by 'status' that another node is written: {TimeProvider.System.GetElapsedTime(lost).TotalSeconds:0.0} s after the kill");

            await ClusterRush.AwaitWrittenAsync(host, sale, crowd);
            await host.DoAsync("start", "mariadb-1");
        });
        output.WriteLine($"the Galera writer killed: {crowd.LongestClaimGap.TotalSeconds:0.0} s without an answer to a claim");
        await Eventually.TrueAsync(async () => ClusterRush.WriterOf(await host.StatusAsync()) is "mariadb-1", "the first node is written again");

        // Stopped in order, and crashed all at once: both times the node that has most begins, and everything is there.
        await host.DoAsync("down");
        Assert.Contains("mariadb-1 has more than mariadb-3", (await host.TryAsync("start", "mariadb-3")).Says, StringComparison.Ordinal);
        await host.DoAsync("up");
        var sale = await host.Shop.OpenSaleAsync(5);
        var token = await host.Shop.TokenAsync("last");
        var claim = await host.Shop.ClaimAsync(sale, token, prefer: "wait=20");
        Assert.Equal(201, claim.Status);
        await host.AwaitReadersAsync(claim.ClaimId, token, "mariadb-2", "mariadb-3");
        foreach (var name in new[] { "mariadb-1", "mariadb-2", "mariadb-3" })
        {
            await host.DoAsync("kill", name);
        }

        await host.DoAsync("up");
        Assert.Equal(0, (await host.TryAsync("status")).Exit);
        Assert.Contains("by itself", (await host.TryAsync("promote")).Says, StringComparison.Ordinal);
        var certificate = await host.Shop.SettledCertificateAsync(sale);
        Assert.Equal(("holds", 1), ((string?)certificate["verdict"], (int)certificate["soldUnits"]!));
    }

    // The member of a Redis Cluster that has the pool of a sale, as most of the nodes see it that answer.
    private static async Task<string> PrimaryOfAsync(OneHost host, string sale)
    {
        var folder = new ClusterFolder(host.Folder);
        var servers = folder.Load().Members.Where(member => member.Kind == MemberKind.Redis && member.IsAlive).ToList();
        var settings = new ConfigurationOptions { Password = folder.Secret("redis"), AbortOnConnectFail = false, AllowAdmin = true };
        servers.ForEach(server => settings.EndPoints.Add("127.0.0.1", server.Port));
        await using var client = await ConnectionMultiplexer.ConnectAsync(settings);
        var slot = client.HashSlot(new PoolKeys(long.Parse(sale, CultureInfo.InvariantCulture)).Meta);
        var views = await Task.WhenAll(servers.Select(async server => NamedNode.Parse((await client.GetServer("127.0.0.1", server.Port).ClusterNodesRawAsync())!).Single(node => node.IsPrimary && node.Has(slot)).Address!.Port));
        var port = views.GroupBy(each => each).MaxBy(each => each.Count())!.Key;
        return servers.Single(server => server.Port == port).Name;
    }

    [Fact(Skip = "SLUICE_TEST_ALL=1 runs it", SkipType = typeof(Drills), SkipUnless = nameof(Drills.RunsAll))]
    public async Task RabbitMq_KilledAndStartedAgain_LosesNothing()
    {
        await using var rabbit = await RabbitMqServer.StartAsync();
        await using var host = await OneHost.StartAsync("single", "single", Engines.QueueSettings(new() { Engine = QueueEngine.RabbitMq, Connection = rabbit.Connection, Name = "cluster" }));
        await Eventually.TrueAsync(() => rabbit.KeepsAsync("cluster.flash-sale", "cluster.stock"), "RabbitMQ has written down its queues");
        var away = TimeSpan.Zero;
        var crowd = await ClusterRush.DrillAsync(
            host, output,
            async (_, crowd) =>
            {
                await rabbit.KillAsync();
                var killed = TimeProvider.System.GetTimestamp();
                var answers = crowd.Answers;
                await Eventually.TrueAsync(async () => crowd.Answers > answers + 1_000 && (long?)(await host.StatusAsync())["queueDepth"] > 0, "the sale goes on, and its claims wait");
                await rabbit.BeginAsync();
                away = TimeProvider.System.GetElapsedTime(killed);
                await Eventually.TrueAsync(async () => (await host.Shop.Http.GetStringAsync("/health/ready")) == "ready", "all is well again");
            },
            atLeast: TimeSpan.FromSeconds(30));
        output.WriteLine($"RabbitMQ away for {away.TotalSeconds:0.0} s: {crowd.LongestClaimGap.TotalSeconds:0.0} s without an answer to a claim");
    }

    private Task<Crowd> DrillAsync(OneHost host, Func<Task> happens, double part = 1) => ClusterRush.DrillAsync(host, output, (_, _) => happens(), part);

    private Task<Crowd> DrillAsync(OneHost host, Func<string, Task> happens, double part = 1) => ClusterRush.DrillAsync(host, output, (sale, _) => happens(sale), part);
}

using System.Diagnostics;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>A primary with two replicas and three Sentinels; claims are acknowledged when a replica has them. The primary dies, hangs and comes back in mid-rush: nothing that was acknowledged is lost.</summary>
public sealed class RedisFailoverTests(ITestOutputHelper output)
{
    private const int Stock = 4_000, Buyers = 6_000;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Primary_KilledInMidRush_IsReplacedAndNothingAcknowledgedIsLost(bool split)
    {
        await using var group = await RedisGroup.StartAsync();
        await using var shop = await Shop.OpenAsync(group, split);
        for (var round = 0; round < 2; round++)
        {
            var dead = await group.PrimaryAsync();
            var (before, silence) = await shop.RushAsync(async () => await (await group.ServerAsync(dead)).KillAsync());
            await shop.AuditAsync();
            output.WriteLine($"seed {Drills.Seed} round {round}, split {split}: primary killed after {before} acknowledgements; {silence.TotalSeconds:0.0} s without an acknowledgement; {shop.Says}");
            await group.BeginAgainAsync(dead);
        }
    }

    [Fact]
    public async Task Primary_FrozenInMidRushAndWokenAfterTheFailover_LosesNothingAcknowledged()
    {
        await using var group = await RedisGroup.StartAsync();
        await using var shop = await Shop.OpenAsync(group, split: true);
        var frozen = await group.ServerAsync();
        var (before, silence) = await shop.RushAsync(
            () =>
            {
                frozen.Stop();
                return Task.CompletedTask;
            },
            then: async () =>
            {
                // It wakes with what was in its sockets, and thinks that it still is the primary.
                frozen.Continue();
                await group.WholeAsync();
            });
        await shop.AuditAsync();
        output.WriteLine($"seed {Drills.Seed}: primary frozen after {before} acknowledgements, woken after the failover; {silence.TotalSeconds:0.0} s without an acknowledgement; {shop.Says}");
    }

    // Both copies at once: what the replicas were for is gone. The node that acknowledged lives, and has not forgotten.
    [Fact]
    public async Task Group_WhoseServersAllLoseTheirDataInMidRush_IsRefilledFromTheNodesThatAcknowledged()
    {
        await using var group = await RedisGroup.StartAsync();
        await using var shop = await Shop.OpenAsync(group, split: true);
        var (before, silence) = await shop.RushAsync(() => group.FlushAsync());
        await shop.AuditAsync();
        output.WriteLine($"seed {Drills.Seed}: all three servers flushed after {before} acknowledgements; {silence.TotalSeconds:0.0} s without an acknowledgement; {shop.Says}");
    }

    /// <summary>What becomes of a primary in the moment in which the node that acknowledged is killed.</summary>
    public enum Fate
    {
        Killed,

        /// <summary>Cut off from its replicas first, so that it alone has what it takes from then on.</summary>
        CutFromItsReplicasAndKilled,

        /// <summary>Alive, and nothing comes through to it: no node, replica or Sentinel.</summary>
        Isolated,

        /// <summary>Alive, cut off from replicas and Sentinels, and every node still reaches it.</summary>
        IsolatedWithTheNodes,
    }

    // Each thing that differs once; SLUICE_TEST_ALL=1 runs all four.
    public static TheoryData<Fate> Fates => Drills.RunsAll ? [.. Enum.GetValues<Fate>()] : [Fate.Killed, Fate.IsolatedWithTheNodes];

    // SQL has nothing of it, the node that acknowledged has forgotten all of it, the primary is gone or of no use: only a replica can have it.
    [Theory]
    [MemberData(nameof(Fates))]
    public async Task PrimaryAndTheNodeThatAcknowledged_GoneAtOnceBeforeAnythingIsWritten_LoseNothingAcknowledged(Fate fate)
    {
        await using var group = await RedisGroup.StartAsync();
        using var folder = new TempFolder();
        string[] settings = [.. Drills.NoRateLimit, .. group.Settings];
        await using var one = await SluiceServer.StartAsync([.. settings, "Roles=Api"], folder.Path);
        await using var two = await SluiceServer.StartAsync([.. settings, "Roles=Api", "NodeId=1"], folder.Path);
        var buyers = await Rush.BuyersAsync(one, 2_000);
        var ledger = new Ledger(await one.OpenSaleAsync(Stock), Stock);
        using var atOne = new Rush(one, ledger, buyers);
        using var atTwo = new Rush(two, ledger, buyers);
        var enough = ledger.WhenCountIs(1 + new Random(Drills.Seed).Next(buyers.Count / 2));
        var pressing = atOne.PressAsync(CancellationToken.None);
        await enough.WaitAsync(TimeSpan.FromMinutes(3));
        var primary = await group.PrimaryAsync();
        var server = await group.ServerAsync(primary);
        await using (fate switch
        {
            Fate.Killed => null,
            Fate.CutFromItsReplicasAndKilled => await NetworkCut.OfAsync(primary, RedisGroup.ServersComeFrom),
            Fate.Isolated => await NetworkCut.OfAsync(primary),
            Fate.IsolatedWithTheNodes => await NetworkCut.OfAsync(primary, RedisGroup.ServersComeFrom, RedisGroup.SentinelsComeFrom),
        })
        {
            if (fate != Fate.Killed)
            {
                // Who has not heard of a claim by now is not told of it any more.
                var told = atOne.Unavailable;
                await Eventually.TrueAsync(() => Task.FromResult(atOne.Unavailable > told + 100), "buyers are told to come back later");
            }

            var dies = fate is Fate.Killed or Fate.CutFromItsReplicasAndKilled;
            await Task.WhenAll(one.KillAsync(), dies ? server.KillAsync() : Task.CompletedTask);
            await pressing;
            Assert.Empty((await ledger.CompareAsync(two)).Rows);
            var before = ledger.Count;
            await Eventually.TrueAsync(async () => await group.PrimaryAsync() != primary, "the Sentinels have named another");
            await atTwo.SettleAsync();
            output.WriteLine($"seed {Drills.Seed} {fate}: {before} acknowledged and none written when the node died; {ledger.Count} in the end; {ledger.LongestSilence.TotalSeconds:0.0} s without an acknowledgement");
            Assert.Equal(!dies, !server.HasExited);
        }

        await (server.HasExited ? group.BeginAgainAsync(primary) : group.WholeAsync());
        await one.BeginAsync();
        await using var worker = await SluiceServer.StartAsync([.. settings, "Roles=Worker", "NodeId=2"], folder.Path);
        Assert.Equal(buyers.Count, (await ledger.AuditAsync(one)).Sold);
    }

    /// <summary>One server that does everything, or two that answer and one that writes.</summary>
    private sealed class Shop : IAsyncDisposable
    {
        private readonly TempFolder folder = new();
        private readonly List<SluiceServer> nodes = [];
        private readonly Random random = new(Drills.Seed);
        private IReadOnlyList<Buyer> buyers = [];
        private Ledger ledger = null!;
        private int unavailable;

        public string Says => $"{unavailable} answers of 503; {ledger.Count} acknowledged, 0 lost";

        public static async Task<Shop> OpenAsync(RedisGroup group, bool split)
        {
            var shop = new Shop();
            try
            {
                foreach (var role in split ? ["Api", "Api", "Worker"] : new[] { "All" })
                {
                    shop.nodes.Add(await SluiceServer.StartAsync([.. Drills.NoRateLimit, .. group.Settings, $"Roles={role}", $"NodeId={shop.nodes.Count}", "WriteQueue:BatchRowsMax=200"], shop.folder.Path));
                }

                shop.buyers = await Rush.BuyersAsync(shop.nodes[0], Buyers);
                return shop;
            }
            catch
            {
                await shop.DisposeAsync();
                throw;
            }
        }

        /// <summary>A crowd at a new sale, through every node that answers. Something happens in the middle; when acknowledgements go on, <paramref name="then"/>; in the end everybody has an answer.</summary>
        /// <returns>Acknowledgements before, and the longest time without one.</returns>
        public async Task<(int Before, TimeSpan Silence)> RushAsync(Func<Task> happens, Func<Task>? then = null)
        {
            ledger = new Ledger(await nodes[0].OpenSaleAsync(Stock), Stock);
            var doors = nodes.Count == 1 ? nodes : nodes[..2];
            List<Rush> rushes = [.. doors.Select((door, i) => new Rush(door, ledger, [.. buyers.Where((_, at) => at % doors.Count == i)]))];
            try
            {
                using var stop = new CancellationTokenSource();
                var enough = ledger.WhenCountIs(1 + random.Next(Stock / 4));
                var pressing = Task.WhenAll(rushes.Select(rush => rush.PressAsync(stop.Token)));
                await enough.WaitAsync(TimeSpan.FromMinutes(3));
                var before = ledger.Count;
                await happens();

                // More than can have been on their way.
                var told = rushes.ConvertAll(rush => rush.Yours + 1_000);
                await Eventually.TrueAsync(() => Task.FromResult(rushes.Zip(told, (rush, yours) => rush.Yours > yours).All(served => served)), "buyers are served again at every door");
                await (then?.Invoke() ?? Task.CompletedTask);
                await stop.CancelAsync();
                await pressing;
                await Task.WhenAll(rushes.Select(rush => rush.SettleAsync()));
                unavailable = rushes.Sum(rush => rush.Unavailable);
                return (before, rushes.Max(rush => rush.LongestSilence));
            }
            finally
            {
                rushes.ForEach(rush => rush.Dispose());
            }
        }

        public async Task AuditAsync() => Assert.Equal(Stock, (await ledger.AuditAsync(nodes[0])).Sold);

        public async ValueTask DisposeAsync()
        {
            foreach (var node in nodes)
            {
                await node.DisposeAsync();
            }

            folder.Dispose();
        }
    }
}

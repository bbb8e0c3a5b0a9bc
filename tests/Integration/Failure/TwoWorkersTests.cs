using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>Two workers empty the same queue in one Redis into one database. Whatever becomes of one of them in mid-batch, nothing is written twice and nothing is left out.</summary>
[Collection(Drills.Name)]
public sealed class TwoWorkersTests(ITestOutputHelper output)
{
    private const int Stock = 600, BuyerCount = 1_000;

    [Theory]
    [InlineData("queue.peeked", 1, false)]
    [InlineData("queue.committed", 3, false)]
    [InlineData("queue.peeked", 1, true)]
    public async Task Worker_FrozenInMidBatchAndWokenAfterTheOtherIsDone_DoublesNothing(string point, int pass, bool onMariaDb)
    {
        await using var cluster = await Cluster.StartAsync(Drills.Fault(point, "stop", pass), onMariaDb);

        // The other sleeps until the first is where the drill wants it.
        cluster.Second.Process.Stop();
        await cluster.Rush.PressOnceAsync();
        await Eventually.TrueAsync(() => cluster.First.Process.IsFrozenAsync(), "the first worker is frozen");
        cluster.Second.Process.Continue();
        var audited = await cluster.Ledger.AuditAsync(cluster.Api);
        Assert.Equal(Stock, audited.Sold);

        // It wakes with a batch in its hands that was written long ago, and ends in order: that batch is finished then.
        cluster.First.Process.Continue();
        Assert.Equal(0, await cluster.First.Process.TerminateAsync());
        var after = await cluster.Ledger.AuditAsync(cluster.Api);
        Assert.Equal(audited.Rows.Count, after.Rows.Count);
        output.WriteLine($"{point} {pass}: frozen, woken after {after.Rows.Count} claims were written by the other: 0 doubled, 0 lost");
    }

    [Fact]
    public async Task Worker_WokenBeforeItsAcknowledgement_LeavesWhatCameMeanwhile()
    {
        await using var cluster = await Cluster.StartAsync(Drills.Fault("queue.committed", "stop", 1));
        using var early = new Rush(cluster.Api, cluster.Ledger, [.. cluster.Buyers.Take(Stock / 2)]);
        cluster.Second.Process.Stop();
        await early.PressOnceAsync();
        await Eventually.TrueAsync(() => cluster.First.Process.IsFrozenAsync(), "the first worker is frozen between its commit and its acknowledgement");
        cluster.Second.Process.Continue();
        await cluster.Ledger.AuditAsync(cluster.Api);

        // The other has acknowledged that batch long ago. Now new claims wait in the queue, nobody has written them, and the first wakes and acknowledges: not these.
        cluster.Second.Process.Stop();
        await cluster.Rush.PressOnceAsync();
        cluster.First.Process.Continue();
        var audited = await cluster.Ledger.AuditAsync(cluster.Api);
        Assert.Equal(Stock, audited.Sold);
        cluster.Second.Process.Continue();
        output.WriteLine($"{cluster.Ledger.Count} acknowledged, 0 doubled, 0 lost");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Worker_FrozenAtAnyMomentAndWoken_DoublesNothing(bool onMariaDb)
    {
        var random = new Random(Drills.Seed);
        await using var cluster = await Cluster.StartAsync(onMariaDb: onMariaDb);
        var pressing = cluster.Rush.PressOnceAsync();
        for (var freeze = 0; freeze < 8; freeze++)
        {
            var worker = random.Next(2) == 0 ? cluster.First : cluster.Second;
            worker.Process.Stop();
            await Drills.MomentAsync(random, 250);
            worker.Process.Continue();
            await Drills.MomentAsync(random, 50);
        }

        await pressing;
        await cluster.Rush.SettleAsync();
        var audited = await cluster.Ledger.AuditAsync(cluster.Api);
        Assert.Equal(Stock, audited.Sold);
        output.WriteLine($"seed {Drills.Seed}: 8 freezes, {cluster.Ledger.Count} acknowledged, 0 doubled, 0 lost");
    }

    [Theory]
    [InlineData("queue.peeked", 2, false)]
    [InlineData("queue.committed", 2, false)]
    [InlineData("queue.committed", 2, true)]
    public async Task Worker_KilledInMidBatch_TheOtherWritesIt(string point, int pass, bool onMariaDb)
    {
        await using var cluster = await Cluster.StartAsync(Drills.Fault(point, "kill", pass), onMariaDb);

        // The other one sleeps until this one is dead, so that it is this one that dies in mid-batch, however slow the machine is.
        cluster.Second.Process.Stop();
        await cluster.Rush.PressOnceAsync();
        await cluster.First.Process.WaitAsync(TimeSpan.FromSeconds(60));
        cluster.Second.Process.Continue();
        var audited = await cluster.Ledger.AuditAsync(cluster.Api);
        Assert.Equal(Stock, audited.Sold);
        output.WriteLine($"{point} {pass}: killed; the other wrote all {cluster.Ledger.Count}, 0 doubled, 0 lost");
    }

    /// <summary>One Redis, one data folder, a node that answers and two that write.</summary>
    private sealed class Cluster : IAsyncDisposable
    {
        private readonly TempFolder folder = new();
        private readonly List<SluiceServer> nodes = [];
        private RedisServer? redis;
        private MariaDbServer? mariaDb;

        public SluiceServer Api => nodes[0];

        public SluiceServer First => nodes[1];

        public SluiceServer Second => nodes[2];

        public required Ledger Ledger { get; set; }

        public required Rush Rush { get; set; }

        public IReadOnlyList<Buyer> Buyers { get; private set; } = [];

        public static async Task<Cluster> StartAsync(IReadOnlyDictionary<string, string>? faultOfFirst = null, bool onMariaDb = false)
        {
            var cluster = new Cluster { Ledger = null!, Rush = null! };
            try
            {
                await cluster.BeginAsync(faultOfFirst, onMariaDb);
                return cluster;
            }
            catch
            {
                await cluster.DisposeAsync();
                throw;
            }
        }

        public async ValueTask DisposeAsync()
        {
            Rush?.Dispose();
            foreach (var node in nodes)
            {
                await node.DisposeAsync();
            }

            if (redis is not null)
            {
                await redis.DisposeAsync();
            }

            if (mariaDb is not null)
            {
                await mariaDb.DisposeAsync();
            }

            folder.Dispose();
        }

        private async Task BeginAsync(IReadOnlyDictionary<string, string>? faultOfFirst, bool onMariaDb)
        {
            redis = await RedisServer.StartAsync();
            mariaDb = onMariaDb ? await MariaDbServer.StartAsync() : null;
            var sql = mariaDb is { } server ? await server.NewDatabaseAsync() : "embedded";
            foreach (var (role, fault) in new[] { ("Api", null), ("Worker", faultOfFirst), ("Worker", null) })
            {
                nodes.Add(await SluiceServer.StartAsync(
                    [.. Drills.NoRateLimit, $"Roles={role}", $"NodeId={nodes.Count + 1}", $"Redis:Connection={redis.Connection}", $"Sql:Connection={sql}", "WriteQueue:BatchRowsMax=40"],
                    folder.Path, fault));
            }

            Ledger = new Ledger(await Api.OpenSaleAsync(Stock), Stock);
            Buyers = await Rush.BuyersAsync(Api, BuyerCount);
            Rush = new Rush(Api, Ledger, Buyers);
        }
    }
}

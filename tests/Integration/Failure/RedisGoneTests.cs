using System.Diagnostics;
using Sluice.Tests.Integration.Servers;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Failure;

/// <summary>A Redis server of its own dies, comes back, forgets: what was promised of <c>Durability.Logged</c> holds, and nothing is ever sold that is not there.</summary>
[Collection(Drills.Name)]
public sealed class RedisGoneTests(ITestOutputHelper output)
{
    private const int Stock = 500, Buyers = 1_500;

    [Fact]
    public async Task Redis_KilledInMidRushAndStartedAgain_LosesNothingThatWasAcknowledged()
    {
        var random = new Random(Drills.Seed);
        await using var redis = await RedisServer.StartAsync();
        await using var server = await StartAsync(redis);
        var buyers = await Rush.BuyersAsync(server, Buyers);
        for (var round = 0; round < 3; round++)
        {
            var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
            using var rush = new Rush(server, ledger, buyers);
            using var stop = new CancellationTokenSource();
            var enough = ledger.WhenCountIs(1 + random.Next(Stock - 100));
            var pressing = rush.PressAsync(stop.Token);
            await enough.WaitAsync(TimeSpan.FromMinutes(3));
            var before = ledger.Count;
            await redis.KillAsync();

            // While it is gone every click is answered, with 503 and a time to come back: the rush itself records anything else as a fault.
            var told = rush.Unavailable;
            await Eventually.TrueAsync(() => Task.FromResult(rush.Unavailable > told + 100), "buyers are told to come back later");
            await redis.BeginAsync();
            await stop.CancelAsync();
            await pressing;
            await rush.SettleAsync();
            var audited = await ledger.AuditAsync(server);
            Assert.Equal(Stock, audited.Sold);
            output.WriteLine($"seed {Drills.Seed} round {round}: Redis killed after {before} acknowledgements, {rush.Unavailable} answers of 503; {ledger.Count} acknowledged, 0 lost");
        }
    }

    // Each loss and each durability once; SLUICE_TEST_ALL=1 runs all four.
    public static TheoryData<bool, string> Losses => Drills.RunsAll ? new() { { false, "Logged" }, { true, "Logged" }, { false, "Committed" }, { true, "Committed" } } : new() { { true, "Logged" }, { false, "Committed" } };

    [Theory]
    [MemberData(nameof(Losses))]
    public async Task Redis_ThatLosesItsDataInMidRush_IsRefilledFromSqlAndFromTheNodeThatAcknowledged(bool flush, string durability)
    {
        await using var redis = await RedisServer.StartAsync();
        await using var server = await StartAsync(redis, durability);
        var buyers = await Rush.BuyersAsync(server, Buyers);
        var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
        using var rush = new Rush(server, ledger, buyers);
        using var stop = new CancellationTokenSource();
        var enough = ledger.WhenCountIs(Stock / 2);
        var pressing = rush.PressAsync(stop.Token);
        await enough.WaitAsync(TimeSpan.FromMinutes(3));
        await LoseAsync(redis, flush);
        var yours = rush.Yours + 1_000;
        await Eventually.TrueAsync(() => Task.FromResult(rush.Yours > yours), "buyers are served again");
        await stop.CancelAsync();
        await pressing;
        await rush.SettleAsync();
        Assert.Equal(Stock, (await ledger.AuditAsync(server)).Sold);
        output.WriteLine($"{durability}, flush {flush}: {ledger.Count} acknowledged, 0 lost; {rush.LongestSilence.TotalSeconds:0.0} s without an acknowledgement");
    }

    // Nothing is in SQL yet, nothing is in Redis any more: two nodes that answer have all that was promised, and only one of them rebuilds the pool.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Redis_ThatLosesItsDataBeforeAnythingIsWritten_IsRefilledFromEveryNodeThatAcknowledged(bool flush)
    {
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        string[] settings = [.. Drills.NoRateLimit, $"Redis:Connection={redis.Connection}"];
        await using var one = await SluiceServer.StartAsync([.. settings, "Roles=Api"], folder.Path);
        await using var two = await SluiceServer.StartAsync([.. settings, "Roles=Api", "NodeId=1"], folder.Path);
        var ledger = new Ledger(await one.OpenSaleAsync(Stock), Stock);
        using var atOne = new Rush(one, ledger, await Rush.BuyersAsync(one, 200, "one"));
        using var atTwo = new Rush(two, ledger, await Rush.BuyersAsync(one, 200, "two"));
        await Task.WhenAll(atOne.PressOnceAsync(), atTwo.PressOnceAsync());
        Assert.Equal(400, ledger.Count);
        await LoseAsync(redis, flush);

        // A crowd that would buy everything again, at the first door only: the second node has nothing to do but to hand in what it has promised.
        using var late = new Rush(one, ledger, await Rush.BuyersAsync(one, 300, "late"));
        await late.SettleAsync();
        await using var worker = await SluiceServer.StartAsync([.. settings, "Roles=Worker", "NodeId=2"], folder.Path);
        Assert.Equal(Stock, (await ledger.AuditAsync(one)).Sold);
        output.WriteLine($"flush {flush}: 400 acknowledged at two nodes, none written, all forgotten by Redis; 0 lost, 100 sold to others");
    }

    // Redis had it, the node had it, and both are gone: what was acknowledged is in SQL.
    [Fact]
    public async Task RedisWithItsDataAndTheNodeThatAcknowledged_GoneAtOnce_LoseNothingThatWasCommitted()
    {
        const int MoreStock = 4_000;
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();

        // Small batches: much is in the queue, and only there, when it is lost.
        string[] settings = [.. Drills.NoRateLimit, $"Redis:Connection={redis.Connection}", "Pools:Durability=Committed", "WriteQueue:BatchRowsMax=20"];
        await using var one = await SluiceServer.StartAsync([.. settings, "Roles=Api"], folder.Path);
        await using var two = await SluiceServer.StartAsync([.. settings, "Roles=Api", "NodeId=1"], folder.Path);
        await using var worker = await SluiceServer.StartAsync([.. settings, "Roles=Worker", "NodeId=2"], folder.Path);
        var buyers = await Rush.BuyersAsync(one, MoreStock);
        var ledger = new Ledger(await one.OpenSaleAsync(MoreStock), MoreStock);
        using var atOne = new Rush(one, ledger, buyers);
        using var atTwo = new Rush(two, ledger, buyers);
        var enough = ledger.WhenCountIs(200 + new Random(Drills.Seed).Next(MoreStock / 4));
        var pressing = atOne.PressAsync(CancellationToken.None);
        await enough.WaitAsync(TimeSpan.FromMinutes(3));
        await Task.WhenAll(one.KillAsync(), redis.KillAsync());
        await pressing;
        var before = ledger.Count;
        redis.LoseData();
        await redis.BeginAsync();
        await atTwo.SettleAsync();
        await one.BeginAsync();
        Assert.Equal(MoreStock, (await ledger.AuditAsync(one)).Sold);
        output.WriteLine($"seed {Drills.Seed}: {before} acknowledged when Redis lost its data and the node died; {ledger.Count} in the end, 0 lost; {ledger.LongestSilence.TotalSeconds:0.0} s without an acknowledgement");
    }

    [Fact]
    public async Task Redis_ThatLostItsDataAfterEverythingWasWritten_LosesNothing()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var server = await StartAsync(redis);
        var buyers = await Rush.BuyersAsync(server, Buyers);
        var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
        using (var first = new Rush(server, ledger, [.. buyers.Take(200)]))
        {
            await first.PressOnceAsync();
            await ledger.AuditAsync(server);
        }

        await redis.KillAsync();
        redis.LoseData();
        await redis.BeginAsync();

        // The same 200 ask again and find their claims; the others get the 300 units that are left, not one more.
        using var all = new Rush(server, ledger, buyers);
        await all.PressOnceAsync();
        await all.SettleAsync();
        var audited = await ledger.AuditAsync(server);
        Assert.Equal(Stock, audited.Sold);
        output.WriteLine($"Redis lost all it had; {ledger.Count} acknowledged before and after, 0 lost, 0 oversold");
    }

    [Fact]
    public async Task Redis_FlushedWhileAWorkerHoldsABatch_KeepsTheBatchAndRefusesNobody()
    {
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        string[] settings = [.. Drills.NoRateLimit, $"Redis:Connection={redis.Connection}", "WriteQueue:BatchRowsMax=40"];
        await using var api = await SluiceServer.StartAsync([.. settings, "Roles=Api"], folder.Path);
        await using var worker = await SluiceServer.StartAsync([.. settings, "Roles=Worker", "NodeId=1"], folder.Path, Drills.Fault("queue.peeked", "stop", 1));
        var ledger = new Ledger(await api.OpenSaleAsync(Stock), Stock);
        using var early = new Rush(api, ledger, await Rush.BuyersAsync(api, 100, "early"));
        using var late = new Rush(api, ledger, await Rush.BuyersAsync(api, 300, "late"));
        await using var client = await ConnectionMultiplexer.ConnectAsync($"{redis.Connection},allowAdmin=true");

        // The worker is frozen with the first claim in its hands, or with a few; the rest of the hundred waits in the queue, which Redis forgets. Then three hundred others buy.
        await early.PressOnceAsync();
        await Eventually.TrueAsync(() => worker.Process.IsFrozenAsync(), "the worker is frozen with a batch in its hands");
        var lost = (await client.GetDatabase().ListRangeAsync($"{{pool:{ledger.SaleId}.0}}:log")).Length;
        await client.GetServers()[0].FlushAllDatabasesAsync();
        await late.PressOnceAsync();
        worker.Process.Continue();

        await Eventually.TrueAsync(async () => (long)(await api.ServerGetAsync($"/v1/pools/{ledger.SaleId}"))["queueDepth"]! == 0 && (await ledger.CompareAsync(api)).Rows.Count > 300, "all is written");
        var certificate = await ledger.FreshCertificateAsync(api);
        var (rows, missing) = await ledger.CompareAsync(api);
        ledger.AssertUnits(rows.Values, certificate, certificate.ToJsonString());
        Assert.Equal("holds", (string?)certificate["verdict"]);
        Assert.Empty(missing);
        output.WriteLine($"{lost} claims in the queue when Redis forgot it, all kept; 300 were sold to others, 0 refused");
    }

    [Theory]
    [InlineData("rebuild.frozen")]
    [InlineData("rebuild.fenced")]
    [InlineData("rebuild.held")]
    public async Task Worker_KilledInMidRebuild_TheNextWhoAsksTakesItOverWithinSeconds(string point)
    {
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        string[] settings = [.. Drills.NoRateLimit, $"Redis:Connection={redis.Connection}"];
        await using var api = await SluiceServer.StartAsync([.. settings, "Roles=Api"], folder.Path);
        var ledger = new Ledger(await api.OpenSaleAsync(Stock), Stock);
        using var early = new Rush(api, ledger, await Rush.BuyersAsync(api, 50, "early"));
        using var late = new Rush(api, ledger, await Rush.BuyersAsync(api, 50, "late"));
        await using var client = await ConnectionMultiplexer.ConnectAsync($"{redis.Connection},allowAdmin=true");
        await using (var worker = await SluiceServer.StartAsync([.. settings, "Roles=Worker", "NodeId=1"], folder.Path, Drills.Fault(point, "kill", 1)))
        {
            await early.PressOnceAsync();
            await ledger.AuditAsync(api);

            // Nobody buys, so it is the worker that notices, and dies over the rebuild.
            await client.GetServers()[0].FlushAllDatabasesAsync();
            await worker.Process.WaitAsync(TimeSpan.FromSeconds(60));
        }

        var started = Stopwatch.GetTimestamp();
        await late.SettleAsync();
        var took = Stopwatch.GetElapsedTime(started);
        await using var another = await SluiceServer.StartAsync([.. settings, "Roles=Worker", "NodeId=2"], folder.Path);
        Assert.Equal(100, (await ledger.AuditAsync(api)).Sold);
        Assert.InRange(took, TimeSpan.Zero, TimeSpan.FromSeconds(12));
        output.WriteLine($"{point}: the worker died over the rebuild; 50 others had their claims after {took.TotalSeconds:0.0} s");
    }

    [Fact]
    public async Task Pool_LeftFrozenByADeadRebuilder_OpensAgainByItself()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var server = await StartAsync(redis);
        var ledger = new Ledger(await server.OpenSaleAsync(10), 10);
        await using var client = await ConnectionMultiplexer.ConnectAsync(redis.Connection);
        var meta = (RedisKey)$"{{pool:{ledger.SaleId}.0}}:meta";
        var db = client.GetDatabase();

        // As a rebuild leaves it that died this moment, in this life of Redis and in one before.
        foreach (var life in new[] { "", "another" })
        {
            var run = (string)(await db.HashGetAsync(meta, "run"))!;
            var at = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
            await db.HashSetAsync(meta, [new("frozen", "dead"), new("frozenAt", at), new("frozenIn", life.Length > 0 ? life : run)]);
            using var rush = new Rush(server, ledger, await Rush.BuyersAsync(server, 5, $"life{life}"));
            await rush.SettleAsync();
        }

        Assert.Equal(10, (await ledger.AuditAsync(server)).Sold);
    }

    private static async Task LoseAsync(RedisServer redis, bool flush)
    {
        if (flush)
        {
            await using var client = await ConnectionMultiplexer.ConnectAsync($"{redis.Connection},allowAdmin=true");
            await client.GetServers()[0].FlushAllDatabasesAsync();
        }
        else
        {
            await redis.KillAsync();
            redis.LoseData();
            await redis.BeginAsync();
        }
    }

    private static Task<SluiceServer> StartAsync(RedisServer redis, string durability = "Logged") =>
        SluiceServer.StartAsync([.. Drills.NoRateLimit, $"Redis:Connection={redis.Connection}", $"Pools:Durability={durability}", "Pools:CommitWaitMax=00:00:02"]);
}

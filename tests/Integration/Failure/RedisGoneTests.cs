using System.Diagnostics;
using System.Globalization;
using Sluice.Platform.Hosting;
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
            await enough.WaitAsync(TimeSpan.FromSeconds(30));
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

    [Theory]
    [InlineData(false, "Logged")]
    [InlineData(true, "Logged")]
    [InlineData(false, "Committed")]
    [InlineData(true, "Committed")]
    public async Task Redis_ThatLostItsData_IsRebuiltFromSqlAndNeverOversells(bool flush, string durability)
    {
        await using var redis = await RedisServer.StartAsync();
        await using var server = await StartAsync(redis, durability);
        var buyers = await Rush.BuyersAsync(server, Buyers);
        var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
        using var rush = new Rush(server, ledger, buyers);
        using var stop = new CancellationTokenSource();
        var enough = ledger.WhenCountIs(Stock / 2);
        var pressing = rush.PressAsync(stop.Token);
        await enough.WaitAsync(TimeSpan.FromSeconds(30));
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

        var lossAt = TimeProvider.System.GetUtcNow();
        await stop.CancelAsync();
        await pressing;
        await rush.SettleAsync();
        await Eventually.TrueAsync(async () => (long)(await server.ServerGetAsync($"/v1/pools/{ledger.SaleId}"))["queueDepth"]! == 0, "the queue is empty");
        var certificate = await ledger.FreshCertificateAsync(server);
        var (rows, lost) = await ledger.CompareAsync(server);
        ledger.AssertUnits(rows.Values, certificate, certificate.ToJsonString());

        // Logged does not survive the loss of Redis' disk: what was queued there and not yet in SQL is gone. Each one was made before the loss, or has a row that says it was refused
        // (a batch that a worker held in its hands, whose units were sold again before it could be put back), and the certificate says that too.
        var refused = rows.Values.Count(row => row.State == 3);
        // Committed means what it says: SQL has it.
        Assert.True(lost.Count == 0 || durability == "Logged", $"{lost.Count} claims were acknowledged as committed and are not, such as {string.Join(", ", lost.Take(3))}");
        Assert.All(lost, claim => Assert.True(Named(claim) || ClaimIds.TimeOf(Id(claim)) <= lossAt, $"{claim} was acknowledged after the loss and is gone"));
        Assert.Equal(refused == 0 ? "holds" : "broken", (string?)certificate["verdict"]);
        Assert.Equal(
            refused == 0 ? [] : ["nothing-accepted-was-refused"],
            certificate["checks"]!.AsArray().Where(check => !(bool)check!["holds"]!).Select(check => (string)check!["name"]!));
        output.WriteLine($"{durability}, flush {flush}: {ledger.Count} acknowledged, {lost.Count} lost with Redis' disk before SQL had them, {refused} refused by SQL; verdict {certificate["verdict"]}");

        bool Named(Acknowledged claim) => rows.TryGetValue(Id(claim), out var row) && row.State == 3;
        static long Id(Acknowledged claim) => long.Parse(claim.ClaimId, CultureInfo.InvariantCulture);
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

        // The worker is frozen with the first claim in its hands, or with a few; the rest of the hundred waits in the queue and is lost with it. Then three hundred others buy.
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
        Assert.InRange(missing.Count, 0, 99);
        Assert.All(missing, claim => Assert.StartsWith("early", claim.User, StringComparison.Ordinal));
        output.WriteLine($"{lost} claims in the queue when Redis forgot it; {100 - missing.Count} of them were in the worker's hands and are kept, 300 were sold to others, 0 refused");
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

    private static Task<SluiceServer> StartAsync(RedisServer redis, string durability = "Logged") =>
        SluiceServer.StartAsync([.. Drills.NoRateLimit, $"Redis:Connection={redis.Connection}", $"Pools:Durability={durability}", "Pools:CommitWaitMax=00:00:02"]);
}

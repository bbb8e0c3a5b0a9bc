using System.Globalization;
using System.Text;
using Dapper;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>Redis is gone for long: SQL sells what was set aside for that, and not a unit that Redis may have promised.</summary>
public sealed class RedisAwayTests(ITestOutputHelper output)
{
    /// <summary>What becomes of Redis.</summary>
    public enum Fate
    {
        /// <summary>Killed, and started again on its data.</summary>
        Killed,

        /// <summary>Killed, and its data is gone.</summary>
        Lost,

        /// <summary>Hangs, and wakes up: the same life, with claims on its way that nobody waits for any more.</summary>
        Frozen,
    }

    // Two nodes have promised what nobody has written: the only worker is frozen with the first batch in its hands.
    [Theory]
    [InlineData(Fate.Killed)]
    [InlineData(Fate.Lost)]
    [InlineData(Fate.Frozen)]
    public async Task Redis_KilledInMidRushAndGoneForLong_SqlSellsWhatIsSetAsideUntilItIsBack(Fate fate)
    {
        const int Stock = 8_000, SetAside = 300, Buyers = 5_000, Untold = 2 * 256; // A batch of each node.
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        string[] settings = [.. Settings(redis), "Pools:DegradedClaimsPerSecond=200"];
        await using var one = await SluiceServer.StartAsync([.. settings, "Roles=Api"], folder.Path);
        await using var two = await SluiceServer.StartAsync([.. settings, "Roles=Api", "NodeId=1"], folder.Path);
        await using var worker = await SluiceServer.StartAsync([.. settings, "Roles=Worker", "NodeId=2"], folder.Path, Drills.Fault("queue.peeked", "stop", 1));
        var ledger = new Ledger(await one.OpenSaleAsync(Stock, setAside: SetAside), Stock);
        var buyers = await Rush.BuyersAsync(one, Buyers, "one");
        using var atOne = new Rush(one, ledger, buyers);
        using var atTwo = new Rush(two, ledger, await Rush.BuyersAsync(one, Buyers, "two"));
        using var stop = new CancellationTokenSource();
        await atOne.AskAsync(buyers[0]);
        await Eventually.TrueAsync(() => worker.Process.IsFrozenAsync(), "the worker is frozen with a batch in its hands");
        var enough = ledger.WhenCountIs(150);
        var pressing = Task.WhenAll(atOne.PressAsync(stop.Token), atTwo.PressAsync(stop.Token));
        await enough.WaitAsync(TimeSpan.FromMinutes(3));
        if (fate == Fate.Frozen)
        {
            redis.Process.Stop();
        }
        else
        {
            await redis.KillAsync();
        }

        var before = ledger.Count;
        Assert.InRange(before, 150, Stock - (2 * SetAside));

        // Everything that is set aside is sold without Redis, and after that nothing more, however much the crowd asks.
        await Eventually.TrueAsync(async () => await SoldAsideAsync(one, ledger) == SetAside, "SQL sells what is set aside");
        var asked = atOne.Unavailable + atTwo.Unavailable;
        await Eventually.TrueAsync(() => Task.FromResult(atOne.Unavailable + atTwo.Unavailable > asked + 500), "buyers are told to come back later");
        var (sold, silence) = (ledger.Count, ledger.LongestSilence);
        var (rows, lost) = await ledger.CompareAsync(one);
        Assert.Empty(lost);

        // What Redis took at the last moment and nobody was told of any more may be in SQL too: its buyer asks again, and finds it.
        Assert.InRange(rows.Count, sold, sold + Untold);
        await Eventually.TrueAsync(async () => await LeftAsync(one, ledger) is var left && left >= Stock - rows.Count && left <= Stock - sold, "the page shows what is left");

        if (fate == Fate.Frozen)
        {
            redis.Process.Continue();
        }
        else
        {
            if (fate == Fate.Lost)
            {
                redis.LoseData();
            }

            await redis.BeginAsync();
        }

        worker.Process.Continue();
        await Eventually.TrueAsync(() => Task.FromResult(ledger.Count >= Stock), "the rest is sold");
        await stop.CancelAsync();
        await pressing;
        await Task.WhenAll(atOne.SettleAsync(), atTwo.SettleAsync());

        // A Redis that only slept takes, when it wakes, what was sent to it and given up meanwhile. Who has bought of SQL by then has that claim; the other is recorded as asked again.
        var audited = await ledger.AuditAsync(one, strangersMax: fate == Fate.Frozen ? 2 * 300 : 0);
        Assert.Equal(Stock, audited.Sold);
        output.WriteLine(
            $"seed {Drills.Seed}, {fate}: Redis gone after {before} acknowledgements, none written; {SetAside} sold without it, {silence.TotalSeconds:0.0} s without an acknowledgement until then; " +
            $"{ledger.Count} acknowledged in the end, 0 lost, 0 doubled; {audited.Rows.Values.Count(row => row.State == 3)} asked again");
    }

    // Nothing was written, and who had promised it is dead: all of Redis' share stays reserved, and SQL sells what is its own.
    [Fact]
    public async Task Node_ThatDiedTogetherWithRedis_KeepsItsUnitsReserved()
    {
        const int Stock = 700, SetAside = 200, Promised = 280;
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        await using var other = await SluiceServer.StartAsync([.. Settings(redis), "Roles=Api"], folder.Path);
        var ledger = new Ledger(await other.OpenSaleAsync(Stock, setAside: SetAside), Stock);
        await using (var dying = await SluiceServer.StartAsync([.. Settings(redis), "Roles=Api", "NodeId=1"], folder.Path))
        {
            using var early = new Rush(dying, ledger, await Rush.BuyersAsync(dying, Promised, "early"));
            await early.PressOnceAsync();
            Assert.Equal(Promised, ledger.Count);
            await Eventually.TrueAsync(async () => await LeftAsync(other, ledger) == Stock - Promised, "the page shows what is left");
            await dying.KillAsync();
            await redis.KillAsync();
        }

        // A crowd that would buy everything.
        using var late = new Rush(other, ledger, await Rush.BuyersAsync(other, 1_500, "late"));
        using var stop = new CancellationTokenSource();
        var pressing = late.PressAsync(stop.Token);
        await Eventually.TrueAsync(() => Task.FromResult(ledger.Count >= Promised + SetAside), "SQL sells what is set aside");
        var asked = late.Unavailable;
        await Eventually.TrueAsync(() => Task.FromResult(late.Unavailable > asked + 500), "buyers are told to come back later");
        await stop.CancelAsync();
        await pressing;
        Assert.Equal(Promised + SetAside, ledger.Count);
        Assert.Equal(SetAside, (await ledger.CompareAsync(other)).Rows.Count);

        // What nobody here can know but Redis is not shown as left.
        await Eventually.TrueAsync(async () => await LeftAsync(other, ledger) == Stock - Promised - SetAside, "the page goes on from where Redis stopped");

        await redis.BeginAsync();
        await using var worker = await SluiceServer.StartAsync([.. Settings(redis), "Roles=Worker", "NodeId=2"], folder.Path);
        var audited = await ledger.AuditAsync(other);
        Assert.Equal(Promised + SetAside, audited.Sold);
        output.WriteLine($"{Promised} promised by a node that died with Redis, {SetAside} sold without it, 0 lost, {audited.Left} left");
    }

    // Before Redis gives the units up, and after: the worker of another process goes on with it.
    [Theory]
    [InlineData("aside.wanted")]
    [InlineData("aside.taken")]
    public async Task Node_KilledWhileItSetsUnitsAside_HidesThemForAMomentAndDoublesNone(string point)
    {
        const int Stock = 100, SetAside = 40;
        using var folder = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        await using var other = await SluiceServer.StartAsync(Settings(redis), folder.Path);
        var ledger = new Ledger(await other.OpenSaleAsync(Stock), Stock);
        await using (var dying = await SluiceServer.StartAsync([.. Settings(redis), "Roles=Api", "NodeId=1"], folder.Path, Drills.Fault(point, "kill", 1)))
        {
            using var request = new HttpRequestMessage(HttpMethod.Put, $"/v1/flash-sales/{ledger.SaleId}/set-aside") { Content = new StringContent($"{{\"units\":{SetAside}}}", Encoding.UTF8, "application/json") };
            request.Headers.Add("X-Api-Key", dying.AdminKey);
            await Assert.ThrowsAnyAsync<HttpRequestException>(() => dying.Http.SendAsync(request));
        }

        await Eventually.TrueAsync(
            async () => await other.ServerGetAsync($"/v1/pools/{ledger.SaleId}") is var pool && (long)pool["setAsideUnits"]! == SetAside && (long)pool["leftUnits"]! == Stock - SetAside, "the units are set aside");
        using var rush = new Rush(other, ledger, await Rush.BuyersAsync(other, 150));
        await rush.PressOnceAsync();
        await Eventually.TrueAsync(async () => { await rush.PressOnceAsync(); return ledger.Count == Stock; }, "all is sold, what was set aside too");
        Assert.Equal(Stock, (await ledger.AuditAsync(other)).Sold);
    }

    private static async Task<long> SoldAsideAsync(SluiceServer server, Ledger ledger)
    {
        await using var database = server.OpenDatabase();
        return await database.QuerySingleAsync<long>("SELECT sold_aside_units FROM pools WHERE id = @saleId", new { saleId = long.Parse(ledger.SaleId, CultureInfo.InvariantCulture) });
    }

    private static async Task<long> LeftAsync(SluiceServer server, Ledger ledger) => (long)(await server.ServerGetAsync($"/v1/flash-sales/{ledger.SaleId}"))["leftUnits"]!;

    private static string[] Settings(RedisServer redis) => [.. Drills.NoRateLimit, $"Redis:Connection={redis.Connection}", "Pools:DegradeAfter=00:00:01"];
}

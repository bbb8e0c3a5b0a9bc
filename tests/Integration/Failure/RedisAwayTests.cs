using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>Redis is gone for long: SQL sells what was set aside for that, and not a unit that Redis may have promised.</summary>
[Collection(Drills.Name)]
public sealed class RedisAwayTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Redis_KilledInMidRushAndGoneForLong_SqlSellsWhatIsSetAsideUntilItIsBack()
    {
        const int Stock = 4_000, SetAside = 300, Buyers = 5_000;
        await using var redis = await RedisServer.StartAsync();
        await using var server = await SluiceServer.StartAsync([.. Settings(redis), "Pools:DegradedClaimsPerSecond=2000"]);
        var ledger = new Ledger(await server.OpenSaleAsync(Stock, setAside: SetAside), Stock);
        using var rush = new Rush(server, ledger, await Rush.BuyersAsync(server, Buyers));
        using var stop = new CancellationTokenSource();
        var enough = ledger.WhenCountIs(50);
        var pressing = rush.PressAsync(stop.Token);
        await enough.WaitAsync(TimeSpan.FromSeconds(30));
        await redis.KillAsync();
        var before = ledger.Count;
        Assert.InRange(before, 50, Stock - (2 * SetAside));

        // Everything that is set aside is sold without Redis, and after that nothing more, however much the crowd asks.
        await Eventually.TrueAsync(() => Task.FromResult(ledger.Count >= before + SetAside), "SQL sells what is set aside");
        var asked = rush.Unavailable;
        await Eventually.TrueAsync(() => Task.FromResult(rush.Unavailable > asked + 500), "buyers are told to come back later");
        var sold = ledger.Count;

        await redis.BeginAsync();
        await stop.CancelAsync();
        await pressing;
        await rush.SettleAsync();
        Assert.Equal(Stock, (await ledger.AuditAsync(server)).Sold);
        output.WriteLine($"seed {Drills.Seed}: Redis killed after {before} acknowledgements; {sold - before} without it; {ledger.Count} acknowledged in the end, 0 lost");
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

        await redis.BeginAsync();
        await using var worker = await SluiceServer.StartAsync([.. Settings(redis), "Roles=Worker", "NodeId=2"], folder.Path);
        var audited = await ledger.AuditAsync(other);
        Assert.Equal(Promised + SetAside, audited.Sold);
        output.WriteLine($"{Promised} promised by a node that died with Redis, {SetAside} sold without it, 0 lost, {audited.Left} left");
    }

    private static string[] Settings(RedisServer redis) => [.. Drills.NoRateLimit, $"Redis:Connection={redis.Connection}", "Pools:DegradeAfter=00:00:01"];
}

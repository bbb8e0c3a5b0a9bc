namespace Sluice.Bench.Runner.Scenarios;

/// <summary>Accepted claims per second through HTTP, every one by another user with a token, while the worker writes the orders beside it.</summary>
internal static class Claims
{
    /// <summary>Never sold out within a round.</summary>
    public const long HugeStockUnits = 10_000_000;

    public static async Task<Plan> PlanAsync(Rig rig, CancellationToken cancel)
    {
        var sluice = await rig.SluiceAsync(cancel);
        var bare = await rig.BareAsync(cancel);
        var crowd = await rig.CrowdAsync(sluice, rig.Options.CrowdUsers, cancel);
        return new Plan("claims", "Accepted claims: token checked, limits on, kept in the append-only file before the answer.",
            [
                new Contender("claim", token => MeasureAsync(rig, sluice, crowd, token)),
                rig.BarePostSameBytes(bare, crowd),
                rig.BarePost(bare),
            ],
            [
                new Comparison("claim", "bare POST, a claim's bytes"),
                new Comparison("claim", "bare POST", Goal: 0.50, CpuGoal: 1.6),
            ]);
    }

    private static async Task<Sample> MeasureAsync(Rig rig, SluiceServer sluice, Crowd crowd, CancellationToken cancel)
    {
        var sale = await sluice.OpenSaleAsync(HugeStockUnits, cancel);
        var before = sluice.Process.CpuTime();
        var wrk = await SendAsync(rig, sluice, sale, crowd, cancel);
        var cpu = sluice.Process.CpuTime() - before;

        // What the worker has not written yet must not run on in the next contender's round.
        await sluice.DrainedAsync(sale.PoolId, cancel);
        return Sample.Of(wrk, cpu);
    }

    /// <summary>Claims for the round's time; every answer must have been an acceptance, and the pool must know them all.</summary>
    public static async Task<WrkSummary> SendAsync(Rig rig, SluiceServer sluice, Sale sale, Crowd crowd, CancellationToken cancel)
    {
        var wrk = await rig.Wrk.RunAsync("claims.lua", sluice.Url, rig.Options.Seconds, cancel,
            $"path=/v1/flash-sales/{sale.Id}/claims", $"tokens={crowd.TokenPrefix}");
        Rig.Require(wrk.Count("exhausted") == 0, $"{crowd.Users} users were too few for {rig.Options.Seconds} s: {wrk}");
        Rig.Require(wrk is { ErrorStatuses: 0, SocketErrors: 0, Timeouts: 0 }, $"claims were refused: {wrk}");
        var pool = await sluice.PoolAsync(sale.PoolId, cancel);
        Rig.Require(pool.CapacityUnits - pool.LeftUnits >= wrk.Requests, $"{wrk.Requests} answers, but only {pool.CapacityUnits - pool.LeftUnits} units are taken.");
        return wrk;
    }
}

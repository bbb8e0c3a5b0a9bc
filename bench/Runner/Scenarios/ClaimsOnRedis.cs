namespace Sluice.Bench.Runner.Scenarios;

/// <summary>Accepted claims per second of a node that only takes them (role api), on a Redis server that flushes every batch to the disk before it answers.</summary>
internal static class ClaimsOnRedis
{
    public static async Task<Plan> PlanAsync(Rig rig, CancellationToken cancel)
    {
        var redis = await rig.RedisAsync(cancel);
        var sluice = await rig.SluiceAsync(cancel, environment: new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["SLUICE__Roles"] = "Api", ["SLUICE__Redis__Connection"] = redis.Address, ["SLUICE__WriteQueue__LagMax"] = "100000000",
        });
        var bare = await rig.BareAsync(cancel);
        var crowd = await rig.CrowdAsync(sluice, rig.Options.CrowdUsers, cancel);
        return new Plan(
            "claims-on-redis", "Accepted claims on a node without a worker: token checked, limits on, in Redis with appendfsync always before the answer. The queue grows; `drain` measures how it is emptied.",
            [
                new Contender("claim", token => MeasureAsync(rig, sluice, redis.Server, crowd, token)),
                rig.BarePostSameBytes(bare, crowd),
                rig.BarePost(bare),
            ],
            [
                new Comparison("claim", "bare POST, a claim's bytes"),
                new Comparison("claim", "bare POST", Goal: 0.50, CpuGoal: 1.6),
            ]);
    }

    private static async Task<Sample> MeasureAsync(Rig rig, SluiceServer sluice, ChildProcess redis, Crowd crowd, CancellationToken cancel)
    {
        var sale = await sluice.OpenSaleAsync(Claims.HugeStockUnits, cancel);
        var (appBefore, redisBefore) = (sluice.Process.CpuTime(), redis.CpuTime());
        var wrk = await Claims.SendAsync(rig, sluice, sale, crowd, cancel);
        return Sample.Of(wrk, sluice.Process.CpuTime() - appBefore, redis.CpuTime() - redisBefore);
    }
}

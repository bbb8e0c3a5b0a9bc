using System.Text;

namespace Sluice.Bench.Runner.Scenarios;

/// <summary>How long a claim takes when the node is half as busy as it can be, in an open model; against the bare POST at half of what that can do.</summary>
internal static class HalfRate
{
    public static async Task<Plan> PlanAsync(Rig rig, CancellationToken cancel)
    {
        var redis = await rig.RedisAsync(cancel);
        var embedded = await rig.SluiceAsync(cancel, "embedded");
        var apart = await rig.SluiceAsync(cancel, "apart", new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["SLUICE__Roles"] = "Api", ["SLUICE__Redis__Connection"] = redis.Address, ["SLUICE__WriteQueue__LagMax"] = "100000000",
        });
        var bare = await rig.BareAsync(cancel);
        var ofEmbedded = await rig.CrowdAsync(embedded, rig.Options.CrowdUsers, cancel, "embedded");
        var ofApart = await rig.CrowdAsync(apart, rig.Options.CrowdUsers, cancel, "apart");
        return new Plan(
            "half-rate", "Half of the requests that each took in the seconds before, arriving at random whatever was answered. p99 counts from the moment a request was due.",
            [
                new Contender("claim, embedded", token => ClaimsAsync(rig, embedded, null, ofEmbedded, token)),
                new Contender("claim, Redis apart, no worker", token => ClaimsAsync(rig, apart, redis.Server, ofApart, token)),
                new Contender("bare POST, a claim's bytes", token => BareAsync(rig, bare, ofApart, token)),
            ],
            [
                new Comparison("claim, embedded", "bare POST, a claim's bytes", P99Goal: 1.0),
                new Comparison("claim, Redis apart, no worker", "bare POST, a claim's bytes", P99Goal: 1.0),
            ]);
    }

    private static async Task<Sample> ClaimsAsync(Rig rig, SluiceServer sluice, ChildProcess? redis, Crowd crowd, CancellationToken cancel)
    {
        var rush = await sluice.OpenSaleAsync(Claims.HugeStockUnits, cancel);
        var most = (await Claims.SendAsync(rig, sluice, rush, crowd, cancel)).PerSecond;
        if (redis is null)
        {
            await sluice.DrainedAsync(rush.PoolId, cancel);
        }

        var sale = await sluice.OpenSaleAsync(Claims.HugeStockUnits, cancel);
        var sample = await PaceAsync(rig, sluice.Url, $"/v1/flash-sales/{sale.Id}/claims", most, crowd, sluice.Process, redis, cancel);
        var pool = await sluice.PoolAsync(sale.PoolId, cancel);
        Rig.Require(pool.CapacityUnits - pool.LeftUnits == sample.Count, $"{sample.Count} claims were answered, but {pool.CapacityUnits - pool.LeftUnits} units are taken.");
        if (redis is null)
        {
            await sluice.DrainedAsync(sale.PoolId, cancel);
        }

        return sample;
    }

    private static async Task<Sample> BareAsync(Rig rig, ServerProcess bare, Crowd crowd, CancellationToken cancel)
    {
        var most = (await rig.Wrk.RunAsync("bare-post.lua", bare.Url, rig.Options.Seconds, cancel, $"tokens={crowd.TokenPrefix}")).PerSecond;
        return await PaceAsync(rig, bare.Url, "/bare/claims", most, crowd, bare.Process, null, cancel);
    }

    private static async Task<Sample> PaceAsync(Rig rig, string url, string path, double most, Crowd crowd, ChildProcess app, ChildProcess? redis, CancellationToken cancel)
    {
        var before = Encoding.ASCII.GetBytes($"POST {path} HTTP/1.1\r\nHost: {new Uri(url).Authority}\r\nContent-Type: application/json\r\nContent-Length: 11\r\nAuthorization: Bearer ");
        var after = "\r\n\r\n{\"units\":1}"u8.ToArray();

        // Made before the first is due: nothing but sending shares the machine with the server.
        var requests = new List<byte[]>(crowd.Users);
        for (var thread = 0; thread < rig.Wrk.Threads; thread++)
        {
            await foreach (var token in File.ReadLinesAsync($"{crowd.TokenPrefix}{thread}.txt", cancel))
            {
                requests.Add([.. before, .. Encoding.ASCII.GetBytes(token), .. after]);
            }
        }

        GC.Collect();
        var (appCpu, redisCpu, ownCpu) = (app.CpuTime(), redis?.CpuTime(), Environment.CpuUsage.TotalTime);
        var paced = await Pacer.RunAsync(
            url, most / 2, rig.Options.Seconds, 202,
            number => number < requests.Count ? requests[(int)number] : throw new BenchException($"{requests.Count} users were too few for {rig.Options.Seconds} s."), cancel);
        return new Sample(
            paced.PerSecond, paced.Requests, (app.CpuTime() - appCpu).TotalMicroseconds / paced.Requests, redis is null ? null : (redis.CpuTime() - redisCpu!.Value).TotalMicroseconds / paced.Requests,
            (Environment.CpuUsage.TotalTime - ownCpu).TotalMicroseconds / paced.Requests, paced.P99Ms);
    }
}

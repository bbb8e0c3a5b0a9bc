namespace Sluice.Bench.Runner.Scenarios;

/// <summary>
/// One sale on a Redis Cluster of three primaries with a replica each (<c>sluice cluster up --redis cluster</c>): in one lane, on one of the primaries, and in four. On one machine more primaries bring no more claims; what is of use is what a claim
/// costs Redis, which says how many one core of a Redis server carries.
/// </summary>
internal static class Lanes
{
    public static async Task<Plan> PlanAsync(Rig rig, CancellationToken cancel)
    {
        var cluster = await ClusterOfBench.StartAsync(rig, "cluster", cancel);
        var crowd = await rig.CrowdAsync(cluster.Direct, rig.Options.CrowdUsers, cancel);
        return new Plan("lanes", "Orders of one sale on a Redis Cluster (three primaries, a replica each, each claim on both before the answer), at one API node, from the first request until the queue is empty. Redis is all six servers.",
            [
                new Contender("order, 4 lanes", token => cluster.MeasureAsync(cluster.Direct, crowd, lanes: 4, token)),
                new Contender("order, 1 lane", token => cluster.MeasureAsync(cluster.Direct, crowd, lanes: 1, token)),
            ],
            [new Comparison("order, 4 lanes", "order, 1 lane")]);
    }
}

using Sluice.Tests.Integration.Servers;

namespace Sluice.Bench.Runner.Scenarios;

/// <summary>
/// What a broker between the log and the worker costs: the same backlog as in <see cref="Drain"/>, written by a worker that reads the log, one behind a RabbitMQ server, and one behind the mock cluster of Kafka's client.
/// Each has a Redis, an API node and a database of its own. The mock is part of this program: what it spends itself is not counted.
/// </summary>
internal static class Queues
{
    private const string List = "Redis list";

    public static async Task<Plan> PlanAsync(Rig rig, CancellationToken cancel)
    {
        var rabbit = rig.Keep(await RabbitMqServer.StartAsync());
        var kafka = rig.Keep(new KafkaCluster());
        return new Plan("queues", "A backlog of claims in Redis written as claims and orders: read from the log, through RabbitMQ, and through the mock cluster of Kafka's client.",
            [
                await ContenderAsync(rig, List, new Dictionary<string, string>(), null, cancel),
                await ContenderAsync(rig, "RabbitMQ", Engine("RabbitMq", rabbit.Connection), ("RabbitMQ", rabbit.Process), cancel),
                await ContenderAsync(rig, "Kafka mock", Engine("Kafka", kafka.Connection), null, cancel),
            ],
            [new Comparison("RabbitMQ", List), new Comparison("Kafka mock", List)]);
    }

    private static Dictionary<string, string> Engine(string engine, string connection) => new(StringComparer.Ordinal) { ["SLUICE__WriteQueue__Engine"] = engine, ["SLUICE__WriteQueue__Connection"] = connection };

    private static async Task<Contender> ContenderAsync(Rig rig, string name, Dictionary<string, string> engine, (string Name, ChildProcess Process)? broker, CancellationToken cancel)
    {
        var folder = name.Replace(' ', '-');
        var redis = await rig.RedisAsync(cancel, $"redis-of-{folder}");
        var worker = await rig.SluiceAsync(cancel, folder, new Dictionary<string, string>(Drain.Node(redis.Address, "Worker", "1").Concat(engine), StringComparer.Ordinal));
        var api = await rig.SluiceAsync(cancel, folder, Drain.Node(redis.Address, "Api", "2"));
        var crowd = await rig.CrowdAsync(api, rig.Options.CrowdUsers, cancel, folder);
        return new Contender(name, token => Drain.MeasureAsync(rig, folder, api, worker, redis.Server, crowd, token, broker));
    }
}

using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using Sluice.Platform.WriteQueue;

namespace Sluice.Host;

/// <summary><c>/health/live</c>: the process runs. <c>/health/ready</c>: it can take claims, or which engine is missing.</summary>
internal static class Health
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/health/live", () => Results.Text("live")).For(AccessRule.Public)
            .WithTags("Health").WithSummary("The process runs").Produces<string>(200, "text/plain").WithoutEngines();
        routes.MapGet("/health/ready", ReadyAsync).For(AccessRule.Public)
            .WithTags("Health").WithSummary("It can take claims, or what is missing").Produces<string>(200, "text/plain").WithoutEngines().Refuses(503, "not-ready");
    }

    private static async Task<IResult> ReadyAsync(NodeOptions node, NodeDatabases databases, RedisConnection redis, PoolKeeper keeper, IServiceProvider services)
    {
        var missing = new List<string>();
        var (away, beside) = await databases.LookAsync();
        missing.AddRange(away);
        await TryAsync("redis", async () =>
        {
            await redis.PingAsync();
            return true;
        });
        await TryAsync("room on the disk", () =>
        {
            redis.DemandRoom();
            return Task.FromResult(true);
        });
        if (node.Roles.HasFlag(Roles.Worker) && databases.IsHomeInMain && !keeper.IsReady)
        {
            missing.Add("pools are being rebuilt");
        }

        // Without its broker, or the database of a module beside the others, it takes claims all the same, so nobody may be sent away for it; but whoever looks must see it.
        List<string> ailments = [.. services.GetService<Brokers>()?.Ailment is { } ailment ? [$"claims wait in Redis: {ailment}"] : Array.Empty<string>(), .. beside.Select(name => $"{name} is away")];
        return missing.Count == 0
            ? Results.Text(string.Join("; ", ["ready", .. ailments]))
            : new Problem(503, "not-ready", "Not ready", $"Missing: {string.Join("; ", missing)}.") { RetryAfter = TimeSpan.FromSeconds(1) };

        async Task TryAsync<T>(string name, Func<Task<T>> look)
        {
            try
            {
                await look();
            }
            catch (DependencyUnavailableException)
            {
                missing.Add(name);
            }
        }
    }
}

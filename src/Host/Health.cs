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

    private static async Task<IResult> ReadyAsync(NodeOptions node, Database database, RedisConnection redis, PoolKeeper keeper, IServiceProvider services)
    {
        var missing = new List<string>();
        await TryAsync("sql", () => database.ReadAsync(connection => Dapper.SqlMapper.QuerySingleAsync<long>(connection, "SELECT 1")));
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
        if (node.Roles.HasFlag(Roles.Worker) && !keeper.IsReady)
        {
            missing.Add("pools are being rebuilt");
        }

        return missing.Count == 0
            // Without its broker it takes claims all the same, so nobody may be sent away for it; but whoever looks must see it.
            ? Results.Text(services.GetService<Brokers>()?.Ailment is { } ailment ? $"ready; claims wait in Redis: {ailment}" : "ready")
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

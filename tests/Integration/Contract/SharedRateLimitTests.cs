using Microsoft.Extensions.Time.Testing;
using Sluice.Platform.Admission;
using Sluice.Platform.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>One limit over several nodes.</summary>
public sealed class SharedRateLimitTests(Engines engines)
{
    private const int PerSecond = 10, Burst = 20;

    // The nodes' own clocks stand still, so that what is admitted at once can be counted; the server's clock goes on, and with it a part of a second.
    private readonly FakeTimeProvider time = new();

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.RedisCluster)]
    public async Task Check_OverSeveralNodes_NeverAdmitsMoreThanTheLimit(Engine engine)
    {
        var nodes = Nodes((await engines.OpenAsync(engine)).Redis, 2, perSecond: 1);
        var user = $"u-{Guid.NewGuid():N}";
        var admitted = await Task.WhenAll(Enumerable.Range(0, 200).Select(async i => await nodes[i % 2].CheckAsync(user) is null));
        Assert.InRange(admitted.Count(yes => yes), Burst, Burst + 10); // Not forty. Some for the time that it took: a half in a second comes back in Redis.
    }

    [Fact]
    public async Task Check_OfLessThanOneASecond_AdmitsTheBurstAndThenWaitsForSeconds()
    {
        var nodes = Nodes((await engines.OpenAsync(Engine.Redis)).Redis, 2, perSecond: 0.01);
        var user = $"u-{Guid.NewGuid():N}";
        TimeSpan? wait = null;
        var admitted = -1;
        for (; wait is null; admitted++)
        {
            wait = await nodes[0].CheckAsync(user);
        }

        // A quarter by itself, and the half that is shared, which has one in 200 s.
        Assert.Equal((Burst / 4) + (Burst / 2), admitted);
        Assert.InRange(wait.Value, TimeSpan.FromSeconds(100), TimeSpan.FromSeconds(200));
    }

    [Fact]
    public async Task Check_OfSomebodyWhoStaysAtOneNode_AdmitsThatNodesPartAndWhatIsShared()
    {
        var nodes = Nodes((await engines.OpenAsync(Engine.Redis)).Redis, 2, perSecond: 1);
        var user = $"u-{Guid.NewGuid():N}";
        var admitted = 0;
        for (var i = 0; i < 100; i++)
        {
            admitted += await nodes[0].CheckAsync(user) is null ? 1 : 0;
        }

        // A quarter of 20 by itself, ten that are shared.
        Assert.InRange(admitted, 15, 19);
    }

    [Fact]
    public async Task Check_OfSomebodyWhoClicksLikePeople_AsksNobody()
    {
        var nodes = Nodes((await engines.OpenAsync(Engine.Redis)).Redis, 2, PerSecond);
        for (var i = 0; i < 5; i++)
        {
            var asked = nodes[0].CheckAsync("patient").AsTask();
            Assert.True(asked.IsCompletedSuccessfully);
            Assert.Null(await asked);
        }
    }

    [Fact]
    public async Task Check_WhileRedisIsAway_AdmitsThisNodesPartOfTheWhole()
    {
        var server = await Servers.RedisServer.StartAsync();
        using var folder = new TempFolder();
        await using var redis = await RedisConnection.OpenAsync(new RedisOptions { Connection = server.Connection }, folder.Path, Microsoft.Extensions.Logging.Abstractions.NullLoggerFactory.Instance);
        await server.DisposeAsync();
        var nodes = Nodes(redis, 2, PerSecond);
        var admitted = await Task.WhenAll(Enumerable.Range(0, 200).Select(async i => await nodes[i % 2].CheckAsync("u") is null));
        Assert.Equal(Burst, admitted.Count(yes => yes));
    }

    [Fact]
    public async Task Check_WhenRefused_SaysHowLongToWaitAndForgetsInTime()
    {
        var redis = (await engines.OpenAsync(Engine.Redis)).Redis;
        var nodes = Nodes(redis, 2, perSecond: 100);
        var user = $"u-{Guid.NewGuid():N}";
        TimeSpan? wait = null;
        for (var i = 0; i < 100 && wait is null; i++)
        {
            wait = await nodes[0].CheckAsync(user);
        }

        Assert.InRange(wait!.Value, TimeSpan.FromMicroseconds(1), TimeSpan.FromSeconds(1));
        await Servers.Eventually.TrueAsync(async () => !await redis.DbOf($"{{rate:test:{user}}}").KeyExistsAsync($"{{rate:test:{user}}}"), "what nobody needs any more is gone from Redis");
    }

    private SharedRateLimit[] Nodes(RedisConnection redis, int count, double perSecond) =>
        [.. Enumerable.Range(0, count).Select(_ => new RateLimits(new AdmissionOptions(), redis, new ApiNodes { Count = count }, time).New("test", perSecond, Burst))];
}

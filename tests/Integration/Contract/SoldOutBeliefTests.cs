using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>The crowd that came too late costs nothing, and nobody who holds a claim is ever part of it.</summary>
public sealed class SoldOutBeliefTests(Engines engines)
{
    private readonly FakeTimeProvider time = new(TimeProvider.System.GetUtcNow());

    [Fact]
    public async Task IsSoldOutFor_AStranger_IsAnsweredWithoutRedis()
    {
        // A server of its own: its counters are what is measured.
        await using var server = await RedisServer.StartAsync();
        await using var redis = await RedisConnection.OpenAsync(new RedisOptions { Connection = server.Connection }, server.Folder, NullLoggerFactory.Instance);
        using var node = new PoolNode(new EnginePair(redis, new SqlOptions()), clock: time);
        var pool = await SoldOutPoolAsync(node);
        var before = await CommandsAsync(redis);
        for (var i = 0; i < 1_000; i++)
        {
            Assert.True(node.Claims.IsSoldOutFor(pool, $"stranger-{i}"));
        }

        Assert.Equal(before, await CommandsAsync(redis));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    public async Task IsSoldOutFor_AHolder_IsFalseAndTheRetryFindsTheClaim(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine), clock: time);
        var pool = await SoldOutPoolAsync(node);

        Assert.False(node.Claims.IsSoldOutFor(pool, "holder"));
        Assert.Equal(ClaimOutcome.AlreadyClaimed, (await node.ClaimAsync(pool, "holder")).Outcome);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    public async Task IsSoldOutFor_AfterARelease_IsFalseAtOnce(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine), clock: time);
        var pool = await SoldOutPoolAsync(node);
        await node.DrainAsync();
        await node.ReleaseAsync((await node.WrittenAsync(pool))[0].Id);
        Assert.Equal(1, await node.Releases.ReturnPendingAsync());

        Assert.False(node.Claims.IsSoldOutFor(pool, "stranger"));
        Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(pool, "stranger")).Outcome);
    }

    // A release on another node is not heard here: the belief ends by itself.
    [Fact]
    public async Task IsSoldOutFor_AfterItsTime_AsksAgain()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet), clock: time);
        var pool = await SoldOutPoolAsync(node);
        time.Advance(TimeSpan.FromMilliseconds(999));
        Assert.True(node.Claims.IsSoldOutFor(pool, "stranger"));
        time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.False(node.Claims.IsSoldOutFor(pool, "stranger"));
    }

    [Fact]
    public async Task IsSoldOutFor_WhenASecondSoldOutFollowsARefill_KnowsTheNewHolder()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet), clock: time);
        var pool = await SoldOutPoolAsync(node);
        await node.DrainAsync();
        await node.ReleaseAsync((await node.WrittenAsync(pool))[0].Id);
        await node.Releases.ReturnPendingAsync();
        await node.ClaimAsync(pool, "new-holder");
        await BelieveAsync(node, pool);

        Assert.False(node.Claims.IsSoldOutFor(pool, "new-holder"));
    }

    // The count of refills starts anew with a pool that was lost: it must not look like the one that this node has learned the holders for.
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    public async Task IsSoldOutFor_WhenRedisForgotThePool_KnowsTheNewHolder(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine), clock: time);
        var pool = await SoldOutPoolAsync(node);
        await node.DrainAsync();
        await node.ReleaseAsync((await node.WrittenAsync(pool))[0].Id);
        var keys = new PoolKeys(pool);
        await node.Redis.DbOf(keys.Meta).KeyDeleteAsync([keys.Meta, keys.Left, keys.Holders, keys.Log]);
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(pool, "new-holder")).Outcome);
        await BelieveAsync(node, pool);

        Assert.False(node.Claims.IsSoldOutFor(pool, "new-holder"));
    }

    private static async Task<long> SoldOutPoolAsync(PoolNode node)
    {
        var pool = await node.OpenPoolAsync(units: 1);
        Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(pool, "holder")).Outcome);
        await BelieveAsync(node, pool);
        return pool;
    }

    // The holders are learned beside the answers.
    private static async Task BelieveAsync(PoolNode node, long pool)
    {
        Assert.Equal(ClaimOutcome.SoldOut, (await node.ClaimAsync(pool, "too-late")).Outcome);
        await Eventually.TrueAsync(() => Task.FromResult(node.Claims.IsSoldOutFor(pool, "stranger")), "the node believes that the pool is sold out");
    }

    // Every command but the one that asks, and what the client sends by itself.
    private static async Task<string> CommandsAsync(RedisConnection redis)
    {
        var stats = (await redis.DbOf("any").ExecuteAsync("INFO", "commandstats")).ToString();
        var calls = Regex.Matches(stats, @"cmdstat_(evalsha|eval|hmget|hget|hscan|get|llen|lrange)\b:calls=\d+").Select(match => match.Value).ToList();
        Assert.Contains(calls, call => call.StartsWith("cmdstat_evalsha", StringComparison.Ordinal));
        return string.Join(' ', calls.Order(StringComparer.Ordinal));
    }
}

using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Platform.Cache;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Two nodes, and between them a Redis through which they tell each other, and what they share in that Redis or in another engine. Once for all tests of a class: each has keys of its own.</summary>
public abstract class SharedEngine : IAsyncLifetime
{
    private readonly TempFolder folder = new();

    /// <summary>For <c>Cache:Connection</c>.</summary>
    public abstract string Connection { get; }

    internal RedisServer Redis { get; private set; } = null!;

    internal Database Database { get; private set; } = null!;

    internal CacheNode One { get; private set; } = null!;

    internal CacheNode Other { get; private set; } = null!;

    // So long that a test never waits for its end: what is shown anew was dropped, not forgotten.
    internal CacheOptions Long => new() { Connection = Connection, ProcessAge = TimeSpan.FromHours(1), SharedAge = TimeSpan.FromHours(1), AbsentAge = TimeSpan.FromMinutes(1), CallTimeMax = TimeSpan.FromSeconds(20) };

    public async ValueTask InitializeAsync()
    {
        Redis = await RedisServer.StartAsync();
        await StartAsync();
        Database = await CacheNode.NewDatabaseAsync(folder.Path);
        One = await OpenAsync(Long);
        Other = await OpenAsync(Long);
    }

    internal Task<CacheNode> OpenAsync(CacheOptions options) => CacheNode.OpenAsync(Redis.Connection, Database, folder.Path, options);

    /// <summary>What nodes share, without a node; and what to end with it.</summary>
    internal async Task<(SharedAnswers Shared, IAsyncDisposable[] Ends)> OpenSharedAsync(string? connection = null)
    {
        var redis = await RedisConnection.OpenAsync(new RedisOptions { Connection = Redis.Connection, CallTimeMax = TimeSpan.FromSeconds(20) }, folder.Path, NullLoggerFactory.Instance);
        var tiers = await CacheTiers.OpenAsync(new CacheOptions { Connection = connection ?? Connection, CallTimeMax = TimeSpan.FromSeconds(20) }, redis, folder.Path, NullLoggerFactory.Instance, TimeProvider.System);
        return (tiers.Shared!, [tiers, redis]);
    }

    public abstract Task KillAsync();

    public abstract Task BeginAsync();

    /// <summary>What it held is gone when it begins again. Call while it is not running.</summary>
    public abstract void LoseData();

    internal async Task DropAsync(string key)
    {
        var (shared, ends) = await OpenSharedAsync();
        await shared.DropAsync([key]);
        foreach (var end in ends)
        {
            await end.DisposeAsync();
        }
    }

    /// <summary>Puts something under a key as no node would: without a lease.</summary>
    internal abstract Task PlaceAsync(string key, byte[] value);

    public virtual async ValueTask DisposeAsync()
    {
        // Where the start failed, some are not there; the servers that are must still end.
        foreach (IAsyncDisposable? started in new IAsyncDisposable?[] { One, Other, Redis })
        {
            await (started?.DisposeAsync() ?? ValueTask.CompletedTask);
        }

        Database?.Dispose();
        folder.Dispose();
        GC.SuppressFinalize(this);
    }

    protected virtual Task StartAsync() => Task.CompletedTask;
}

public sealed class RedisEngine : SharedEngine
{
    public override string Connection => "";

    public override Task KillAsync() => Redis.KillAsync();

    public override Task BeginAsync() => Redis.BeginAsync();

    public override void LoseData() => Redis.LoseData();

    internal override async Task PlaceAsync(string key, byte[] value)
    {
        await using var redis = await ConnectionMultiplexer.ConnectAsync(Redis.Connection);
        await redis.GetDatabase().StringSetAsync(key, value);
    }
}

public sealed class MemcachedEngine : SharedEngine
{
    private readonly MemcachedServer server = new();

    public override string Connection => server.Connection;

    public MemcachedServer Server => server;

    public override Task KillAsync() => server.KillAsync();

    public override Task BeginAsync() => server.BeginAsync();

    public override void LoseData()
    {
        // It holds nothing but in its process.
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await server.DisposeAsync();
    }

    internal override async Task PlaceAsync(string key, byte[] value)
    {
        await using var link = new MemcachedLink("127.0.0.1", server.Port, 1_000_000, TimeSpan.FromSeconds(20), TimeProvider.System, NullLogger.Instance);
        Assert.Equal("HD", (await link.AskAsync(new MemcachedCommand($"ms {MemcachedServers.KeyOf(key)} {value.Length} T60", value))).Answer.Code);
    }

    protected override Task StartAsync() => server.BeginAsync();
}

using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>
/// A node that does not hear what the others tell, for a while or again and again, while products change at random. It may show what has changed as late as its own memory is old, far less than what nodes share is kept;
/// and nothing older after something newer.
/// </summary>
public sealed class CutOffNodeTests : IAsyncLifetime
{
    private const int Rounds = 8, ChangesMax = 12;

    private static readonly CacheOptions Brief = new() { ProcessAge = TimeSpan.FromMilliseconds(500), SharedAge = TimeSpan.FromHours(1) };

    // Twenty times the age of what is in memory, for a machine that is busy; a hundredth of what nodes share.
    private static readonly TimeSpan Late = TimeSpan.FromSeconds(10);

    private readonly TempFolder folder = new();
    private readonly CacheKey[] keys = [.. Enumerable.Range(0, 3).Select(i => CacheKey.Shared("fact", $"cut-{i}"))];
    private RedisServer redis = null!;
    private Database database = null!;

    public async ValueTask InitializeAsync()
    {
        redis = await RedisServer.StartAsync();
        database = await CacheNode.NewDatabaseAsync(folder.Path);
    }

    public async ValueTask DisposeAsync()
    {
        database.Dispose();
        await redis.DisposeAsync();
        folder.Dispose();
    }

    // What nodes share is elsewhere and stays in reach, so that nothing but the telling is missing.
    [Fact]
    public async Task Node_CutOffInMidRun_IsLateByWhatItsMemoryIsOldAtMost_AndNeverShowsAnOlderAnswerAfterANewerOne()
    {
        await using var memcached = await MemcachedServer.StartAsync();
        await using var relay = new TcpRelay(int.Parse(redis.Connection.Split(':')[1], System.Globalization.CultureInfo.InvariantCulture));
        var options = new CacheOptions { Connection = memcached.Connection, ProcessAge = Brief.ProcessAge, SharedAge = Brief.SharedAge };
        await using var writer = await CacheNode.OpenAsync(redis.Connection, database, folder.Path, options);
        await using var cut = await CacheNode.OpenAsync(relay.Connection, database, folder.Path, options);
        await HearsAsync(writer, cut);
        relay.Cut();
        var (before, restored) = (TimeProvider.System.GetTimestamp(), cut.Restored);
        await PlayAsync(writer, cut, async round =>
        {
            // The first one all deaf, then now and then, and in the end it hears again.
            if (round > 0 && Random.Shared.Next(3) == 0)
            {
                relay.Mend();
                await Task.Yield();
            }
            else
            {
                relay.Cut();
            }
        },
        round => Assert.True(round > 0 || (cut.Restored == restored && keys.All(key => !cut.Cache.IsOutdated(key, before)))));

        relay.Mend();
        await Eventually.TrueAsync(() => Task.FromResult(cut.Restored > restored), "it is connected again");
        await HearsAsync(writer, cut);
    }

    [Fact]
    public async Task Node_WhoseSubscriptionIsKilledAgainAndAgain_NeverShowsAnOlderAnswerAfterANewerOne()
    {
        await using var writer = await CacheNode.OpenAsync(redis.Connection, database, folder.Path, Brief);
        await using var cut = await CacheNode.OpenAsync(redis.Connection, database, folder.Path, Brief);
        await HearsAsync(writer, cut);
        var restored = cut.Restored;
        await using var admin = await ConnectionMultiplexer.ConnectAsync(redis.Connection + ",allowAdmin=true");
        await PlayAsync(writer, cut, async _ => await admin.GetDatabase().ExecuteAsync("CLIENT", "KILL", "TYPE", "pubsub"), _ => { });
        await Eventually.TrueAsync(() => Task.FromResult(cut.Restored > restored), "its subscription was killed and came back");
    }

    private static Task HearsAsync(CacheNode writer, CacheNode cut)
    {
        var key = CacheKey.Shared("fact", $"heard-{Guid.NewGuid():N}");
        return Eventually.TrueAsync(
            async () =>
            {
                var before = TimeProvider.System.GetTimestamp();
                await cut.SeeAsync(key);
                await writer.Changes.TellAsync([key]);
                await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System);
                return cut.Cache.IsOutdated(key, before);
            },
            "it hears what is told");
    }

    private async Task PlayAsync(CacheNode writer, CacheNode cut, Func<int, Task> disturb, Action<int> afterRound)
    {
        foreach (var key in keys)
        {
            await writer.ChangeAsync(key);
            Assert.Equal(1, await cut.SeeAsync(key));
        }

        foreach (var node in new[] { writer, cut })
        {
            node.Between = () => Random.Shared.Next(3) == 0 ? Task.Delay(TimeSpan.FromMilliseconds(Random.Shared.Next(3)), TimeProvider.System) : Task.CompletedTask;
        }

        var done = false;
        var readers = Enumerable.Range(0, 9).Select(i => Task.Run(async () =>
        {
            var (node, key, newest) = (i < 6 ? cut : writer, keys[i % keys.Length], 0L);
            while (!Volatile.Read(ref done))
            {
                var seen = await node.SeeAsync(key) ?? 0;
                Assert.True(seen >= newest, $"{key.Name}: {seen} after {newest}");
                newest = seen;
                await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
            }
        })).ToList();
        for (var round = 0; round < Rounds; round++)
        {
            for (var changes = Random.Shared.Next(3, ChangesMax); changes > 0; changes--)
            {
                var key = keys[Random.Shared.Next(keys.Length)];
                var version = await writer.ChangeAsync(key);
                if (Random.Shared.Next(2) == 0)
                {
                    await disturb(round);
                }

                await writer.Changes.TellAsync([key]);
                Assert.True(await writer.SeeAsync(key) >= version);
            }

            await disturb(round);
            foreach (var key in keys)
            {
                var last = await database.ReadAsync(connection => connection.QuerySingleAsync<long>("SELECT version FROM facts WHERE name = @Name", new { key.Name }));
                await Eventually.TrueAsync(async () => await cut.SeeAsync(key) == last && await writer.SeeAsync(key) == last, $"{key.Name} is as new as its memory's age lets it be", atMost: Late);
            }

            afterRound(round);
        }

        Volatile.Write(ref done, true);
        await Task.WhenAll(readers);
    }
}

using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Two nodes and a real Redis between them: SQL is asked once, and nobody sees an older answer after a newer one.</summary>
public sealed class TieredCacheTests : IAsyncLifetime
{
    // So long that a test never waits for its end: what is shown anew was dropped, not forgotten.
    private static readonly CacheOptions Long = new() { ProcessAge = TimeSpan.FromMinutes(1), SharedAge = TimeSpan.FromHours(1), AbsentAge = TimeSpan.FromMinutes(1) };

    private readonly TempFolder folder = new();
    private RedisServer server = null!;
    private Database database = null!;
    private CacheNode one = null!, other = null!;

    public async ValueTask InitializeAsync()
    {
        server = await RedisServer.StartAsync();
        database = await CacheNode.NewDatabaseAsync(folder.Path);
        one = await CacheNode.OpenAsync(server.Connection, database, folder.Path, Long);
        other = await CacheNode.OpenAsync(server.Connection, database, folder.Path, Long);
    }

    public async ValueTask DisposeAsync()
    {
        await one.DisposeAsync();
        await other.DisposeAsync();
        database.Dispose();
        await server.DisposeAsync();
        folder.Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task ColdKey_AskedByTenThousandAtOnce_IsReadOncePerNodeAtMost(bool exists)
    {
        var key = CacheKey.Shared("fact", "cold");
        if (exists)
        {
            await one.ChangeAsync(key);
        }

        var seen = await Task.WhenAll(Enumerable.Range(0, 10_000).Select(i => Task.Run(() => (i % 2 == 0 ? one : other).SeeAsync(key))));
        Assert.All(seen, version => Assert.Equal(exists ? 1 : null, version));
        Assert.InRange(one.Loads, 0, 1);
        Assert.InRange(other.Loads, 0, 1);
        Assert.InRange(one.Loads + other.Loads, 1, 2);
    }

    [Fact]
    public async Task PrivateKey_AskedByManyAtOnce_IsReadOncePerNodeAtMost()
    {
        var key = CacheKey.OfUser("u-1", "fact");
        await one.ChangeAsync(key);
        Assert.All(await Task.WhenAll(Enumerable.Range(0, 1_000).Select(i => (i % 2 == 0 ? one : other).SeeAsync(key))), version => Assert.Equal(1, version));
        Assert.InRange(one.Loads, 0, 1);
        Assert.InRange(other.Loads, 0, 1);
    }

    [Fact]
    public async Task AnswersOfOneUser_AskedForTogether_CostOneRoundTripOnceTheyAreKept()
    {
        CacheKey[] keys = [CacheKey.OfUser("u-many", "one"), CacheKey.OfUser("u-many", "two"), CacheKey.OfUser("u-many", "none")];
        await one.ChangeAsync(keys[0]);
        await one.ChangeAsync(keys[1]);
        await one.ChangeAsync(keys[1]);
        Assert.Equal([1, 2, 0], await one.SeeManyAsync(keys));
        Assert.Equal(3, one.Loads);

        await using var admin = await StackExchange.Redis.ConnectionMultiplexer.ConnectAsync(server.Connection + ",allowAdmin=true");
        var stats = admin.GetServers()[0];
        await stats.ConfigResetStatisticsAsync();
        Assert.Equal([1, 2, 0], await other.SeeManyAsync(keys));
        Assert.Equal(["mget 1"], await CallsAsync());

        await stats.ConfigResetStatisticsAsync();
        Assert.True(await other.Cache.AreUnchangedAsync((keys[0], 1), (keys[1], 2), (keys[2], 0)));
        Assert.False(await other.Cache.AreUnchangedAsync((keys[0], 1), (keys[1], 1), (keys[2], 0)));
        Assert.Equal(["getrange 6"], await CallsAsync());
        Assert.Equal(0, other.Loads);

        // One of them is dropped: that one is read anew, and is what the caller sees.
        await one.ChangeAsync(keys[0]);
        await one.Changes.TellAsync([keys[0]]);
        Assert.False(await other.Cache.AreUnchangedAsync((keys[0], 1), (keys[1], 2), (keys[2], 0)));
        Assert.Equal([2, 2, 0], await other.SeeManyAsync(keys));
        Assert.Equal(1, other.Loads);

        // Every command on keys; a connection also says hello and pings.
        async Task<IEnumerable<string>> CallsAsync() =>
            from command in (await stats.InfoAsync("commandstats")).SelectMany(section => section)
            let name = command.Key["cmdstat_".Length..]
            where !name.StartsWith("config", StringComparison.Ordinal) && name is not ("info" or "ping" or "hello" or "auth" or "select" or "echo") && !name.StartsWith("client", StringComparison.Ordinal)
            select $"{name} {command.Value.Split(',')[0]["calls=".Length..]}";
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Change_ThatWasTold_IsSeenThroughEveryNode(bool isPrivate)
    {
        var key = isPrivate ? CacheKey.OfUser("u-2", "fact") : CacheKey.Shared("fact", "told");
        Assert.Null(await one.SeeAsync(key));
        Assert.Null(await other.SeeAsync(key));
        for (var version = 1; version <= 20; version++)
        {
            await one.ChangeAsync(key);
            await one.Changes.TellAsync([key]);
            Assert.Equal(version, await one.SeeAsync(key));

            // What is private is seen at once. What is everybody's when the other node has heard of it.
            if (isPrivate)
            {
                Assert.Equal(version, await other.SeeAsync(key));
            }

            await Eventually.TrueAsync(async () => await other.SeeAsync(key) == version, "the other node shows the change");
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Read_DuringWhichSomethingChanged_IsNotKept(bool isPrivate)
    {
        var key = isPrivate ? CacheKey.OfUser("u-3", "fact") : CacheKey.Shared("fact", "in-flight");
        await one.ChangeAsync(key);
        var (reading, changed) = (new TaskCompletionSource(), new TaskCompletionSource());
        one.Between = () =>
        {
            reading.TrySetResult();
            return changed.Task;
        };
        var old = one.SeeAsync(key);
        await reading.Task;
        var before = TimeProvider.System.GetTimestamp();
        await other.ChangeAsync(key);
        await other.Changes.TellAsync([key]);
        await Eventually.TrueAsync(() => Task.FromResult(isPrivate || one.Cache.IsOutdated(key, before)), "the reading node has heard of it");
        changed.SetResult();
        await old;
        one.Between = () => Task.CompletedTask;

        Assert.Equal(2, await other.SeeAsync(key));
        Assert.Equal(2, await one.SeeAsync(key));
    }

    [Fact]
    public async Task Change_WhoseMakerDiedBeforeTelling_IsToldByAnybody()
    {
        var key = CacheKey.Shared("fact", "untold");
        await one.ChangeAsync(key);
        Assert.Equal(1, await one.SeeAsync(key));
        Assert.Equal(1, await other.SeeAsync(key));

        // Committed, and nobody tells: that is what a kill leaves behind.
        await one.ChangeAsync(key);
        Assert.Equal(1, await other.SeeAsync(key));
        await Eventually.TrueAsync(
            async () =>
            {
                await other.Changes.RoundAsync();
                return await database.ReadAsync(connection => connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM cache_changes")) == 0;
            },
            "rounds tell it, and forget the notes");
        Assert.Equal(2, await other.SeeAsync(key));
        await Eventually.TrueAsync(async () => await one.SeeAsync(key) == 2, "the other node has heard of it");
    }

    // Each reader stays at one node and notes what it sees; writers change and tell through either node.
    [Fact]
    public async Task RandomInterleavings_OfReadersAndWriters_NeverShowAnOlderAnswerAfterANewerOne()
    {
        CacheKey[] keys = [.. Enumerable.Range(0, 4).Select(i => i % 2 == 0 ? CacheKey.Shared("fact", $"mix-{i}") : CacheKey.OfUser($"mix-{i}", "fact"))];
        foreach (var node in new[] { one, other })
        {
            node.Between = () => Random.Shared.Next(3) == 0 ? Task.Delay(TimeSpan.FromMilliseconds(Random.Shared.Next(3)), TimeProvider.System) : Task.CompletedTask;
        }

        var done = false;
        var readers = Enumerable.Range(0, 16).Select(i => Task.Run(async () =>
        {
            var (node, key, newest, looks) = (i % 2 == 0 ? one : other, keys[i / 2 % keys.Length], 0L, 0);
            while (!Volatile.Read(ref done) || looks < 50)
            {
                var seen = await node.SeeAsync(key) ?? 0;
                Assert.True(seen >= newest, $"{key.Name}: {seen} after {newest}");
                (newest, looks) = (seen, looks + 1);
                await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
            }
        })).ToList();
        await Task.WhenAll(Enumerable.Range(0, 4).Select(i => Task.Run(async () =>
        {
            for (var n = 0; n < 60; n++)
            {
                var (node, key) = ((i + n) % 2 == 0 ? one : other, keys[(i + (n / 7)) % keys.Length]);
                var version = await node.ChangeAsync(key);
                await node.Changes.TellAsync([key]);

                // Who made the change and was told so sees it, or a newer one: through the own node always, through the other one what is private.
                Assert.True(await node.SeeAsync(key) >= version);
                Assert.True(!key.IsPrivate || await (node == one ? other : one).SeeAsync(key) >= version);
            }
        })));
        Volatile.Write(ref done, true);
        await Task.WhenAll(readers);

        foreach (var key in keys)
        {
            var last = await database.ReadAsync(connection => connection.QuerySingleAsync<long>("SELECT version FROM facts WHERE name = @Name", new { key.Name }));
            await Eventually.TrueAsync(async () => await one.SeeAsync(key) == last && await other.SeeAsync(key) == last, "both nodes show the last state");
        }
    }

    [Fact]
    public async Task Answer_StraightFromSql_IsNotFollowedByAnOlderOneThatNodesShare()
    {
        var key = CacheKey.Shared("fact", "straight");
        await using var redis = await ConnectionMultiplexer.ConnectAsync(server.Connection);
        await one.ChangeAsync(key);
        Assert.Equal(1, await other.SeeAsync(key));
        var before = await redis.GetDatabase().StringGetDeleteAsync(key.Name);

        // A change is committed and not told yet. While this node reads it, its lease runs out, and another node that had read before puts there what it has.
        await one.ChangeAsync(key);
        one.Between = () => redis.GetDatabase().StringSetAsync(key.Name, before);
        Assert.Equal(2, await one.SeeAsync(key));
        one.Between = () => Task.CompletedTask;

        // Its memory is no help: it counts as changed.
        one.Cache.HearAll();
        Assert.Equal(2, await one.SeeAsync(key));
    }

    [Fact]
    public async Task Caller_WhoHasSeenANewerVersion_IsNotShownAnOlderOne()
    {
        var key = CacheKey.Shared("fact", "known");
        await one.ChangeAsync(key);
        Assert.Equal(1, await other.SeeAsync(key));

        // The other node is cut off from what nodes tell each other: its own memory still has the old one.
        await one.ChangeAsync(key);
        await Task.Delay(TimeSpan.FromMilliseconds(150), TimeProvider.System);
        Assert.Equal(1, await other.SeeAsync(key));
        await server.KillAsync();
        Assert.Equal(2, await other.SeeAsync(key, known: 2));
    }

    [Fact]
    public async Task Node_ThatHearsNothing_ShowsTheChangeWhenItsMemoryIsTooOld()
    {
        await using var deaf = await CacheNode.OpenAsync(server.Connection, database, folder.Path, new CacheOptions { ProcessAge = TimeSpan.FromMilliseconds(300), Connection = "none" });
        var key = CacheKey.Shared("fact", "deaf");
        await one.ChangeAsync(key);
        Assert.Equal(1, await deaf.SeeAsync(key));
        await one.ChangeAsync(key);
        await one.Changes.TellAsync([key]);
        await Eventually.TrueAsync(async () => await deaf.SeeAsync(key) == 2, "its own memory gets too old", atMost: TimeSpan.FromSeconds(10));
    }

    [Fact]
    public async Task Change_MadeWhileRedisIsAway_IsSeenAtOnceThroughItsOwnNode()
    {
        var key = CacheKey.Shared("fact", "own");
        await one.ChangeAsync(key);
        Assert.Equal(1, await one.SeeAsync(key));
        await server.KillAsync();
        await one.ChangeAsync(key);
        await one.Changes.TellAsync([key]);
        Assert.Equal(2, await one.SeeAsync(key));
    }

    [Fact]
    public async Task NotesOfManyChanges_AreToldInOneRound()
    {
        var keys = Enumerable.Range(0, 1_200).Select(i => CacheKey.OfUser($"noted-{i}", "fact")).ToList();
        await database.WriteAsync(transaction => one.Changes.AddAsync(transaction, keys));
        await Task.Delay(TimeSpan.FromMilliseconds(600), TimeProvider.System);
        await other.Changes.RoundAsync();
        Assert.Equal(0, await database.ReadAsync(connection => connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM cache_changes")));
    }

    // SQL does not answer the second reading: whoever asks gets the old answer meanwhile, as long as it is not too old. A test that is held up itself for so long tries another key.
    [Fact]
    public async Task HotKey_IsReadAnewBeforeItIsTooOld_WhileEverybodyGetsTheOldAnswer()
    {
        await using var node = await CacheNode.OpenAsync(server.Connection, database, folder.Path, new CacheOptions { ProcessAge = TimeSpan.FromSeconds(4), Connection = "none" });
        var (isShown, tries) = (false, 0);
        while (!isShown && tries++ < 5)
        {
            var key = CacheKey.Shared("fact", $"hot-{tries}");
            await one.ChangeAsync(key);
            Assert.Equal(1, await node.SeeAsync(key));
            await one.ChangeAsync(key);
            var (before, gate) = (node.Loads, new TaskCompletionSource());
            node.Between = () => gate.Task;
            Task<long?> seen;
            do
            {
                await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System);
                seen = node.SeeAsync(key);
                await Task.WhenAny(seen, Task.Delay(TimeSpan.FromSeconds(2), TimeProvider.System));
            }
            while (seen.IsCompleted && node.Loads == before);

            isShown = seen is { IsCompletedSuccessfully: true, Result: 1 };
            gate.SetResult();
            await Eventually.TrueAsync(async () => await node.SeeAsync(key) == 2, "the new one is shown");
        }

        Assert.True(isShown, "Everybody waits for the new answer.");
    }

    [Fact]
    public async Task Answer_ThatWasShownLately_IsShownWhileSqlIsAway_AndNoOther()
    {
        await using var node = await CacheNode.OpenAsync(server.Connection, database, folder.Path, new CacheOptions { ProcessAge = TimeSpan.FromMilliseconds(100), Connection = "none" });
        var (seen, unseen) = (CacheKey.Shared("fact", "seen"), CacheKey.Shared("fact", "unseen"));
        await one.ChangeAsync(seen);
        Assert.Equal(1, await node.SeeAsync(seen));
        node.Between = () => throw new DependencyUnavailableException("sql", "away, for a test.");
        await Eventually.TrueAsync(
            async () =>
            {
                Assert.Equal(1, await node.SeeAsync(seen));
                return node.Loads > 2;
            },
            "it is too old, and SQL was asked in vain");
        await Assert.ThrowsAsync<DependencyUnavailableException>(() => node.SeeAsync(unseen));
    }

    [Fact]
    public async Task RedisKilled_ReadsGoOnWithFewQuestionsToSql_AndAreSharedAgainAfterwards()
    {
        await using var small = await CacheNode.OpenAsync(server.Connection, database, folder.Path, new CacheOptions { ProcessAge = TimeSpan.FromMinutes(1), LoadsAtOnceMax = 2 });
        CacheKey[] keys = [.. Enumerable.Range(0, 10).Select(i => CacheKey.Shared("fact", $"away-{i}"))];
        foreach (var key in keys)
        {
            await one.ChangeAsync(key);
        }

        await server.KillAsync();
        var (atOnce, peak) = (0, 0);
        small.Between = async () =>
        {
            peak = Math.Max(peak, Interlocked.Increment(ref atOnce));
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System);
            Interlocked.Decrement(ref atOnce);
        };
        var seen = await Task.WhenAll(Enumerable.Range(0, 1_000).Select(i => Task.Run(() => small.SeeAsync(keys[i % keys.Length]))));
        Assert.All(seen, version => Assert.Equal(1, version));
        Assert.Equal(keys.Length, small.Loads);
        Assert.InRange(peak, 1, 2);

        await server.BeginAsync();
        await Eventually.TrueAsync(
            async () =>
            {
                var fresh = CacheKey.Shared("fact", $"back-{Guid.NewGuid():N}");
                await one.ChangeAsync(fresh);
                var before = other.Loads;
                return await one.SeeAsync(fresh) == 1 && await other.SeeAsync(fresh) == 1 && other.Loads == before;
            },
            "what one node has read the other one need not read");
    }

    [Fact]
    public async Task MoreQuestionsThanSqlMayGet_AreRefusedAtOnce()
    {
        await using var small = await CacheNode.OpenAsync(server.Connection, database, folder.Path, new CacheOptions { LoadsAtOnceMax = 1 });
        var gate = new TaskCompletionSource();
        small.Between = () => gate.Task;
        var asked = Enumerable.Range(0, 20).Select(i => small.SeeAsync(CacheKey.Shared("fact", $"many-{i}"))).ToList();
        await Eventually.TrueAsync(() => Task.FromResult(asked.Count(one => one.IsFaulted) == 11), "one is served, eight wait, eleven are told");
        gate.SetResult();
        await Task.WhenAll(asked).ContinueWith(_ => { }, TaskScheduler.Default);
        Assert.All(asked.Where(one => one.IsFaulted), one => Assert.IsType<DependencyUnavailableException>(one.Exception!.InnerException));
        Assert.Equal(9, asked.Count(one => one.IsCompletedSuccessfully));
    }
}

using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Two nodes and a real Redis between them: what a node does by itself, and what it says to the others. What must hold on every engine that nodes share answers in is in <see cref="SharedAnswersTests"/>.</summary>
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
        Assert.Equal(["mget 1"], await CallsAsync(stats));

        await stats.ConfigResetStatisticsAsync();
        Assert.True(await other.Cache.AreUnchangedAsync((keys[0], 1), (keys[1], 2), (keys[2], 0)));
        Assert.False(await other.Cache.AreUnchangedAsync((keys[0], 1), (keys[1], 1), (keys[2], 0)));
        Assert.Equal(["getrange 6"], await CallsAsync(stats));
        Assert.Equal(0, other.Loads);

        // One of them is dropped: that one is read anew, and is what the caller sees.
        await one.ChangeAsync(keys[0]);
        await one.Changes.TellAsync([keys[0]]);
        Assert.False(await other.Cache.AreUnchangedAsync((keys[0], 1), (keys[1], 2), (keys[2], 0)));
        Assert.Equal([2, 2, 0], await other.SeeManyAsync(keys));
        Assert.Equal(1, other.Loads);

    }

    [Fact]
    public async Task VersionOfWhatEverybodySees_IsAskedForWithoutTheAnswer_OnceForACrowd_AndIsGoodUntilAChangeIsHeardOf()
    {
        var key = CacheKey.Shared("fact", "probed");
        await one.ChangeAsync(key);
        Assert.Equal(1, await one.SeeAsync(key));

        // This node has never seen the answer.
        await using var admin = await StackExchange.Redis.ConnectionMultiplexer.ConnectAsync(server.Connection + ",allowAdmin=true");
        var stats = admin.GetServers()[0];
        await stats.ConfigResetStatisticsAsync();
        Assert.All(await Task.WhenAll(Enumerable.Range(0, 1_000).Select(_ => Task.Run(() => other.Cache.IsUnchangedAsync(key, 1).AsTask()))), Assert.True);
        Assert.False(await other.Cache.IsUnchangedAsync(key, 2));
        Assert.Equal(["getrange 1"], await CallsAsync(stats));

        // The one that has it in memory asks nobody, and neither asks SQL.
        Assert.True(await one.Cache.IsUnchangedAsync(key, 1));
        Assert.False(await one.Cache.IsUnchangedAsync(key, 2));
        Assert.Equal(["getrange 1"], await CallsAsync(stats));
        Assert.Equal((1, 0), (one.Loads, other.Loads));

        await one.ChangeAsync(key);
        await one.Changes.TellAsync([key]);
        Assert.False(await one.Cache.IsUnchangedAsync(key, 1));
        await Eventually.TrueAsync(async () => !await other.Cache.IsUnchangedAsync(key, 1), "the other node has heard of it", atMost: TimeSpan.FromSeconds(20));
        Assert.Equal(2, await one.SeeAsync(key));
        await Eventually.TrueAsync(async () => await other.Cache.IsUnchangedAsync(key, 2), "what is new is known by its version too");
        Assert.Equal(0, other.Loads);
    }

    [Fact]
    public async Task VersionOfWhatEverybodySees_WhileWhatIsSharedIsAway_IsNotTakenForTheNewest()
    {
        var key = CacheKey.Shared("fact", "probed-away");
        await one.ChangeAsync(key);
        Assert.Equal(1, await one.SeeAsync(key));
        await server.KillAsync();
        Assert.False(await other.Cache.IsUnchangedAsync(key, 1));
        Assert.Equal(1, await other.SeeAsync(key, known: 1));
        Assert.True(await other.Cache.IsUnchangedAsync(key, 1));
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

    // What was touched longest ago is the first to go when memory is short: that is the hot one, each time.
    [Fact]
    public async Task HotKey_StaysInMemoryWhileOthersAreDrivenOut_UntilItIsHotNoMore()
    {
        await using var node = await CacheNode.OpenAsync(
            server.Connection, database, folder.Path, new CacheOptions { Connection = "none", ProcessAge = TimeSpan.FromHours(1), AbsentAge = TimeSpan.FromHours(1), ProcessMiBMax = 1, HotReadsMin = 10 });
        var (hot, cold, fillers) = (CacheKey.Shared("fact", "pinned"), CacheKey.Shared("fact", "driven-out"), 0);
        await one.ChangeAsync(hot);
        await one.ChangeAsync(cold);
        for (var reads = 0; reads <= 10; reads++)
        {
            Assert.Equal(1, await node.SeeAsync(hot));
        }

        // How hot it was counts when it is read anew.
        node.Cache.HearAll();
        Assert.Equal(1, await node.SeeAsync(hot));
        Assert.Equal(1, await node.SeeAsync(cold));
        await FillUntilDrivenOutAsync(cold, times: 5);
        var before = node.LoadsOf(hot);
        Assert.Equal(1, await node.SeeAsync(hot));
        Assert.Equal((2, 2), (before, node.LoadsOf(hot)));

        node.Cache.HearAll();
        await FillUntilDrivenOutAsync(hot, times: 2);

        async Task FillUntilDrivenOutAsync(CacheKey key, int times)
        {
            Assert.Equal(1, await node.SeeAsync(key));
            var loads = node.LoadsOf(key);
            await Eventually.TrueAsync(
                async () =>
                {
                    // A key's own length counts: 64 of these are all that there is room for. While room is made none is taken in: such a one is read twice.
                    for (var taken = 0; taken < 80;)
                    {
                        var filler = CacheKey.Shared("fact", $"{fillers++}-{new string('k', 8_000)}");
                        Assert.Null(await node.SeeAsync(filler));
                        Assert.Null(await node.SeeAsync(filler));
                        taken += node.LoadsOf(filler) == 1 ? 1 : 0;
                    }

                    Assert.Equal(1, await node.SeeAsync(key));
                    return node.LoadsOf(key) >= loads + times;
                },
                $"{key.Name} is driven out");
        }
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

    // Every command on keys; a connection also says hello and pings.
    private static async Task<IEnumerable<string>> CallsAsync(StackExchange.Redis.IServer stats) =>
        from command in (await stats.InfoAsync("commandstats")).SelectMany(section => section)
        let name = command.Key["cmdstat_".Length..]
        where !name.StartsWith("config", StringComparison.Ordinal) && name is not ("info" or "ping" or "hello" or "auth" or "select" or "echo") && !name.StartsWith("client", StringComparison.Ordinal)
        select $"{name} {command.Value.Split(',')[0]["calls=".Length..]}";
}

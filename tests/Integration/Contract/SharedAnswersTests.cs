using Dapper;
using Sluice.Platform.Cache;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Two nodes and what they share between them: SQL is asked once, and nobody sees an older answer after a newer one. The same for each engine that can be had here; of one that is new, add a class at the end.</summary>
public abstract class SharedAnswersTests(SharedEngine engine)
{
    private readonly CacheNode one = engine.One, other = engine.Other;

    protected abstract SharedEngine NewEngine();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task ColdKey_AskedByTenThousandAtOnce_IsReadOncePerNodeAtMost(bool exists)
    {
        var key = CacheKey.Shared("fact", $"cold-{exists}");
        if (exists)
        {
            await one.ChangeAsync(key);
        }

        var before = (One: one.Loads, Other: other.Loads);
        var seen = await Task.WhenAll(Enumerable.Range(0, 10_000).Select(i => Task.Run(() => (i % 2 == 0 ? one : other).SeeAsync(key))));
        Assert.All(seen, version => Assert.Equal(exists ? 1 : null, version));
        var (byOne, byOther) = (one.Loads - before.One, other.Loads - before.Other);
        Assert.InRange(byOne, 0, 1);
        Assert.InRange(byOther, 0, 1);
        Assert.InRange(byOne + byOther, 1, 2);
    }

    [Fact]
    public async Task PrivateKey_AskedByManyAtOnce_IsReadOncePerNodeAtMost()
    {
        var key = CacheKey.OfUser("u-1", "fact");
        await one.ChangeAsync(key);
        var before = (One: one.Loads, Other: other.Loads);
        Assert.All(await Task.WhenAll(Enumerable.Range(0, 1_000).Select(i => (i % 2 == 0 ? one : other).SeeAsync(key))), version => Assert.Equal(1, version));
        Assert.InRange(one.Loads - before.One, 0, 1);
        Assert.InRange(other.Loads - before.Other, 0, 1);
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
                Assert.False(version > 1 && await node.Cache.IsUnchangedAsync(key, version - 1));
                Assert.False(version > 1 && key.IsPrivate && await (node == one ? other : one).Cache.IsUnchangedAsync(key, version - 1));
            }
        })));
        Volatile.Write(ref done, true);
        await Task.WhenAll(readers);
        (one.Between, other.Between) = (() => Task.CompletedTask, () => Task.CompletedTask);

        foreach (var key in keys)
        {
            var last = await engine.Database.ReadAsync(connection => connection.QuerySingleAsync<long>("SELECT version FROM facts WHERE name = @Name", new { key.Name }));
            await Eventually.TrueAsync(async () => await one.SeeAsync(key) == last && await other.SeeAsync(key) == last, "both nodes show the last state");
        }
    }

    [Fact]
    public async Task Answer_StraightFromSql_IsNotFollowedByAnOlderOneThatNodesShare()
    {
        var key = CacheKey.Shared("fact", "straight");
        await one.ChangeAsync(key);
        Assert.Equal(1, await other.SeeAsync(key));
        await engine.DropAsync(key.Name);

        // A change is committed and not told yet. While this node reads it, its lease runs out, and another node that had read before puts there what it has.
        await one.ChangeAsync(key);
        one.Between = () => engine.PlaceAsync(key.Name, new CachedAnswer(1, "1"u8.ToArray()).ToBytes());
        Assert.Equal(2, await one.SeeAsync(key));
        one.Between = () => Task.CompletedTask;

        // Its memory is no help: it counts as changed.
        one.Cache.HearAll();
        Assert.Equal(2, await one.SeeAsync(key));
    }

    [Fact]
    public async Task AnswerOfOneUser_StraightFromSql_IsNotFollowedByAnOlderOneThatNodesShare()
    {
        var key = CacheKey.OfUser("u-straight", "fact");
        await one.ChangeAsync(key);
        Assert.Equal(1, await other.SeeAsync(key));
        foreach (var look in new Func<Task<long?>>[] { () => one.SeeAsync(key), async () => (await one.SeeManyAsync(key))[0] })
        {
            // As above; and then it is asked for again, alone or together with others.
            await engine.DropAsync(key.Name);
            var version = await one.ChangeAsync(key);
            var older = new CachedAnswer(version - 1, System.Text.Encoding.ASCII.GetBytes($"{version - 1}")).ToBytes();
            one.Between = () => engine.PlaceAsync(key.Name, older);
            Assert.Equal(version, await one.SeeAsync(key));
            one.Between = () => Task.CompletedTask;

            Assert.Equal(version, await look());
        }
    }

    [Fact]
    public async Task SharedServer_Killed_ReadsGoOnWithFewQuestionsToSql_AndAreSharedAgainAfterwards()
    {
        await using var mortal = NewEngine();
        await mortal.InitializeAsync();
        var (one, other) = (mortal.One, mortal.Other);
        await using var small = await mortal.OpenAsync(new CacheOptions { Connection = mortal.Connection, ProcessAge = TimeSpan.FromMinutes(1), LoadsAtOnceMax = 2 });
        CacheKey[] keys = [.. Enumerable.Range(0, 10).Select(i => CacheKey.Shared("fact", $"away-{i}"))];
        foreach (var key in keys)
        {
            await one.ChangeAsync(key);
        }

        await mortal.KillAsync();
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

        await mortal.BeginAsync();
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

    // A crowd that asks all the while, through two nodes whose memory is worth nothing: each counts everything as changed, as often as it got a connection back and once more here.
    [Fact]
    public async Task SharedServer_ThatComesBackEmpty_CostsOneQuestionForEachKeyAndNode()
    {
        await using var mortal = NewEngine();
        await mortal.InitializeAsync();
        CacheNode[] nodes = [mortal.One, mortal.Other];
        CacheKey[] keys = [.. Enumerable.Range(0, 20).Select(i => CacheKey.Shared("fact", $"empty-{i}"))];
        foreach (var key in keys)
        {
            await nodes[0].ChangeAsync(key);
            Assert.All(await Task.WhenAll(nodes.Select(node => node.SeeAsync(key))), version => Assert.Equal(1, version));
        }

        var before = nodes.Select(node => (node.Restored, Loads: keys.Select(node.LoadsOf).ToArray())).ToArray();
        await mortal.KillAsync();
        mortal.LoseData();
        var (asked, done) = (0, false);
        var crowd = Enumerable.Range(0, 200).Select(i => Task.Run(async () =>
        {
            while (!Volatile.Read(ref done))
            {
                Assert.Equal(1, await nodes[i % 2].SeeAsync(keys[Random.Shared.Next(keys.Length)]));
                Interlocked.Increment(ref asked);
                await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
            }
        })).ToList();
        await Eventually.TrueAsync(() => Task.FromResult(Volatile.Read(ref asked) > 1_000), "the crowd is there");
        await mortal.BeginAsync();
        await Eventually.TrueAsync(
            async () =>
            {
                var fresh = CacheKey.Shared("fact", $"again-{Guid.NewGuid():N}");
                await nodes[0].ChangeAsync(fresh);
                return await nodes[0].SeeAsync(fresh) == 1 && await nodes[1].SeeAsync(fresh) == 1 && nodes[1].LoadsOf(fresh) == 0;
            },
            "what one node has read the other one need not read");
        var askedBefore = Volatile.Read(ref asked);
        foreach (var node in nodes)
        {
            node.Cache.HearAll();
        }

        await Eventually.TrueAsync(() => Task.FromResult(Volatile.Read(ref asked) - askedBefore > 5_000), "the crowd has asked for everything again");
        Volatile.Write(ref done, true);
        await Task.WhenAll(crowd);

        for (var i = 0; i < nodes.Length; i++)
        {
            var forgot = nodes[i].Restored - before[i].Restored + 1;
            Assert.All(keys.Select((key, k) => nodes[i].LoadsOf(key) - before[i].Loads[k]), loads => Assert.InRange(loads, 0, forgot));
        }

        Assert.All(keys.Select((key, k) => nodes[0].LoadsOf(key) + nodes[1].LoadsOf(key) - before[0].Loads[k] - before[1].Loads[k]), loads => Assert.True(loads >= 1));
    }

    [Fact]
    public async Task AnswersOfOneUser_AskedForTogether_AreThoseThatNodesShare()
    {
        CacheKey[] keys = [CacheKey.OfUser("u-together", "one"), CacheKey.OfUser("u-together", "two"), CacheKey.OfUser("u-together", "none")];
        await one.ChangeAsync(keys[0]);
        await one.ChangeAsync(keys[1]);
        await one.ChangeAsync(keys[1]);
        Assert.Equal([1, 2, 0], await one.SeeManyAsync(keys));
        var before = other.Loads;
        Assert.Equal([1, 2, 0], await other.SeeManyAsync(keys));
        Assert.True(await other.Cache.AreUnchangedAsync((keys[0], 1), (keys[1], 2), (keys[2], 0)));
        Assert.False(await other.Cache.AreUnchangedAsync((keys[0], 1), (keys[1], 1), (keys[2], 0)));
        Assert.Equal(before, other.Loads);

        await one.ChangeAsync(keys[0]);
        await one.Changes.TellAsync([keys[0]]);
        Assert.False(await other.Cache.AreUnchangedAsync((keys[0], 1), (keys[1], 2), (keys[2], 0)));
        Assert.Equal([2, 2, 0], await other.SeeManyAsync(keys));
    }

    [Fact]
    public async Task Lease_OfAReaderThatTakesTooLong_IsTakenOverAndWorthNothing()
    {
        var ((slow, ends), (quick, otherEnds)) = (await engine.OpenSharedAsync(), await engine.OpenSharedAsync());
        var (nothing, lease) = await slow.TakeAsync("{slow}");
        Assert.Null(nothing);
        Assert.NotNull(lease);
        var (still, over) = await quick.TakeAsync("{slow}");
        Assert.Null(still);
        Assert.NotNull(over);

        Assert.False(await slow.KeepAsync("{slow}", lease, new CachedAnswer(1, [1]), TimeSpan.FromMinutes(1)));
        Assert.True(await quick.KeepAsync("{slow}", over, new CachedAnswer(2, [2]), TimeSpan.FromMinutes(1)));
        Assert.Equal(2, (await slow.TakeAsync("{slow}")).Answer!.Version);
        foreach (var end in ends.Concat(otherEnds))
        {
            await end.DisposeAsync();
        }
    }

    [Fact]
    public async Task Answer_ThatIsTooOld_IsThereNoMore()
    {
        var (shared, ends) = await engine.OpenSharedAsync();
        var (_, lease) = await shared.TakeAsync("{brief}");
        Assert.True(await shared.KeepAsync("{brief}", lease!, new CachedAnswer(1, [1]), TimeSpan.FromMilliseconds(100)));
        await Eventually.TrueAsync(async () => (await shared.FindAsync(["{brief}"]))[0] is null, "it is over", atMost: TimeSpan.FromSeconds(30));
        foreach (var end in ends)
        {
            await end.DisposeAsync();
        }
    }

    [Theory]
    [InlineData("{spaces} and\ttabs")]
    [InlineData("{\u2615}:\u540d\u524d")]
    [InlineData("{a}\r\nflush_all\r\n")]
    [InlineData("")]
    public async Task Key_OfOddCharactersOrLength_HasAnAnswerOfItsOwn(string odd)
    {
        var (shared, ends) = await engine.OpenSharedAsync();
        string[] keys = [odd + new string('k', 300), odd + new string('k', 299), odd + "k"];
        for (var i = 0; i < keys.Length; i++)
        {
            var (_, lease) = await shared.TakeAsync(keys[i]);
            Assert.NotNull(lease);
            Assert.True(await shared.KeepAsync(keys[i], lease, new CachedAnswer(i + 1, [(byte)i, 13, 10, 0]), TimeSpan.FromDays(1)));
        }

        Assert.Equal([1, 2, 3], (await shared.FindAsync(keys)).Select(answer => answer!.Version));
        Assert.Equal([2, 13, 10, 0], (await shared.FindAsync(keys))[2]!.Json!);
        await shared.DropAsync(keys[..1]);
        Assert.Equal([null, 2, 3], await shared.VersionsAsync(keys));
        await shared.DropAsync(keys);
        foreach (var end in ends)
        {
            await end.DisposeAsync();
        }
    }
}

public sealed class SharedAnswersInRedisTests(RedisEngine engine) : SharedAnswersTests(engine), IClassFixture<RedisEngine>
{
    protected override SharedEngine NewEngine() => new RedisEngine();
}

public sealed class SharedAnswersInMemcachedTests(MemcachedEngine engine) : SharedAnswersTests(engine), IClassFixture<MemcachedEngine>
{
    // Nodes tell each other through Redis, whatever has become of what they share.
    [Fact]
    public async Task Change_MadeWhileWhatIsSharedIsAway_IsHeardByTheOtherNode()
    {
        await using var mortal = NewEngine();
        await mortal.InitializeAsync();
        var key = CacheKey.Shared("fact", "heard");
        await mortal.One.ChangeAsync(key);
        Assert.Equal(1, await mortal.Other.SeeAsync(key));
        await mortal.KillAsync();
        await mortal.One.ChangeAsync(key);
        await mortal.One.Changes.TellAsync([key]);
        Assert.Equal(2, await mortal.One.SeeAsync(key));
        await Eventually.TrueAsync(async () => await mortal.Other.SeeAsync(key) == 2, "the other node has heard of it");
    }

    protected override SharedEngine NewEngine() => new MemcachedEngine();
}

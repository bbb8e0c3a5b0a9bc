using System.Diagnostics;
using CsCheck;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.WriteQueue;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Whatever Redis lost of a pool, what was accepted comes back from SQL, the queue and the dead letters: no unit more, no unit less.</summary>
public sealed class RebuildTests(Engines engines)
{
    /// <summary>What a crash, a failover or a person may have done to the pool in Redis.</summary>
    internal enum Damage
    {
        Nothing,
        LostPool,
        AnotherLife,
        LostHolders,
        LostHoldersOfOne,
        WrongLeft,
        FrozenByTheDead,
    }

    // What only waits: one Redis in the process and one behind a network. SLUICE_TEST_ALL=1 runs all engines.
    public static TheoryData<Engine> OneOfEach => Failure.Drills.RunsAll ? [Engine.Garnet, Engine.Redis, Engine.Sentinel, Engine.RedisCluster, Engine.MariaDb] : [Engine.Garnet, Engine.RedisCluster];

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Rebuild_OfAnyDamage_RestoresWhatWasAccepted(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var steps = Gen.Select(Gen.Int[0, 5], Gen.Int[0, 4], Gen.Int[1, 2]).List[1, 25];
        await Gen.Select(Gen.Int[5, 25], Gen.Int[1, 3], steps, Gen.Enum<Damage>()).SampleAsync(
            (units, limit, moves, damage) => RestoresAsync(node, units, limit, moves, damage), iter: 80, threads: 2);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Rebuild_WhileOthersClaimWriteAndCancel_EndsBalanced(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine), queue: new WriteQueueOptions { BatchRowsMax = 20 });
        var pool = await node.OpenPoolAsync(units: 300);
        var claiming = Task.WhenAll(Enumerable.Range(0, 8).Select(caller => Task.Run(async () =>
        {
            for (var user = caller; user < 800; user += 8)
            {
                await ClaimUntilToldAsync(node, pool, $"u-{user}");
            }
        })));
        var working = Task.Run(async () =>
        {
            while (!claiming.IsCompleted)
            {
                await node.Drain.RoundAsync();
            }
        });
        var cancelling = Task.Run(async () =>
        {
            while (!claiming.IsCompleted)
            {
                await node.ReleaseAsync([.. (await node.WrittenAsync(pool)).Where(claim => claim.State == ClaimState.Confirmed && claim.Id % 7 == 0).Select(claim => claim.Id).Take(10)]);
                await node.Releases.ReturnPendingAsync();
            }
        });
        var rebuilds = 0;
        while (!claiming.IsCompleted)
        {
            rebuilds += await node.Rebuilder.RebuildAsync(pool) is not null ? 1 : 0;

            // Claims that met the freeze look again every 20 ms: they must find it thawed now and then.
            await Task.Delay(TimeSpan.FromMilliseconds(25), TimeProvider.System);
        }

        await Task.WhenAll(claiming, working, cancelling);
        await node.DrainAsync();
        while (await node.Releases.ReturnPendingAsync() > 0)
        {
        }

        Assert.InRange(rebuilds, 2, int.MaxValue);
        await node.AssertAuditHoldsAsync(pool);
    }

    [Fact]
    public async Task Rebuild_OfClaimsThatWait_KeepsWhatWasAgreedInTheQueueAndWithTheUser()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(units: 5, limit: 2);
        await node.Claims.ClaimAsync(pool, PoolNode.Kind, "u", 2, PoolNode.Key(1), "4900EUR");

        await node.Rebuilder.RebuildAsync(pool);

        var keys = new PoolKeys(pool);
        Assert.EndsWith($",2,{PoolNode.Key(1)},4900EUR;", (string?)await node.Redis.DbOf(keys.Holders).HashGetAsync(keys.Holders, "u"), StringComparison.Ordinal);
        Assert.EndsWith($",2,{PoolNode.Key(1)},4900EUR", (string?)await node.Redis.DbOf(keys.Log).ListGetByIndexAsync(keys.Log, 0), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rebuild_WhileAnotherProcessIsAtIt_StandsBack()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(units: 5);
        var meta = new PoolKeys(pool).Meta;
        await node.Redis.DbOf(meta).HashSetAsync(meta, [new("frozen", "another process"), new("frozenAt", TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()), new("frozenIn", await node.Redis.RunAsync(meta))]);

        Assert.Null(await node.Rebuilder.RebuildAsync(pool));
        Assert.Equal("another process", await node.Redis.DbOf(meta).HashGetAsync(meta, "frozen"));
    }

    [Theory]
    [MemberData(nameof(OneOfEach))]
    public async Task Claim_WhileAnotherRebuildsThePool_WaitsForItAndIsAnswered(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 5);
        await using var rebuild = await SlowRebuild.BeginAsync(node, pool);
        var claiming = node.ClaimAsync(pool, "u-1");
        await Task.WhenAny(claiming, Task.Delay(TimeSpan.FromMilliseconds(300), TimeProvider.System));
        Assert.False(claiming.IsCompleted, "answered while the pool was frozen");
        await rebuild.EndAsync();

        Assert.Equal(ClaimOutcome.Accepted, (await claiming).Outcome);
    }

    // Slower than any claim waits, and slower than the freeze of a dead rebuilder lasts: this one is alive, and says so all the time.
    [Theory]
    [MemberData(nameof(OneOfEach))]
    public async Task Rebuild_ThatIsSlow_IsLeftAloneAndClaimsAreToldToComeBack(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 5);
        await using var rebuild = await SlowRebuild.BeginAsync(node, pool);
        var started = Stopwatch.GetTimestamp();
        await Assert.ThrowsAsync<DependencyUnavailableException>(() => node.ClaimAsync(pool, "u-1", key: PoolNode.Key(1)));
        Assert.InRange(Stopwatch.GetElapsedTime(started), TimeSpan.FromSeconds(1.5), TimeSpan.FromSeconds(20));
        while (Stopwatch.GetElapsedTime(started) < PoolFreeze.Lease * 2)
        {
            Assert.Null(await node.Rebuilder.RebuildAsync(pool).WaitAsync(TimeSpan.FromSeconds(20)));
            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System);
        }

        await rebuild.EndAsync();
        Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(pool, "u-1", key: PoolNode.Key(1))).Outcome);
    }

    [Theory]
    [MemberData(nameof(OneOfEach))]
    public async Task Claim_OnAPoolFrozenByADeadRebuilder_IsTakenWithinSeconds(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 5);
        var now = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        await node.Redis.DbOf(new PoolKeys(pool).Meta).HashSetAsync(new PoolKeys(pool).Meta, [new("frozen", "the dead"), new("frozenAt", now), new("frozenIn", await node.Redis.RunAsync(new PoolKeys(pool).Meta))]);
        var started = Stopwatch.GetTimestamp();
        await ClaimUntilToldAsync(node, pool, "u-1");

        Assert.InRange(Stopwatch.GetElapsedTime(started), PoolFreeze.Lease - TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(12));
        Assert.Equal(4, (await node.InRedisAsync(pool)).Left);
    }

    [Fact]
    public async Task Rebuild_ThatFailed_IsTakenOverAtOnce()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Redis));
        var pool = Engines.NextPoolId();
        await Assert.ThrowsAsync<InvalidOperationException>(() => node.Rebuilder.RebuildAsync(pool));
        Assert.NotEqual("", (string?)await node.Redis.DbOf(new PoolKeys(pool).Meta).HashGetAsync(new PoolKeys(pool).Meta, "frozen"));
        await node.Database.WriteAsync(transaction => node.Pools.CreateAsync(transaction, pool, PoolNode.Kind, "A pool", 5, 1, Gate.Open, opensAt: null, closesAt: null));

        Assert.Equal(5, await node.Rebuilder.TakeOverAsync(pool));
    }

    // One pool: claims, cancellations, written or not, set aside or not; then the damage, then the rebuild.
    private static async Task RestoresAsync(PoolNode node, int units, int limit, List<(int What, int User, int Units)> moves, Damage damage)
    {
        var pool = await node.OpenPoolAsync(units, limit);
        var keys = new PoolKeys(pool);
        var partition = ClaimWriter.PartitionOf(pool);
        var accepted = new List<Claim>();
        var released = new HashSet<long>();
        foreach (var (what, user, count) in moves)
        {
            switch (what)
            {
                case 0 or 1 or 2:
                    var key = PoolNode.Key(accepted.Count);
                    var answer = await node.ClaimAsync(pool, $"u-{user}", count, key);
                    if (answer.Outcome == ClaimOutcome.Accepted)
                    {
                        accepted.Add(new Claim(answer.ClaimIds[0], pool, $"u-{user}", count, key));
                    }

                    break;
                case 3 when await partition.PeekAsync(node.Redis, count) is { Length: > 0 } batch:
                    // Written; acknowledged only every other time, as if the worker had died in between.
                    await node.WriteAsync(pool, batch);
                    if (user % 2 == 0)
                    {
                        await partition.AcknowledgeAsync(node.Redis, batch, 10);
                    }

                    break;
                case 4 when (await partition.PeekAsync(node.Redis, 1)).FirstOrDefault() is { IsNull: false } head:
                    await partition.QuarantineAsync(node.Redis, head, new DeadLetter(head.ToString(), "could not be written", TimeProvider.System.GetUtcNow()), 100);
                    break;
                case 5:
                    var written = (await node.WrittenAsync(pool)).Where(claim => claim.State == ClaimState.Confirmed).Take(1).Select(claim => claim.Id).ToArray();
                    released.UnionWith(await node.ReleaseAsync(written));
                    break;
            }
        }

        // A script that was torn after its first write leaves the queue entry only, and that is a claim.
        if (units - accepted.Sum(claim => claim.Units) > 0)
        {
            accepted.AddRange(await node.PushAsync(pool, ("u-torn", 1, null)));
        }

        await DamageAsync(node.Redis.DbOf(keys.Meta), keys, damage);
        var left = await node.Rebuilder.RebuildAsync(pool);

        var active = accepted.Where(claim => !released.Contains(claim.Id)).Sum(claim => claim.Units);
        Assert.Equal(units - active, left);
        var inRedis = await node.InRedisAsync(pool);
        Assert.Equal(left, inRedis.Left);
        var held = inRedis.Holders.SelectMany(user => ClaimEntry.FromHolder(user.Value).Select(claim => (User: user.Key, claim.Id, claim.Units, claim.Key, claim.Released)));
        Assert.Equal(
            accepted.Select(claim => (User: claim.UserId, claim.Id, claim.Units, Key: claim.IdempotencyKey ?? "", Released: released.Contains(claim.Id))).OrderBy(claim => claim.Id),
            held.OrderBy(claim => claim.Id));
        Assert.Equal("", await node.Redis.DbOf(keys.Meta).HashGetAsync(keys.Meta, "frozen"));
        Assert.Equal(await node.Redis.RunAsync(keys.Meta), await node.Redis.DbOf(keys.Meta).HashGetAsync(keys.Meta, "run"));
    }

    private static Task DamageAsync(IDatabase db, PoolKeys keys, Damage damage) => damage switch
    {
        Damage.Nothing => Task.CompletedTask,
        Damage.LostPool => db.KeyDeleteAsync([keys.Meta, keys.Left, keys.Holders]),
        Damage.AnotherLife => db.HashSetAsync(keys.Meta, "run", "another life"),
        Damage.LostHolders => db.KeyDeleteAsync(keys.Holders),
        Damage.LostHoldersOfOne => db.HashDeleteAsync(keys.Holders, "u-1"),
        Damage.WrongLeft => db.StringSetAsync(keys.Left, 1_000),
        Damage.FrozenByTheDead => db.HashSetAsync(keys.Meta, [new("frozen", "the dead"), new("frozenAt", 1_000)]),
    };

    /// <summary>A rebuild that waits in its middle: somebody else has the pool's row.</summary>
    private sealed class SlowRebuild(Task locked, Task<long?> rebuilding, TaskCompletionSource unlock) : IAsyncDisposable
    {
        public static async Task<SlowRebuild> BeginAsync(PoolNode node, long pool)
        {
            var (locked, unlock) = (new TaskCompletionSource(), new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
            var locking = node.Database.WriteAsync(async transaction =>
            {
                await PoolStore.LockAsync(transaction, [pool]);
                locked.SetResult();
                await unlock.Task;
            });
            await locked.Task;
            var rebuilding = node.Rebuilder.RebuildAsync(pool);
            await Servers.Eventually.TrueAsync(async () => (string?)await node.Redis.DbOf(new PoolKeys(pool).Meta).HashGetAsync(new PoolKeys(pool).Meta, "frozen") is { Length: > 0 }, "the pool is frozen");
            return new SlowRebuild(locking, rebuilding, unlock);
        }

        public async Task EndAsync()
        {
            unlock.TrySetResult();
            await locked;
            Assert.NotNull(await rebuilding);
        }

        public async ValueTask DisposeAsync()
        {
            unlock.TrySetResult();
            await Task.WhenAll(locked, rebuilding);
        }
    }

    private static async Task ClaimUntilToldAsync(PoolNode node, long pool, string user)
    {
        while (true)
        {
            try
            {
                await node.ClaimAsync(pool, user, key: "the-same-key-each-time");
                return;
            }
            catch (DependencyUnavailableException)
            {
                // Frozen, nothing was accepted: ask again, as the callers are told.
                await Task.Yield();
            }
        }
    }
}

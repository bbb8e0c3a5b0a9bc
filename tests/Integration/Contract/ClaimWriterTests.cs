using System.Globalization;
using CsCheck;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>
/// SQL as the last line: claims are put into the queue behind the script's back, as a Redis would hold them that had forgotten what it sold.
/// </summary>
public sealed class ClaimWriterTests(Engines engines)
{
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.MariaDb)]
    public async Task Write_WhenRedisSoldTooMuch_StaysWithinTheCapacityInTheOrderOfTheQueue(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 5);
        var claims = await node.PushAsync(pool, [.. Enumerable.Range(0, 8).Select(user => ($"u-{user}", 1, (string?)null))]);
        await node.DrainAsync();

        Assert.Equal(claims.Take(5).Select(claim => claim.Id).Order(), await IdsAsync(node, pool, ClaimState.Confirmed));
        Assert.Equal(claims.Skip(5).Select(claim => claim.Id).Order(), await IdsAsync(node, pool, ClaimState.Rejected));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.MariaDb)]
    public async Task Write_WhenItRefusesAClaim_RebuildsThePool(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 2);
        await node.PushAsync(pool, ("u-1", 1, null), ("u-2", 1, null), ("u-3", 1, null));
        await node.DrainAsync();

        var (left, holders) = await node.InRedisAsync(pool);
        Assert.Equal(0, left);
        Assert.StartsWith("-", holders["u-3"], StringComparison.Ordinal);
        await AssertOnlyTheRefusalIsBrokenAsync(node, pool);
    }

    // Whoever rebuilds meanwhile may have read SQL before the refusal: a batch that was refused is not done until a rebuild has seen it.
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.MariaDb)]
    public async Task Write_WhenItRefusesAClaimWhileAnotherProcessRebuilds_RebuildsOnRedelivery(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 1);
        await node.PushAsync(pool, ("u-1", 1, null), ("u-2", 1, null));
        var meta = new PoolKeys(pool).Meta;
        await node.Redis.DbOf(meta).HashSetAsync(meta, [new("frozen", "another process"), new("frozenAt", TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()), new("frozenIn", await node.Redis.RunAsync(meta))]);
        await Assert.ThrowsAsync<DependencyUnavailableException>(node.DrainAsync);
        await node.Redis.DbOf(meta).HashSetAsync(meta, "frozen", "");
        await node.DrainAsync();

        await AssertOnlyTheRefusalIsBrokenAsync(node, pool);
    }

    [Theory]
    [InlineData(Engine.Garnet, 1, 1, 1)]
    [InlineData(Engine.MariaDb, 1, 1, 1)]
    [InlineData(Engine.Garnet, 3, 2, 2)]
    [InlineData(Engine.MariaDb, 3, 2, 2)]
    public async Task Write_WhenAUserExceedsTheLimit_RejectsTheLaterClaim(Engine engine, int limit, int first, int second)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 10, limit);
        var claims = await node.PushAsync(pool, ("u-1", first, null), ("u-1", second, null));
        await node.DrainAsync();

        Assert.Equal([claims[0].Id], await IdsAsync(node, pool, ClaimState.Confirmed));
        Assert.Equal([claims[1].Id], await IdsAsync(node, pool, ClaimState.Rejected));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task Write_WhenOneClaimAloneExceedsALimitOfOne_RejectsIt(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 10, limit: 1);
        var claims = await node.PushAsync(pool, ("u-1", 2, null));
        await node.DrainAsync();

        Assert.Equal([claims[0].Id], await IdsAsync(node, pool, ClaimState.Rejected));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task Write_WhenAKeyComesTwice_RejectsTheSecondClaim(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 10, limit: 5);
        var claims = await node.PushAsync(pool, ("u-1", 1, PoolNode.Key(1)), ("u-1", 1, PoolNode.Key(1)), ("u-2", 1, PoolNode.Key(1)));
        await node.DrainAsync();

        Assert.Equal([claims[0].Id, claims[2].Id], (await IdsAsync(node, pool, ClaimState.Confirmed)).Order());
        Assert.Equal([claims[1].Id], await IdsAsync(node, pool, ClaimState.Rejected));
    }

    [Theory]
    [InlineData(Engine.Garnet, 1)]
    [InlineData(Engine.MariaDb, 1)]
    [InlineData(Engine.Garnet, 3)]
    [InlineData(Engine.MariaDb, 3)]
    public async Task Write_WhenABatchIsDeliveredTwice_ChangesNothing(Engine engine, int limit)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 3, limit);
        await node.PushAsync(pool, ("u-1", 1, PoolNode.Key(1)), ("u-2", 1, null), ("u-3", 1, null));
        var partition = ClaimWriter.PartitionOf(pool);
        var batch = await partition.PeekAsync(node.Redis, 10);
        await node.WriteAsync(pool, batch);
        var once = await node.WrittenAsync(pool);
        await node.WriteAsync(pool, batch);

        Assert.Equal(once, await node.WrittenAsync(pool));
        Assert.Equal(3, (await node.Pools.FindAsync(pool))!.ClaimedUnits);
    }

    // A worker that died between commit and acknowledge: the next batch begins with what is written and goes on with what is new.
    [Theory]
    [InlineData(Engine.Garnet, 1)]
    [InlineData(Engine.MariaDb, 1)]
    [InlineData(Engine.Garnet, 2)]
    [InlineData(Engine.MariaDb, 2)]
    public async Task Write_WhenWrittenClaimsComeAgainWithNewOnes_WritesTheNewOnes(Engine engine, int limit)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 3, limit);
        var partition = ClaimWriter.PartitionOf(pool);
        await node.ClaimAsync(pool, "u-1");
        await node.WriteAsync(pool, await partition.PeekAsync(node.Redis, 10));
        await node.ClaimAsync(pool, limit == 1 ? "u-2" : "u-1", key: PoolNode.Key(2));
        await node.DrainAsync();

        Assert.Equal(2, (await IdsAsync(node, pool, ClaimState.Confirmed)).Count);
        await node.AssertAuditHoldsAsync(pool);
    }

    // The same, and the written one was cancelled in between: it takes no place any more.
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task Write_WhenAReleasedClaimComesAgainWithANewOne_WritesTheNewOne(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 3, limit: 2);
        var partition = ClaimWriter.PartitionOf(pool);
        var first = await node.ClaimAsync(pool, "u-1", units: 2, PoolNode.Key(1));
        await node.WriteAsync(pool, await partition.PeekAsync(node.Redis, 10));
        await node.ReleaseAsync(first.ClaimIds[0]);
        await node.Releases.ReturnPendingAsync();
        var second = await node.ClaimAsync(pool, "u-1", units: 2, PoolNode.Key(2));
        await node.DrainAsync();

        Assert.Equal(second.ClaimIds, await IdsAsync(node, pool, ClaimState.Confirmed));
        await node.AssertAuditHoldsAsync(pool);
    }

    // A server that died while an entry moved from one list to another shows it twice.
    [Theory]
    [InlineData(Engine.Garnet, 1)]
    [InlineData(Engine.MariaDb, 1)]
    [InlineData(Engine.Garnet, 2)]
    [InlineData(Engine.MariaDb, 2)]
    public async Task Write_WhenAnEntryIsInTheBatchTwice_CountsItOnce(Engine engine, int limit)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units: 2, limit);
        var first = (await node.PushAsync(pool, ("u-1", 1, null)))[0];
        await node.Redis.DbOf(new PoolKeys(pool).Log).ListRightPushAsync(new PoolKeys(pool).Log, ClaimEntry.ToQueue(first));
        var second = (await node.PushAsync(pool, ("u-2", 1, null)))[0];
        await node.DrainAsync();

        Assert.Equal([first.Id, second.Id], await IdsAsync(node, pool, ClaimState.Confirmed));
        await node.Rebuilder.RebuildAsync(pool);
        await node.AssertAuditHoldsAsync(pool);
    }

    // A claim that a unique key refuses takes neither a unit from the pool nor a place from its user.
    [Theory]
    [InlineData(Engine.Garnet, 1, 2, "u-1 u-1 u-2", "1 1 1", "a a b", "0 2")]
    [InlineData(Engine.MariaDb, 1, 2, "u-1 u-1 u-2", "1 1 1", "a a b", "0 2")]
    [InlineData(Engine.Garnet, 2, 2, "u-1 u-1 u-2", "1 1 1", "a a b", "0 2")]
    [InlineData(Engine.MariaDb, 2, 2, "u-1 u-1 u-2", "1 1 1", "a a b", "0 2")]
    [InlineData(Engine.Garnet, 3, 9, "u-1 u-1 u-1", "1 2 2", "a a b", "0 2")]
    [InlineData(Engine.MariaDb, 3, 9, "u-1 u-1 u-1", "1 2 2", "a a b", "0 2")]
    [InlineData(Engine.Garnet, 3, 3, "u-1 u-1 u-2 u-3", "1 1 2 1", "a a b c", "0 2")]
    [InlineData(Engine.MariaDb, 3, 3, "u-1 u-1 u-2 u-3", "1 1 2 1", "a a b c", "0 2")]
    public async Task Write_WhenAUniqueKeyRefusesAClaim_TheNextLosesNothing(Engine engine, int limit, int units, string users, string counts, string keys, string confirmed)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(units, limit);
        var claims = await node.PushAsync(pool, [.. users.Split(' ').Zip(counts.Split(' '), keys.Split(' ')).Select(wish =>
            (wish.First, int.Parse(wish.Second, CultureInfo.InvariantCulture), (string?)$"the-key-that-is-called-{wish.Third}"))]);
        await node.DrainAsync();

        var expected = confirmed.Split(' ').Select(nth => claims[int.Parse(nth, CultureInfo.InvariantCulture)].Id).Order();
        Assert.Equal(expected, await IdsAsync(node, pool, ClaimState.Confirmed));
        await AssertOnlyTheRefusalIsBrokenAsync(node, pool);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.MariaDb)]
    public async Task Write_WhateverRedisAccepted_KeepsEveryRuleAndEveryClaimOnce(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var anyWish = Gen.Select(Gen.Int[0, 4], Gen.Int[1, 3], Gen.Int[0, 2]);
        await Gen.Select(Gen.Int[1, 12], Gen.Int[1, 4], anyWish.List[1, 25], Gen.Int[1, 8]).SampleAsync(
            async (units, limit, wishes, batchMax) =>
            {
                var pool = await node.OpenPoolAsync(units, limit);
                var claims = await node.PushAsync(pool, [.. wishes.Select(wish => ($"u-{wish.Item1}", wish.Item2, wish.Item3 == 0 ? null : PoolNode.Key(wish.Item3)))]);
                var partition = ClaimWriter.PartitionOf(pool);
                while (await partition.PeekAsync(node.Redis, batchMax) is { Length: > 0 } batch)
                {
                    // Twice, as after a crash.
                    await node.WriteAsync(pool, batch);
                    await node.WriteAsync(pool, batch);
                    await partition.AcknowledgeAsync(node.Redis, batch, 100);
                }

                var written = await node.WrittenAsync(pool);
                Assert.Equal(claims.Select(claim => claim.Id).Order(), written.Select(claim => claim.Id));

                // What was pushed behind the script's back is not in its counters, and only a refusal makes the writer look.
                await node.Rebuilder.RebuildAsync(pool);
                await AssertOnlyTheRefusalIsBrokenAsync(node, pool);
            },
            iter: 60,
            threads: 1);
    }

    // Two workers with two halves of what Redis sold twice over: whoever is second sees what the first has written.
    [Theory]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.MariaDb)]
    public async Task Write_OfTwoBatchesOfOnePoolAtOnce_IsOneAfterTheOther(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        for (var round = 0; round < 8; round++)
        {
            var pool = await node.OpenPoolAsync(units: 30, limit: 2);
            await node.PushAsync(pool, [.. Enumerable.Range(0, 60).Select(user => ($"u-{user % 40}", 1, (string?)null))]);
            var partition = ClaimWriter.PartitionOf(pool, (await node.Pools.FindAsync(pool))!.Generation);
            var batch = await partition.PeekAsync(node.Redis, 60);
            await Task.WhenAll(batch.Chunk(30).Select(half => Task.Run(async () =>
            {
                try
                {
                    await node.Writer.WriteAsync(partition, half);
                }
                catch (DependencyUnavailableException)
                {
                    // The other one rebuilds the pool: the batch stays in the queue.
                }
            })));

            // A worker looks for new pools ten times a second.
            while ((await partition.PeekAsync(node.Redis, 1)).Length > 0)
            {
                await node.DrainAsync();
            }

            Assert.Empty(await partition.DeadLettersAsync(node.Redis, 100));
            Assert.Equal((30, 30), ((await IdsAsync(node, pool, ClaimState.Confirmed)).Count, (await IdsAsync(node, pool, ClaimState.Rejected)).Count));
            await AssertOnlyTheRefusalIsBrokenAsync(node, pool);
        }
    }

    // That an acknowledged claim was refused is told by the certificate; everything else must hold all the same.
    private static async Task AssertOnlyTheRefusalIsBrokenAsync(PoolNode node, long pool)
    {
        var audit = await node.Audit.RunAsync(pool);
        Assert.Equal(0, audit!.QueueDepth);
        Assert.Empty(audit.Checks.Where(check => !check.Holds && check.Name != "nothing-accepted-was-refused"));
        Assert.Contains(audit.Checks, check => check.Name == "holders-match-sql");
    }

    private static async Task<IReadOnlyList<long>> IdsAsync(PoolNode node, long pool, ClaimState state) =>
        [.. (await node.WrittenAsync(pool)).Where(claim => claim.State == state).Select(claim => claim.Id)];
}

using System.Globalization;
using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>A pool that is claimed from in several lanes keeps every promise of one that is not; its units go where they are asked for, hidden for a moment, never doubled.</summary>
public sealed class LanesTests(Engines engines)
{
    private const int LaneCount = 4;

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Claim_WhenTooManyAskTwice_SellsExactlyWhatThereIs(Engine engine)
    {
        const int Units = 300;
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(Units, lanes: LaneCount);
        var answers = await AskAsync(Enumerable.Range(0, 1_500), user => Task.WhenAll(node.ClaimAsync(pool, User(user)), node.ClaimAsync(pool, User(user))));

        var accepted = answers.Where(answer => answer.Outcome == ClaimOutcome.Accepted).SelectMany(answer => answer.ClaimIds).ToHashSet();
        Assert.Equal(Units, accepted.Count);
        Assert.All(answers.Where(answer => answer.Outcome == ClaimOutcome.AlreadyClaimed), answer => Assert.Contains(Assert.Single(answer.ClaimIds), accepted));
        Assert.All(answers.Where(answer => answer.Outcome is not (ClaimOutcome.Accepted or ClaimOutcome.AlreadyClaimed)), answer => Assert.Equal((ClaimOutcome.SoldOut, 0), (answer.Outcome, answer.LeftUnits)));
        await node.DrainAsync();
        await AssertBalancedAsync(node, pool, Units);
    }

    [Theory]
    [InlineData(Engine.Garnet, 1)]
    [InlineData(Engine.RedisCluster, 1)]
    [InlineData(Engine.MariaDb, 3)]
    public async Task Claim_ByUsersOfOneLaneOnly_GetsEveryUnitOfAllLanes(Engine engine, int each)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(120, limit: each, lanes: LaneCount);
        var users = UsersOf(lane: 2).Take((120 / each) + 1).ToList();
        var answers = await AskAsync(users[1..], async user => [await node.ClaimAsync(pool, User(user), each)]);
        Assert.All(answers, answer => Assert.Equal(ClaimOutcome.Accepted, answer.Outcome));
        var last = await node.ClaimAsync(pool, User(users[0]));
        Assert.Equal((ClaimOutcome.SoldOut, 0), (last.Outcome, last.LeftUnits));
        await node.DrainAsync();
        await AssertBalancedAsync(node, pool, 120);
    }

    [Fact]
    public async Task Claim_OfMoreUnitsThanAnyLaneHas_GathersThem()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(10, limit: 10, lanes: LaneCount);
        Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(pool, "a", 9)).Outcome);
        var tooMany = await node.ClaimAsync(pool, "b", 2);
        Assert.Equal((ClaimOutcome.SoldOut, 1), (tooMany.Outcome, tooMany.LeftUnits));
        Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(pool, "c")).Outcome);
        await node.DrainAsync();
        await AssertBalancedAsync(node, pool, 10);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.RedisCluster)]
    public async Task SoldOut_WhenAUnitComesBackInAnotherLane_IsSoldAgain(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(LaneCount, lanes: LaneCount);
        var first = await node.ClaimAsync(pool, User(UsersOf(0).First()));
        foreach (var lane in Enumerable.Range(1, LaneCount - 1))
        {
            Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(pool, User(UsersOf(lane).First()))).Outcome);
        }

        var late = User(UsersOf(3).Skip(1).First());
        Assert.Equal(ClaimOutcome.SoldOut, (await node.ClaimAsync(pool, late)).Outcome);
        await Eventually.TrueAsync(() => Task.FromResult(node.Claims.IsSoldOutFor(pool, late)), "the node knows that it is sold out");
        await node.DrainAsync();
        await node.ReleaseAsync(first.ClaimIds[0]);
        await node.Releases.ReturnPendingAsync();
        Assert.False(node.Claims.IsSoldOutFor(pool, late));
        Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(pool, late)).Outcome);
        await node.DrainAsync();
        await AssertBalancedAsync(node, pool, LaneCount);
    }

    // Whoever began a move died: before Redis gave anything up, or after, and perhaps the lane was rebuilt since; or the units were given, and Redis does not know yet.
    [Theory]
    [InlineData(Engine.Garnet, "wanted", false)]
    [InlineData(Engine.Garnet, "taken", false)]
    [InlineData(Engine.Garnet, "given", false)]
    [InlineData(Engine.Garnet, "wanted", true)]
    [InlineData(Engine.Garnet, "taken", true)]
    [InlineData(Engine.MariaDb, "taken", false)]
    [InlineData(Engine.MariaDb, "given", true)]
    public async Task Move_BrokenOff_IsFinishedOrTakenBack(Engine engine, string after, bool rebuilt)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(40, lanes: LaneCount);
        var lanes = (await node.Pools.LanesAsync([pool]))[pool].ToList();
        await WantAsync(node, lanes[0].Id, lanes[1].Id, 6);
        if (after is "taken" or "given")
        {
            await node.Pools.ApplyAsync(lanes[0].Id);
            Assert.Equal(4, await node.Pools.LeftAsync(lanes[0].Id));
        }

        if (after == "given")
        {
            Assert.Equal(1, await node.Pools.FinishTakingAsync(lanes[0].Id));
        }

        // Nobody has the units now; also in the certificate they are neither sold nor lost.
        var audit = (await node.Audit.RunAsync(pool))!;
        Assert.Equal((Verdict.Settling, 40), (audit.Verdict, audit.CapacityUnits));
        if (rebuilt)
        {
            await node.Rebuilder.RebuildAsync(lanes[0].Id);
            await node.Rebuilder.RebuildAsync(lanes[1].Id);
        }

        await FinishAsync(node);
        var moved = after == "given" || !rebuilt;
        Assert.Equal(moved ? (4, 16) : (10, 10), (await node.Pools.LeftAsync(lanes[0].Id), await node.Pools.LeftAsync(lanes[1].Id)));
        await AssertBalancedAsync(node, pool, 0);
    }

    [Fact]
    public async Task Move_OfUnitsThatWereSoldMeanwhile_IsGivenUp()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(40, lanes: LaneCount);
        var lanes = (await node.Pools.LanesAsync([pool]))[pool].ToList();
        var users = UsersOf(0).Take(7).ToList();
        await AskAsync(users, async user => [await node.ClaimAsync(pool, User(user))]);
        await node.Pools.MoveAsync((await node.Pools.FindAsync(lanes[0].Id))!, lanes[1].Id, 6);
        Assert.Equal((3, 10), (await node.Pools.LeftAsync(lanes[0].Id), await node.Pools.LeftAsync(lanes[1].Id)));
        await node.DrainAsync();
        await AssertBalancedAsync(node, pool, 7);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.RedisCluster)]
    [InlineData(Engine.MariaDb)]
    public async Task Lanes_WhileTwoNodesSellCancelMoveRebuildAndAddUnits_EndBalanced(Engine engine)
    {
        const int Units = 240, Added = 60;
        var pair = await engines.OpenAsync(engine);
        using var node = new PoolNode(pair);
        using var other = new PoolNode(pair, database: node.Database);
        var pool = await node.OpenPoolAsync(Units, lanes: LaneCount);
        var lanes = (await node.Pools.LanesAsync([pool]))[pool].Select(lane => lane.Id).ToList();
        var random = new Random(11);
        var busy = true;
        var disturbing = Task.WhenAll(
            Task.Run(() => WhileAsync(async () =>
            {
                var (from, to) = (random.Next(LaneCount), random.Next(1, LaneCount));
                await node.Pools.MoveAsync((await node.Pools.FindAsync(lanes[from]))!, lanes[(from + to) % LaneCount], random.Next(1, 20));
            })),
            Task.Run(() => WhileAsync(async () =>
            {
                await Task.Delay(TimeSpan.FromMilliseconds(60), TimeProvider.System);
                await node.Rebuilder.RebuildAsync(lanes[Random.Shared.Next(LaneCount)]);
            })),
            Task.Run(() => WhileAsync(async () =>
            {
                await node.Drain.RoundAsync();
                await FinishAsync(other);
                await other.Releases.ReturnPendingAsync();
            })));

        var adding = Task.Run(async () =>
        {
            await node.Database.WriteAsync(transaction => node.Pools.AddUnitsAsync(transaction, pool, node.Ids.Next("more"), Added));
            await node.Pools.ApplyAsync(pool);
        });
        var sold = 0;
        await AskAsync(Enumerable.Range(0, 900), async user =>
        {
            var seller = user % 2 == 0 ? node : other;
            ClaimAnswer answer;
            try
            {
                answer = await seller.ClaimAsync(pool, User(user));
            }
            catch (DependencyUnavailableException)
            {
                // Its lane was being rebuilt for too long; who asks again is told.
                answer = await seller.ClaimAsync(pool, User(user));
            }

            Interlocked.Add(ref sold, answer.Outcome is ClaimOutcome.Accepted or ClaimOutcome.AlreadyClaimed ? 1 : 0);
            if (answer.Outcome == ClaimOutcome.Accepted && user % 7 == 0)
            {
                // As soon as it is written: cancelled again, and so to be had by others.
                await Eventually.TrueAsync(async () => (await node.ReleaseAsync(answer.ClaimIds[0])).Count == 1, "the claim is written and cancelled");
                Interlocked.Decrement(ref sold);
            }

            return [answer];
        });
        await adding;
        busy = false;
        await disturbing;
        await node.DrainAsync();
        await FinishAsync(node);
        while (await node.Releases.ReturnPendingAsync() > 0)
        {
        }

        var audit = (await node.Audit.RunAsync(pool))!;
        Assert.Equal((Units + Added, sold), ((int)audit.CapacityUnits, (int)audit.SoldUnits));
        await AssertBalancedAsync(node, pool, sold);

        async Task WhileAsync(Func<Task> act)
        {
            while (busy)
            {
                try
                {
                    await act();
                }
                catch (DependencyUnavailableException)
                {
                    // Two at once: the next round goes on.
                }
            }
        }
    }

    [Fact]
    public async Task Gate_AndUnitsAdded_ReachEveryLane()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(10, lanes: LaneCount);
        await node.Database.WriteAsync(transaction => node.Pools.AddUnitsAsync(transaction, pool, node.Ids.Next("more"), 6));
        await node.Pools.ApplyAsync(pool);
        var left = await Task.WhenAll((await node.Pools.LanesAsync([pool]))[pool].Select(async lane => (int)(await node.Pools.LeftAsync(lane.Id))!.Value));
        Assert.Equal([5, 5, 3, 3], left);
        await AssertBalancedAsync(node, pool, 0);

        await node.Database.WriteAsync(transaction => PoolStore.SetGateAsync(transaction, pool, Gate.Paused));
        await node.Pools.ApplyAsync(pool);
        foreach (var lane in Enumerable.Range(0, LaneCount))
        {
            Assert.Equal(ClaimOutcome.Paused, (await node.ClaimAsync(pool, User(UsersOf(lane).First()))).Outcome);
        }
    }

    [Fact]
    public async Task Lanes_ThatHaveRunApart_AreEvenedOut()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(400, lanes: LaneCount);
        var lanes = (await node.Pools.LanesAsync([pool]))[pool].ToList();
        await node.Pools.MoveAsync(lanes[3], lanes[0].Id, 95);
        while (await node.Lanes.LevelAsync() > 0)
        {
        }

        var left = await Task.WhenAll(lanes.Select(async lane => (await node.Pools.LeftAsync(lane.Id))!.Value));
        Assert.Equal(400, left.Sum());
        Assert.True(left.Min() * 2 >= left.Max(), string.Join(", ", left));
        await AssertBalancedAsync(node, pool, 0);
    }

    // Whoever could ask a lane directly would hold units in two of them.
    [Fact]
    public async Task Lane_AskedByItsId_IsNoPool()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(40, lanes: LaneCount);
        var lane = (await node.Pools.LanesAsync([pool]))[pool].First().Id;
        Assert.Null(await node.Claims.ClaimAsync(lane, PoolNode.Kind, "u", 1, null));
        Assert.Null(await node.Audit.RunAsync(lane));
        Assert.DoesNotContain(await node.Pools.ListAsync(100), other => other.Id == lane);
    }

    [Fact]
    public async Task Lanes_OnARedisCluster_AreOnEveryPrimary()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.RedisCluster));
        var pool = await node.OpenPoolAsync(40, lanes: 6);
        var servers = (await node.Pools.LanesAsync([pool]))[pool].Select(lane => node.Redis.ServerOf(new PoolKeys(lane.Id).Meta)!.Value.Server).ToList();
        Assert.Equal([2, 2, 2], servers.GroupBy(server => server).Select(group => group.Count()));
    }

    private static string User(int number) => string.Create(CultureInfo.InvariantCulture, $"u-{number}");

    private static IEnumerable<int> UsersOf(int lane) => Enumerable.Range(0, 100_000).Where(user => Lanes.Of(User(user), LaneCount) == lane);

    private static async Task AssertBalancedAsync(PoolNode node, long pool, int sold)
    {
        await node.AssertAuditHoldsAsync(pool);
        var audit = (await node.Audit.RunAsync(pool))!;
        Assert.Equal((sold, audit.CapacityUnits - sold), ((int)audit.SoldUnits, audit.LeftUnits));
        Assert.Contains(audit.Checks, check => check is { Name: "lanes-add-up", Holds: true });
    }

    private static async Task<List<ClaimAnswer>> AskAsync(IEnumerable<int> users, Func<int, Task<ClaimAnswer[]>> ask)
    {
        const int Callers = 32;
        var answers = await Task.WhenAll(users.Select((user, i) => (user, i)).GroupBy(each => each.i % Callers, each => each.user).Select(mine => Task.Run(async () =>
        {
            var told = new List<ClaimAnswer>();
            foreach (var user in mine)
            {
                told.AddRange(await ask(user));
            }

            return told;
        })));
        return [.. answers.SelectMany(told => told)];
    }

    // Step 1 of PoolStore.MoveAsync, and then nothing.
    private static Task<int> WantAsync(PoolNode node, long from, long to, long units) => node.Database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync(
        "UPDATE pools SET taking_units = @units, taking_for = @to, version = version + 1 WHERE id = @from", new { from, to, units }, transaction));

    // What PoolKeeper does each round.
    private static async Task FinishAsync(PoolNode node)
    {
        await node.Pools.ApplyPendingAsync();
        await node.Pools.FinishTakingAsync();
        await node.Pools.ApplyPendingAsync();
    }
}

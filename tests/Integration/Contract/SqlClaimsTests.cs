using System.Diagnostics.Metrics;
using CsCheck;
using Dapper;
using Microsoft.Extensions.Time.Testing;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Claims without Redis keep the contract of those with it: the same histories, the same model, the same answers.</summary>
public sealed class SqlClaimsTests(Engines engines)
{
    private const long Now = 2_000_000_000_000;

    private static readonly string[] Keys = ["", "key-one", "key-two", "key-three"];

    private static readonly int Histories = int.TryParse(Environment.GetEnvironmentVariable("SLUICE_TEST_HISTORIES"), System.Globalization.CultureInfo.InvariantCulture, out var more) ? more : 300;

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task SqlClaims_OnRandomHistories_AgreeWithTheModel(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine), new PoolsOptions { DegradedClaimsPerSecond = 100_000 });
        await PoolHistory.Any.SampleAsync(history => new SqlPlayer(node).PlayAsync(history), iter: Histories, threads: 1);
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task SqlClaims_WhenTenTimesTooManyAsk_SellExactlyWhatIsSetAside(Engine engine)
    {
        const int Capacity = 60, SetAside = 50;
        using var node = new PoolNode(await engines.OpenAsync(engine), new PoolsOptions { DegradedClaimsPerSecond = 100_000 });
        var pool = await node.OpenPoolAsync(Capacity, apply: false, setAside: SetAside);
        var batches = await Task.WhenAll(Enumerable.Range(0, 10).Select(caller => Task.Run(async () =>
        {
            var batch = Enumerable.Range(0, SetAside).Select(n => new PendingClaim($"u-{caller}-{n}", 1, "", node.Ids.Next("u"))).ToList();
            await node.Sql.AskAsync(pool, batch);
            batch.ForEach(claim => claim.Tell());
            return batch;
        })));

        // Ten units are of Redis' share: whether it has sold them nobody knows, so nobody is told "sold out".
        var asked = batches.SelectMany(batch => batch).ToList();
        Assert.Equal(SetAside, asked.Count(claim => claim.Task is { IsCompletedSuccessfully: true, Result.Outcome: ClaimOutcome.Accepted }));
        Assert.Equal(9 * SetAside, asked.Count(claim => claim.Task.Exception?.InnerException is DependencyUnavailableException));
        var row = await node.Pools.FindAsync(pool);
        Assert.Equal((SetAside, SetAside), (row!.ClaimedUnits, row.SoldAsideUnits));
    }

    [Fact]
    public async Task SqlClaims_OfAPoolThatSetsNothingAside_AreRefused()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(5);
        await Assert.ThrowsAsync<DependencyUnavailableException>(() => node.Sql.AskAsync(pool, [new PendingClaim("u", 1, "", node.Ids.Next("u"))]));
    }

    [Fact]
    public async Task SqlClaims_AboveTheirRate_AreRefused()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet), new PoolsOptions { DegradedClaimsPerSecond = 3 });
        var pool = await node.OpenPoolAsync(500, setAside: 500);
        var batch = Enumerable.Range(0, 100).Select(n => new PendingClaim($"u-{n}", 1, "", node.Ids.Next("u"))).ToList();
        var told = new Dictionary<string, long>(StringComparer.Ordinal);
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter == node.Metrics.Meter && instrument.Name == "sluice_claims_without_redis")
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((_, count, tags, _) => told[(string)tags[0].Value!] = told.GetValueOrDefault((string)tags[0].Value!) + count);
        listener.Start();
        await node.Sql.AskAsync(pool, batch);
        batch.ForEach(claim => claim.Tell());

        Assert.Equal(new Dictionary<string, long>(StringComparer.Ordinal) { ["accepted"] = 3, ["unavailable"] = 97 }, told);
        Assert.Equal(3, batch.Count(claim => claim.Task.IsCompletedSuccessfully));
        Assert.All(batch.Skip(3), claim => Assert.IsType<DependencyUnavailableException>(claim.Task.Exception!.InnerException));
    }

    [Fact]
    public async Task SqlClaims_OfOneClaimAskedTwice_AreOneClaim()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(5, limit: 3, setAside: 5);
        var id = node.Ids.Next("u");
        for (var time = 0; time < 2; time++)
        {
            var claim = new PendingClaim("u", 1, "", id);
            await node.Sql.AskAsync(pool, [claim]);
            Assert.Equal(ClaimOutcome.Accepted, Assert.Single(await AnswersAsync([claim])).Outcome);
        }

        Assert.Equal(1, (await node.Pools.FindAsync(pool))!.ClaimedUnits);
    }

    // Redis sells its share, SQL the rest; after the rebuild Redis knows all of them, and what is still set aside stays so.
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.MariaDb)]
    public async Task Engines_ThatSellBesideEachOther_NeverSellAUnitTwice(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(20, setAside: 8);
        var outcomes = new List<ClaimOutcome>();
        for (var user = 0; user < 15; user++)
        {
            outcomes.Add((await node.ClaimAsync(pool, $"redis-{user}")).Outcome);
        }

        Assert.Equal(12, outcomes.Count(outcome => outcome == ClaimOutcome.Accepted));
        var batch = Enumerable.Range(0, 5).Select(n => new PendingClaim($"sql-{n}", 1, "", node.Ids.Next("u"))).ToList();
        await node.Sql.AskAsync(pool, batch);
        Assert.All(await AnswersAsync(batch), answer => Assert.Equal(ClaimOutcome.Accepted, answer.Outcome));

        // The queue is drained after SQL has sold: everything that Redis has promised still fits.
        await node.DrainAsync();
        Assert.Equal(17, (await node.WrittenAsync(pool)).Count(claim => claim.State == ClaimState.Confirmed));
        var row = await node.Pools.FindAsync(pool);
        Assert.Equal((3, 0), (row!.SetAsideUnits, row.SoldAsideUnits));
        Assert.Equal(ClaimOutcome.AlreadyClaimed, (await node.ClaimAsync(pool, "sql-0")).Outcome);
        await node.Pools.ApplyAsync(pool);
        await node.AssertAuditHoldsAsync(pool);
    }

    // A rebuild is done by somebody who reaches Redis: what SQL would sell after it, Redis would not know of.
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task SqlClaims_OfAPoolThatWasRebuiltMeanwhile_AreRefusedUntilRedisHasBeenAwayForLongAgain(Engine engine)
    {
        var clock = new FakeTimeProvider(TimeProvider.System.GetUtcNow());
        using var node = new PoolNode(await engines.OpenAsync(engine), clock: clock);
        var pool = await node.OpenPoolAsync(20, setAside: 8);
        await SellAsync(node, pool, "sold-before", 1);
        await node.Rebuilder.RebuildAsync(pool);
        await Assert.ThrowsAsync<DependencyUnavailableException>(() => SellAsync(node, pool, "too-late", 1));
        Assert.Equal(ClaimOutcome.AlreadyClaimed, (await node.ClaimAsync(pool, "sold-before")).Outcome);

        // Nothing more was heard of Redis: the rebuild was broken off, or this node is cut off.
        clock.Advance(new PoolsOptions().DegradeAfter + TimeSpan.FromSeconds(1));
        await SellAsync(node, pool, "cut-off", 1);
        Assert.Equal(1, (await node.Pools.FindAsync(pool))!.SoldAsideUnits);
    }

    [Fact]
    public async Task SqlClaims_OfANodeThatGoesBackToRedis_AreRefused()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.SqlAlone));
        var pool = await node.OpenPoolAsync(8);
        Assert.Equal(ClaimOutcome.Accepted, (await node.ClaimAsync(pool, "by-sql")).Outcome);
        Assert.Equal((8, 1), ((await node.Pools.FindAsync(pool))!.SetAsideUnits, (await node.Pools.FindAsync(pool))!.SoldAsideUnits));
        await node.Sql.EndAsync();
        await Assert.ThrowsAsync<DependencyUnavailableException>(() => node.ClaimAsync(pool, "in-between"));

        // A round that finds Redis there: it knows what SQL has sold before it is asked.
        await node.Away.RoundAsync();
        Assert.False(node.Away.SqlSells);
        Assert.Equal(ClaimOutcome.AlreadyClaimed, (await node.ClaimAsync(pool, "by-sql")).Outcome);
        Assert.Equal((7, 0), ((await node.Pools.FindAsync(pool))!.SetAsideUnits, (await node.Pools.FindAsync(pool))!.SoldAsideUnits));
    }

    // Promised by Redis and not drained, and its node is dead: the user asks again and buys from what is set aside. One of the two stays, and nobody was lied to.
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.MariaDb)]
    public async Task Claim_AskedAgainAtTheOtherEngine_IsOneClaimInTheEnd(Engine engine)
    {
        foreach (var (limit, key) in new[] { (1, (string?)null), (3, Keys[1].PadRight(16, '-')) })
        {
            using var node = new PoolNode(await engines.OpenAsync(engine));
            var pool = await node.OpenPoolAsync(20, limit, setAside: 8);
            var first = (await node.ClaimAsync(pool, "u", key: key)).ClaimIds[0];
            var second = new PendingClaim("u", 1, key ?? "", node.Ids.Next("u"));
            await node.Sql.AskAsync(pool, [second]);
            await node.DrainAsync();

            var rows = await node.WrittenAsync(pool);
            Assert.Equal([(first, ClaimState.Rejected), (second.ClaimId, ClaimState.Confirmed)], rows.Select(row => (row.Id, row.State)));
            Assert.Equal("asked-again", await ReasonAsync(node, first));
            Assert.Equal([second.ClaimId], (await node.ClaimAsync(pool, "u", key: key)).ClaimIds);
            await node.AssertAuditHoldsAsync(pool);
        }
    }

    // Another request is no repetition: what was promised of it and cannot be kept is counted as that.
    [Fact]
    public async Task Claim_OfAnotherRequestAboveTheLimit_IsABrokenPromise()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(20, limit: 3, setAside: 8);
        var first = (await node.ClaimAsync(pool, "u", units: 2)).ClaimIds[0];
        await SellAsync(node, pool, "u", 2);
        await node.DrainAsync();

        Assert.Equal("refused-by-sql", await ReasonAsync(node, first));
        Assert.Equal(Verdict.Broken, (await node.Audit.RunAsync(pool))!.Verdict);
    }

    // Sold while Redis was there for others, in the same life of it: no rebuild comes by itself.
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    public async Task Fold_OfWhatSqlHasSold_MakesItKnownToRedis(Engine engine)
    {
        using var node = new PoolNode(await engines.OpenAsync(engine));
        var pool = await node.OpenPoolAsync(20, setAside: 8);
        await SellAsync(node, pool, "u", 1);
        Assert.Equal(Verdict.Settling, (await node.Audit.RunAsync(pool))!.Verdict);
        Assert.Equal(1, await node.Keeper.FoldAsync());
        Assert.Equal(ClaimOutcome.AlreadyClaimed, (await node.ClaimAsync(pool, "u")).Outcome);
        await node.AssertAuditHoldsAsync(pool);
    }

    [Fact]
    public async Task Acknowledged_OfBeforeARebuild_AreNotWrittenPastIt()
    {
        using var node = new PoolNode(await engines.OpenAsync(Engine.Garnet));
        var pool = await node.OpenPoolAsync(20);
        var before = (await node.Pools.FindAsync(pool))!.Generation;
        var claim = new Claim(node.Ids.Next("u"), pool, "u", 1, null);
        node.Journal.Of(pool).Keep(claim.Id, "u", 1, "", null, before);
        await node.Rebuilder.RebuildAsync(pool);
        await node.Writer.WriteAcknowledgedAsync(pool, before, [claim]);
        Assert.Empty(await node.WrittenAsync(pool));
        Assert.Single(node.Journal.Claims(pool));
        await node.Writer.WriteAcknowledgedAsync(pool, (await node.Pools.FindAsync(pool))!.Generation, [claim]);
        Assert.Single(await node.WrittenAsync(pool));
    }

    private static async Task SellAsync(PoolNode node, long pool, string user, int units)
    {
        var claim = new PendingClaim(user, units, "", node.Ids.Next(user));
        await node.Sql.AskAsync(pool, [claim]);
        Assert.Equal(ClaimOutcome.Accepted, Assert.Single(await AnswersAsync([claim])).Outcome);
    }

    private static Task<string?> ReasonAsync(PoolNode node, long claim) =>
        node.Database.ReadAsync(connection => connection.QuerySingleAsync<string?>("SELECT reason FROM claims WHERE id = @claim", new { claim }));

    private static async Task<IReadOnlyList<ClaimAnswer>> AnswersAsync(IReadOnlyList<PendingClaim> batch)
    {
        var answers = new List<ClaimAnswer>();
        foreach (var claim in batch)
        {
            claim.Tell();
            answers.Add((await claim.Task)!.Value);
        }

        return answers;
    }

    /// <summary>The steps of a history that mean something without Redis, on a pool that sets everything aside.</summary>
    private sealed class SqlPlayer(PoolNode node)
    {
        private readonly PoolModel model = new();
        private readonly List<long> ids = [];

        public async Task PlayAsync(PoolHistory history)
        {
            var pool = await node.OpenPoolAsync(history.Capacity, history.Limit, apply: false, setAside: history.Capacity);
            var first = pool * 10_000;
            model.Freeze("maker", 1, 50, "life", takeOver: false);
            model.Thaw("maker", "life", new PoolSettings(1, "open", "", "", history.Limit, history.Capacity), history.Capacity, 1, 1);
            foreach (var step in history.Steps)
            {
                switch (step)
                {
                    case ClaimStep claim:
                        await ClaimAsync(pool, first, claim);
                        break;
                    case ReleaseStep release:
                        await ReleaseAsync(pool, release);
                        break;
                    case ConfigureStep configure:
                        await ConfigureAsync(pool, configure);
                        break;
                }

                var row = await node.Pools.FindAsync(pool);
                Assert.True(
                    row!.SetAsideUnits - row.SoldAsideUnits == model.Left && row.ClaimedUnits == model.ActiveUnits,
                    $"{step}: {row.SetAsideUnits - row.SoldAsideUnits} left and {row.ClaimedUnits} claimed, expected {model.Left} and {model.ActiveUnits}");
            }
        }

        private async Task ClaimAsync(long pool, long first, ClaimStep step)
        {
            var wishes = step.Wishes.Select(wish =>
            {
                ids.Add(first + ids.Count);
                return new Wish($"user-{wish.User}", wish.Units, ids[^1], Keys[wish.Key]);
            }).ToList();
            var (letters, left, _, _, details) = model.Claim("life", lagMax: 1_000, Now, wishes);
            var batch = wishes.ConvertAll(wish => new PendingClaim(wish.User, wish.Units, wish.Key, wish.Id));
            await node.Sql.AskAsync(pool, batch);
            var answers = await AnswersAsync(batch);
            var detail = new Queue<string>(details);
            for (var i = 0; i < batch.Count; i++)
            {
                var (expected, found) = (Text(letters[i], wishes[i].Id, left, detail), Text(answers[i]));
                Assert.True(expected == found, $"{step}, wish {i}: expected {expected}, answered {found}");
            }
        }

        private async Task ReleaseAsync(long pool, ReleaseStep step)
        {
            // Only with their owners: SQL goes by the id alone.
            var owners = model.Holders.SelectMany(user => user.Value.Select(claim => (claim.Id, User: user.Key))).ToDictionary(claim => claim.Id, claim => claim.User);
            var claims = step.Claims.Where(claim => claim.Nth < ids.Count && owners.ContainsKey(ids[claim.Nth])).Select(claim => (owners[ids[claim.Nth]], ids[claim.Nth])).ToList();
            var before = model.Left;
            model.Release("life", claims);
            await node.ReleaseAsync([.. claims.Select(claim => claim.Item2).Distinct()]);

            // A unit that comes back is of Redis' share; here there is no Redis.
            await SetAsync(pool, "set_aside_units = set_aside_units + @back", new { pool, back = model.Left - before });
        }

        private async Task ConfigureAsync(long pool, ConfigureStep step)
        {
            var settings = new PoolSettings(
                model.Settings!.Version + step.VersionUp, step.Gate, step.OpensAt, step.ClosesAt, step.Limit, model.Settings.Capacity + step.MoreUnits);
            if (model.Configure("life", settings) == "A")
            {
                await SetAsync(
                    pool,
                    "gate = @gate, opens_at = @opens, closes_at = @closes, per_user_limit = @limit, capacity_units = capacity_units + @more, set_aside_units = set_aside_units + @more",
                    new
                    {
                        pool, gate = Enum.Parse<Gate>(step.Gate, ignoreCase: true), opens = Moment(step.OpensAt), closes = Moment(step.ClosesAt), limit = step.Limit, more = step.MoreUnits,
                    });
            }
        }

        private Task<int> SetAsync(long pool, string what, object values) =>
            node.Database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync($"UPDATE pools SET {what} WHERE id = @pool", values, transaction));

        private static long? Moment(string text) => text.Length == 0 ? null : long.Parse(text, System.Globalization.CultureInfo.InvariantCulture);

        private static string Text(char letter, long id, long left, Queue<string> details) => letter switch
        {
            'A' => $"Accepted {id} False {left}",
            'S' => Found("AlreadyClaimed", details.Dequeue(), left),
            'K' => Found("KeyReused", details.Dequeue(), left),
            'L' => $"LimitReached {details.Dequeue()} False {left}",
            'X' => $"SoldOut  False {left}",
            'N' => $"NotOpen  False {left}",
            'C' => $"Closed  False {left}",
            _ => $"Paused  False {left}",
        };

        private static string Found(string outcome, string detail, long left) => $"{outcome} {detail.Split(',')[0].TrimStart('-')} {detail.StartsWith('-')} {left}";

        private static string Text(ClaimAnswer answer) => $"{answer.Outcome} {string.Join(',', answer.ClaimIds)} {answer.IsReleased} {answer.LeftUnits}";
    }
}

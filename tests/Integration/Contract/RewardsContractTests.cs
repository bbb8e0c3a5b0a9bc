using System.Text.Json.Nodes;
using Dapper;
using Microsoft.Extensions.Time.Testing;
using Sluice.Modules.Rewards;
using Sluice.Tests.Integration.Failure;

namespace Sluice.Tests.Integration.Contract;

/// <summary>A day is awarded once and a balance is the sum of its entries, on SQLite and on MariaDB, whoever asks at once.</summary>
public sealed class RewardsContractTests(Engines engines, ITestOutputHelper output)
{
    private const int AtOnce = 50;

    private readonly FakeTimeProvider time = new(new DateTimeOffset(2028, 2, 27, 12, 0, 0, TimeSpan.Zero));
    private readonly string user = $"u-{Guid.NewGuid():N}";

    public static TheoryData<Engine> Both => new(Engine.Garnet, Engine.MariaDb);

    [Theory]
    [MemberData(nameof(Both))]
    public async Task CheckIn_FiftyTimesAtOnceThroughTwoNodes_IsAwardedOnce(Engine engine)
    {
        var pair = await engines.OpenAsync(engine);
        await using var one = await RewardsNode.OpenAsync(pair, time);
        await using var other = await RewardsNode.OpenAsync(pair, time, beside: one);

        var answers = await Task.WhenAll(Enumerable.Range(0, AtOnce).Select(i => Task.Run(() => (i % 2 == 0 ? one : other).CheckIns.RunAsync(user))));

        Assert.Single(answers, answer => answer.IsNew);
        Assert.Single(answers.Select(answer => Convert.ToHexString(answer.Json)).Distinct());
        Assert.Equal((1, 1, 10), await CountAsync(one));
        Assert.Empty(await one.FaultsAsync());
    }

    [Theory]
    [MemberData(nameof(Both))]
    public async Task Points_SpentByManyAtOnceThroughTwoNodes_AreNeverMoreThanThereWere(Engine engine)
    {
        var pair = await engines.OpenAsync(engine);
        await using var one = await RewardsNode.OpenAsync(pair, time);
        await using var other = await RewardsNode.OpenAsync(pair, time, beside: one);
        await one.ChangeAsync(user, 100);

        var spent = await Task.WhenAll(Enumerable.Range(0, AtOnce).Select(i => Task.Run(() => (i % 2 == 0 ? one : other).ChangeAsync(user, -7))));

        Assert.Equal(14, spent.Count(entry => entry is not null));
        Assert.Equal(2, await one.BalanceAsync(user));
        Assert.Equal(Enumerable.Range(0, 14).Select(i => 2L + (7 * i)), spent.OfType<PointsEntry>().Select(entry => entry.BalanceAfter).Order());
        Assert.Empty(await one.FaultsAsync());
    }

    [Theory]
    [MemberData(nameof(Both))]
    public async Task CheckIns_OfFollowingDays_AreAStreakWithItsBonusUntilADayIsMissed(Engine engine)
    {
        await using var node = await RewardsNode.OpenAsync(await engines.OpenAsync(engine), time, new RewardsOptions { StreakDays = 3, StreakBonusPoints = 5 });
        var records = new List<(string?, long, int)>();
        foreach (var days in new[] { 0, 1, 1, 1, 2, 1 })
        {
            time.Advance(TimeSpan.FromDays(days));
            var (json, isNew) = await node.CheckIns.RunAsync(user);
            Assert.True(isNew);
            Assert.False((await node.CheckIns.RunAsync(user)).IsNew);
            var record = JsonNode.Parse(json)!;
            records.Add(((string?)record["date"], (long)record["points"]!, (int)record["streakDays"]!));
        }

        Assert.Equal([("2028-02-27", 10, 1), ("2028-02-28", 10, 2), ("2028-02-29", 15, 3), ("2028-03-01", 10, 4), ("2028-03-03", 10, 1), ("2028-03-04", 10, 2)], records);
        Assert.Equal(65, await node.BalanceAsync(user));
        Assert.Empty(await node.FaultsAsync());
    }

    // The shop moved to another zone, or the clock of another node is behind: yesterday, which had a row or had none, is not to be had once more.
    [Theory]
    [MemberData(nameof(Both))]
    public async Task CheckIn_WhereItIsStillYesterday_IsTheOneOfToday(Engine engine)
    {
        var pair = await engines.OpenAsync(engine);
        await using var east = await RewardsNode.OpenAsync(pair, time, new RewardsOptions { TimeZone = "Pacific/Kiritimati" });
        await using var west = await RewardsNode.OpenAsync(pair, time, new RewardsOptions { TimeZone = "Pacific/Pago_Pago" }, east);
        var first = await east.CheckIns.RunAsync(user);
        Assert.Equal("2028-02-28", (string?)JsonNode.Parse(first.Json)!["date"]);

        var again = await west.CheckIns.RunAsync(user);

        Assert.Equal((false, Convert.ToHexString(first.Json)), (again.IsNew, Convert.ToHexString(again.Json)));
        Assert.Equal((1, 1, 10), await CountAsync(west));

        // From the next day on, there too, it goes on as ever.
        time.Advance(TimeSpan.FromDays(2));
        Assert.True((await west.CheckIns.RunAsync(user)).IsNew);
        Assert.Equal((2, 2, 20), await CountAsync(west));
    }

    [Theory]
    [MemberData(nameof(Both))]
    public async Task Ledger_OverRandomHistories_AgreesWithAPlainModel(Engine engine)
    {
        var random = new Random(Drills.Seed);
        output.WriteLine($"seed {Drills.Seed}");
        var options = new RewardsOptions { StreakDays = 4, StreakBonusPoints = 25 };
        await using var node = await RewardsNode.OpenAsync(await engines.OpenAsync(engine), time, options);
        var users = Enumerable.Range(0, 4).Select(i => $"{user}-{i}").ToList();
        var balances = users.ToDictionary(each => each, _ => 0L);
        var days = users.ToDictionary(each => each, _ => new SortedSet<int>());
        var today = 0;
        for (var step = 0; step < 300; step++)
        {
            var who = users[random.Next(users.Count)];
            switch (random.Next(4))
            {
                case 0:
                    time.Advance(TimeSpan.FromDays(1));
                    today++;
                    break;
                case 1:
                    var isNew = days[who].Add(today);
                    var inARow = days[who].Reverse().Select((day, i) => day + i).TakeWhile(day => day == today).Count();
                    balances[who] += isNew ? 10 + (inARow % 4 == 0 ? 25 : 0) : 0;
                    Assert.Equal(isNew, (await node.CheckIns.RunAsync(who)).IsNew);
                    break;
                default:
                    var points = random.Next(-40, 30);
                    var fits = balances[who] + points >= 0;
                    balances[who] += fits ? points : 0;
                    Assert.Equal(fits ? balances[who] : null, (await node.ChangeAsync(who, points))?.BalanceAfter);
                    break;
            }

            Assert.Equal(balances[who], await node.BalanceAsync(who));
        }

        Assert.Empty(await node.FaultsAsync());
    }

    [Theory]
    [MemberData(nameof(Both))]
    public async Task Cause_ThatComesTwice_HasOneEntry(Engine engine)
    {
        await using var node = await RewardsNode.OpenAsync(await engines.OpenAsync(engine), time);
        var entries = new List<PointsEntry?>();
        for (var turn = 0; turn < 2; turn++)
        {
            entries.Add(await node.Database.WriteAsync(async transaction =>
            {
                await PointsLedger.LockAsync(transaction, user);
                return await node.Ledger.AddAsync(transaction, user, new PointsCause(PointsCause.OfShop, "one cause"), 30, "a test");
            }));
        }

        Assert.Equal(entries[0], entries[1]);
        Assert.Equal(30, await node.BalanceAsync(user));
    }

    // What the audit's query must find, or it proves nothing.
    [Theory]
    [InlineData("UPDATE points_balances SET balance = balance + 1", "balance")]
    [InlineData("UPDATE points_entries SET points = points + 1", "balance")]
    [InlineData("DELETE FROM points_entries", "balance")]
    [InlineData("DELETE FROM points_balances", "balance")]
    [InlineData("DELETE FROM check_ins", "check-in")]
    [InlineData("UPDATE check_ins SET points = points + 1", "check-in")]
    [InlineData("UPDATE points_entries SET cause_id = '2028-02-01' WHERE cause_kind = 'check-in'", "check-in")]
    public async Task Ledger_ThatSomebodyChangedByHand_IsFoundByTheAudit(string statement, string fault)
    {
        foreach (var engine in new[] { Engine.Garnet, Engine.MariaDb })
        {
            await using var node = await RewardsNode.OpenAsync(await engines.OpenAsync(engine), time);
            await node.CheckIns.RunAsync(user);
            Assert.Empty(await node.FaultsAsync());

            await node.Database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync(statement, transaction: transaction));

            Assert.Contains($"{user}: {fault}", await node.FaultsAsync());
        }
    }

    private async Task<(long Rows, long Entries, long Balance)> CountAsync(RewardsNode node) => await node.Database.ReadAsync(async connection => (
        await connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM check_ins WHERE user_id = @user", new { user }),
        await connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM points_entries WHERE user_id = @user", new { user }),
        await PointsLedger.BalanceAsync(connection, user)));
}

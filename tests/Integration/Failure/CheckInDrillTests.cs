using System.Collections.Concurrent;
using Dapper;
using Sluice.Tests.Integration.Contract;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>kill -9 of the server while a crowd checks in: each acknowledged check-in has its row and its entry, once, and each user has what the entries say.</summary>
[Collection(Drills.Name)]
public sealed class CheckInDrillTests(ITestOutputHelper output)
{
    private const int Users = 400;

    private static readonly string[] Settings = ["Rewards:CheckInsPerUserBurst=1000", Noon.Setting];

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    // Written and not committed; committed, and no cache and no user has heard of it.
    [Theory]
    [InlineData("check-in.written", 1)]
    [InlineData("check-in.written", 150)]
    [InlineData("check-in.committed", 1)]
    [InlineData("check-in.committed", 150)]
    public async Task Server_KilledInMidCheckIn_HasEachAcknowledgedOneOnce(string point, int pass)
    {
        await using var server = await SluiceServer.StartAsync(Settings, environment: Drills.Fault(point, "kill", pass));
        var crowd = await Crowd.GatherAsync(server);
        await crowd.CheckInAsync(stop: CancellationToken.None);
        await server.Process.WaitAsync(Patience);
        var before = crowd.Acknowledged;
        Assert.InRange(before, 0, Users - 1);

        await server.BeginAsync();
        await crowd.AuditAsync(everybody: false);
        await crowd.CheckInAsync(CancellationToken.None);
        await crowd.AuditAsync(everybody: true);
        output.WriteLine($"{point} {pass}: {before} acknowledged before the kill, {crowd.Acknowledged} in the end, none lost, none twice");
    }

    [Fact]
    public async Task Server_KilledAgainAndAgainWhileACrowdChecksIn_HasEachAcknowledgedOneOnce()
    {
        await using var server = await SluiceServer.StartAsync(Settings);
        var crowd = await Crowd.GatherAsync(server);
        var rounds = Drills.KillRounds(4);
        for (var round = 0; round < rounds; round++)
        {
            // After any number of further acknowledgements: a crowd is through in tenths of a second.
            var enough = crowd.Acknowledged + new Random(HashCode.Combine(Drills.Seed, round)).Next(1, Users / rounds);
            using var stop = new CancellationTokenSource();
            var checking = crowd.CheckInAsync(stop.Token);
            await Eventually.TrueAsync(() => Task.FromResult(crowd.Acknowledged >= enough), "enough are told that it is done");
            await server.KillAsync();
            await stop.CancelAsync();
            await checking;
            await server.BeginAsync();
            await crowd.AuditAsync(everybody: false);
            output.WriteLine($"seed {Drills.Seed} round {round}: {crowd.Acknowledged} acknowledged by now");
        }

        await crowd.CheckInAsync(CancellationToken.None);
        await crowd.AuditAsync(everybody: true);
        output.WriteLine($"{rounds} kills, {crowd.Acknowledged} acknowledged, none lost, none twice");
    }

    /// <summary>Users who check in, and what each was told.</summary>
    private sealed class Crowd(SluiceServer server, IReadOnlyList<(string User, string Token)> users)
    {
        private const int AtOnce = 24;

        // The record that a user was shown, by the user.
        private readonly ConcurrentDictionary<string, string> told = new(StringComparer.Ordinal);

        public int Acknowledged => told.Count;

        public static async Task<Crowd> GatherAsync(SluiceServer server)
        {
            var users = Enumerable.Range(0, Users).Select(i => $"u-{i}").ToList();
            return new Crowd(server, [.. users.Zip(await server.TokensAsync(users))]);
        }

        /// <summary>Everybody twice, in any order, who was told before too; until the server is gone.</summary>
        public Task CheckInAsync(CancellationToken stop) => Parallel.ForEachAsync(users.Shuffle(), new ParallelOptions { MaxDegreeOfParallelism = AtOnce }, async (who, _) =>
        {
            for (var turn = 0; turn < 2 && !stop.IsCancellationRequested; turn++)
            {
                try
                {
                    var answer = await server.UserAsync(HttpMethod.Post, "/v1/check-ins", who.Token);
                    Assert.True(answer.Status is 200 or 201, $"{answer.Status} {answer.Text}");
                    Assert.Equal(answer.Text, told.GetOrAdd(who.User, answer.Text));
                }
                catch (HttpRequestException)
                {
                    // The server died under it: whether it was done shows the audit.
                    return;
                }
            }
        });

        public async Task AuditAsync(bool everybody)
        {
            await using var database = server.OpenDatabase();
            var rows = (await database.QueryAsync<(string User, string Day, long Points)>("SELECT user_id, business_date, points FROM check_ins")).ToLookup(row => row.User);
            var entries = (await database.QueryAsync<(string User, string Cause, long Points)>("SELECT user_id, cause_id, points FROM points_entries")).ToLookup(entry => entry.User);
            foreach (var (user, record) in told)
            {
                var row = Assert.Single(rows[user]);
                Assert.Equal(row, Assert.Single(entries[user]));
                Assert.StartsWith($$"""{"date":"{{row.Day}}","points":{{row.Points}},""", record, StringComparison.Ordinal);
            }

            Assert.Empty(await RewardsNode.FaultsAsync(database));
            if (everybody)
            {
                Assert.Equal((Users, Users, Users), (told.Count, rows.Count, entries.Count));
                foreach (var (user, token) in users.Take(20))
                {
                    Assert.Equal(10, (long)(await server.UserAsync(HttpMethod.Get, "/v1/me", token)).Json["points"]!["balance"]!);
                    Assert.Equal(told[user], (await server.UserAsync(HttpMethod.Post, "/v1/check-ins", token)).Text);
                }
            }
        }
    }
}

using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>The SQL server dies under a running shop and comes back: nothing that was acknowledged is lost or doubled, and nobody restarts the shop.</summary>
public sealed class MariaDbGoneTests(ITestOutputHelper output)
{
    private const int Stock = 600, BuyerCount = 1_500;

    [Theory]
    [InlineData("Logged")]
    [InlineData("Committed")]
    public async Task MariaDb_KilledInMidRushAndStartedAgain_LosesAndDoublesNothing(string durability)
    {
        await using var sql = await MariaDbServer.StartAsync();
        await using var server = await SluiceServer.StartAsync(
            [.. Drills.NoRateLimit, $"Sql:Connection={await sql.NewDatabaseAsync()}", $"Pools:Durability={durability}", "WriteQueue:BatchRowsMax=25", "Pools:CommitWaitMax=00:00:02"]);
        var buyers = await Rush.BuyersAsync(server, BuyerCount);
        for (var round = 0; round < 3; round++)
        {
            var random = new Random(HashCode.Combine(Drills.Seed, round));
            var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
            using var rush = new Rush(server, ledger, buyers);
            using var stop = new CancellationTokenSource();
            var enough = ledger.WhenCountIs(random.Next(Stock));
            var pressing = rush.PressAsync(stop.Token);
            await enough.WaitAsync(TimeSpan.FromMinutes(3));
            await sql.KillAsync();
            var before = ledger.Count;

            // While it is gone: what needs SQL is told when to come back. (Claims need it not, or wait for it in vain.)
            var cancel = await server.UserAsync(HttpMethod.Post, "/v1/orders/1/cancel", buyers[0].Token);
            Assert.Equal((503, "unavailable"), (cancel.Status, cancel.Code));
            Assert.NotNull(cancel.RetryAfter);
            Assert.DoesNotContain(MariaDbServer.Password, cancel.Text, StringComparison.Ordinal);
            await Drills.MomentAsync(random, 1_000);
            await sql.BeginAsync();
            await stop.CancelAsync();
            await pressing;
            await rush.SettleAsync();
            var audited = await ledger.AuditAsync(server);
            Assert.Equal(Stock, audited.Sold);
            output.WriteLine($"seed {Drills.Seed} round {round}: MariaDB killed after {before} acknowledgements, {rush.Unavailable} answers of 503; {ledger.Count} acknowledged, 0 lost, 0 doubled");
        }

        Assert.DoesNotContain(MariaDbServer.Password, server.Process.Output, StringComparison.Ordinal);
    }

    // The driver goes on waiting for what was given up. Were the connection used again, each question on it would be answered with the answer to the one before.
    [Fact]
    public async Task Connection_GivenUpWhileItsTransactionBegan_IsNeverUsedAgain()
    {
        await using var sql = await MariaDbServer.StartAsync();
        var options = new SqlOptions { Connection = await sql.NewDatabaseAsync(), ConnectionsMax = 1, ConnectTimeMax = TimeSpan.FromSeconds(1), StatementTimeMax = TimeSpan.FromSeconds(1) };
        using var folder = new TempFolder();
        using var database = new Database(options, folder.Path);
        for (var hangs = 0; hangs < 3; hangs++)
        {
            Assert.Equal(hangs, await AskAsync(hangs));
            sql.Process.Stop();
            try
            {
                await Assert.ThrowsAsync<DependencyUnavailableException>(() => AskAsync(-1));
                await Assert.ThrowsAsync<DependencyUnavailableException>(() => database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync("SELECT 1", transaction: transaction)));
            }
            finally
            {
                sql.Process.Continue();
            }

            for (var question = 100; question < 120; question++)
            {
                Assert.Equal(question, await AskAsync(question));
            }
        }

        Task<int> AskAsync(int question) => database.ReadAsync(connection => connection.QuerySingleAsync<int>("SELECT @question", new { question }));
    }

    [Fact]
    public async Task Start_WithoutItsSqlServer_SaysSoAndEnds()
    {
        await using var sql = await MariaDbServer.StartAsync();
        var connection = await sql.NewDatabaseAsync();
        using var folder = new TempFolder();
        var (wrong, _, wrongSays) = await SluiceCommand.RunAsync("serve", "--data", folder.Path, "--set", $"Sql:Connection={connection.Replace(MariaDbServer.Password, "wrong-one", StringComparison.Ordinal)}");
        var (missing, _, missingSays) = await SluiceCommand.RunAsync("serve", "--data", folder.Path, "--set", $"Sql:Connection={connection}_missing");
        await sql.KillAsync();
        var (gone, _, goneSays) = await SluiceCommand.RunAsync("serve", "--data", folder.Path, "--set", $"Sql:Connection={connection}");
        var (nonsense, _, nonsenseSays) = await SluiceCommand.RunAsync("serve", "--data", folder.Path, "--set", $"Sql:Connection=Server=here;Password={MariaDbServer.Password};Colour=red");

        Assert.Equal((3, 3, 3, 2), (wrong, missing, gone, nonsense));
        Assert.Contains("Access denied", wrongSays, StringComparison.Ordinal);
        Assert.Contains("Unknown database", missingSays, StringComparison.Ordinal);
        Assert.Contains("sluice: sql: cannot use MySQL at 127.0.0.1", goneSays, StringComparison.Ordinal);
        Assert.Contains("Sql:Connection: '…' is out of bounds; write 'embedded', or Server=", nonsenseSays, StringComparison.Ordinal);
        Assert.All([wrongSays, missingSays, goneSays, nonsenseSays], says =>
        {
            Assert.DoesNotContain(MariaDbServer.Password, says, StringComparison.Ordinal);
            Assert.DoesNotContain("   at ", says, StringComparison.Ordinal);
        });
    }
}

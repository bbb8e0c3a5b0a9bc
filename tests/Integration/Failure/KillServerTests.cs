using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>kill -9 of the whole server, again and again on one folder: what was acknowledged is there afterwards, once.</summary>
[Collection(Drills.Name)]
public sealed class KillServerTests(ITestOutputHelper output)
{
    private const int Stock = 500, Buyers = 2_000;

    [Fact]
    public Task Server_KilledInMidRush_KeepsEveryAcknowledgedClaim() => KillAsync("Logged", Drills.KillRounds(20));

    [Fact]
    public Task ServerThatCommitsFirst_KilledInMidRush_KeepsEveryAcknowledgedClaim() => KillAsync("Committed", rounds: 3);

    // As if its log had been torn, or a person had thought it was a cache.
    [Fact]
    public Task Server_KilledAndItsEmbeddedRedisDeleted_KeepsEveryAcknowledgedClaim() => KillAsync("Logged", rounds: 4, losesRedis: true);

    private async Task KillAsync(string durability, int rounds, bool losesRedis = false)
    {
        await using var server = await SluiceServer.StartAsync([.. Drills.NoRateLimit, $"Pools:Durability={durability}"]);
        var buyers = await Rush.BuyersAsync(server, Buyers);
        var kills = 0;
        long promised = 0;
        for (var round = 0; round < rounds; round++)
        {
            var random = new Random(HashCode.Combine(Drills.Seed, round));
            var sale = await server.OpenSaleAsync(Stock);
            var ledger = new Ledger(sale, Stock);
            using var rush = new Rush(server, ledger, buyers);

            // One kill in three at any moment, the others after any number of acknowledgements: the selling is over in tenths of a second.
            using var stop = new CancellationTokenSource();
            var enough = ledger.WhenCountIs(random.Next(Stock));
            var pressing = rush.PressAsync(stop.Token);
            await (round % 3 == 0 ? Drills.MomentAsync(random, 1_500) : enough.WaitAsync(TimeSpan.FromMinutes(3)));
            var before = ledger.Count;
            await KillServerAsync();
            await stop.CancelAsync();
            await pressing;

            if (random.Next(3) == 0)
            {
                // And again while it recovers, with those who were not answered already knocking.
                server.Launch();
                var asking = rush.SettleAsync();
                await Drills.MomentAsync(random, 2_500);
                await KillServerAsync();
                await server.BeginAsync();
                await asking;
            }
            else
            {
                await server.BeginAsync();
            }

            await rush.SettleAsync();
            var audited = await ledger.AuditAsync(server);
            Assert.Equal(Stock, audited.Sold);
            promised += ledger.Count;
            output.WriteLine($"seed {Drills.Seed} round {round}: killed after {before} acknowledgements; {ledger.Count} acknowledged, 0 lost");
        }

        output.WriteLine($"{durability}: {kills} kills, {promised} claims acknowledged, 0 lost");

        async Task KillServerAsync()
        {
            await server.KillAsync();
            kills++;
            if (losesRedis && Directory.Exists(Path.Combine(server.Data, "garnet")))
            {
                Directory.Delete(Path.Combine(server.Data, "garnet"), recursive: true);
            }
        }
    }
}

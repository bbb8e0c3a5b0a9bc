using Dapper;
using Microsoft.Data.Sqlite;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>Somebody else holds SQLite's write lock: claims go on, what needs SQL says when to come back, and afterwards everything is written.</summary>
public sealed class SqlLockedTests(ITestOutputHelper output)
{
    private const int Stock = 500;

    [Fact]
    public async Task Database_LockedByAnotherProcess_ClaimsGoOnAndTheRestComesBack()
    {
        await using var server = await SluiceServer.StartAsync([.. Drills.NoRateLimit, "Sql:LockWaitMax=00:00:01"]);
        var buyers = await Rush.BuyersAsync(server, Stock);
        var ledger = new Ledger(await server.OpenSaleAsync(Stock), Stock);
        using (var first = new Rush(server, ledger, [.. buyers.Take(100)]))
        {
            await first.PressOnceAsync();
            await ledger.AuditAsync(server);
        }

        var early = ledger.Claims.Take(2).ToList();
        var tokens = buyers.ToDictionary(buyer => buyer.User, buyer => buyer.Token);
        await using (var other = new SqliteConnection($"Data Source={Path.Combine(server.Data, "sluice.db")};Pooling=False"))
        {
            await other.OpenAsync();
            await other.ExecuteAsync("BEGIN IMMEDIATE");

            // Everybody who comes is accepted: claims need no SQL. The rush records a 503 as an answer, so it is counted here.
            using var rush = new Rush(server, ledger, [.. buyers.Skip(100)]);
            await rush.PressOnceAsync();
            Assert.Equal((Stock, 0), (ledger.Count, rush.Unavailable));

            var cancel = await server.UserAsync(HttpMethod.Post, $"/v1/orders/{early[0].ClaimId}/cancel", tokens[early[0].User]);
            var pay = await server.PayAsync(early[1].ClaimId, "pay-locked", 4_900);
            foreach (var answer in new[] { cancel, pay })
            {
                Assert.Equal((503, "unavailable"), (answer.Status, answer.Code));
                Assert.NotNull(answer.RetryAfter);
            }

            await other.ExecuteAsync("ROLLBACK");
        }

        // By itself: the queue is written, and the same requests find their way.
        var audited = await ledger.AuditAsync(server);
        Assert.Equal(Stock, audited.Sold);
        Assert.Equal(200, (await server.UserAsync(HttpMethod.Post, $"/v1/orders/{early[0].ClaimId}/cancel", tokens[early[0].User])).Status);
        Assert.Equal("applied", (string?)(await server.PayAsync(early[1].ClaimId, "pay-locked", 4_900)).Json["outcome"]);
        audited = await ledger.AuditAsync(server);
        Assert.Equal((Stock - 1, 1), (audited.Sold, audited.Left));
        output.WriteLine($"{Stock - 100} claims accepted while SQL was locked, 0 lost");
    }
}

using System.Globalization;
using Dapper;
using MySqlConnector;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>A shop that reads order pages at a replica: whatever the replica does, a buyer sees the own orders as they are.</summary>
public sealed class SqlReaderBehindTests
{
    [Fact]
    public async Task Buyer_WhoseReaderStandsStillOrDies_SeesTheOwnOrdersAsTheyAre()
    {
        await using var primary = await MariaDbServer.StartAsync();
        await using var replica = await MariaDbServer.StartReplicaAsync(primary);
        var connection = await primary.NewDatabaseAsync();
        await using var server = await SluiceServer.StartAsync([$"Sql:Connection={connection}", $"Sql:Readers:0={replica.SameAs(connection)}"]);
        Assert.DoesNotContain(MariaDbServer.Password, server.Process.Output, StringComparison.Ordinal);
        var token = await server.TokenAsync("u-1");
        var ids = new List<string>();

        // The replica has all of it, and is asked.
        var before = await ReadsAsync(replica);
        await BuyAsync();
        await Eventually.TrueAsync(
            async () =>
            {
                await AssertSeenAsync("pending");
                return await ReadsAsync(replica) > before;
            },
            "the replica is asked");

        await replica.DoAsync("STOP SLAVE SQL_THREAD");
        for (var i = 0; i < 3; i++)
        {
            await BuyAsync();
            await AssertSeenAsync("pending");
        }

        foreach (var id in ids)
        {
            Assert.Equal(200, (await server.UserAsync(HttpMethod.Post, $"/v1/orders/{id}/cancel", token)).Status);
        }

        await AssertSeenAsync("cancelled");
        Assert.Equal("holds", (string?)(await server.SettledCertificateAsync(ids.Count > 0 ? await SaleOfAsync(ids[^1]) : ""))["verdict"]);
        await replica.KillAsync();
        await BuyAsync();
        await AssertSeenAsync("pending", ids[^1]);

        async Task BuyAsync()
        {
            var claim = await server.ClaimAsync(await server.OpenSaleAsync(5), token, string.Create(CultureInfo.InvariantCulture, $"reader-behind-{ids.Count:00000}"), prefer: "wait=10");
            Assert.Equal(201, claim.Status);
            ids.Add(claim.ClaimId);
        }

        async Task<string> SaleOfAsync(string id) => (string)(await server.UserAsync(HttpMethod.Get, $"/v1/orders/{id}", token)).Json["saleId"]!;

        async Task AssertSeenAsync(string state, string? only = null)
        {
            var page = (await server.UserAsync(HttpMethod.Get, "/v1/orders", token)).Json["items"]!.AsArray();
            Assert.Equal(ids.AsEnumerable().Reverse(), page.Select(order => (string)order!["id"]!));
            Assert.All(page.Where(order => only is null || (string)order!["id"]! == only), order => Assert.Equal(state, (string?)order!["state"]));
            foreach (var id in only is null ? ids : [only])
            {
                Assert.Equal(state, (string?)(await server.UserAsync(HttpMethod.Get, $"/v1/orders/{id}", token)).Json["state"]);
            }
        }
    }

    private static async Task<long> ReadsAsync(MariaDbServer replica)
    {
        await using var connection = new MySqlConnection(replica.Connection("mysql"));
        return long.Parse((await connection.QuerySingleAsync<(string, string)>("SHOW GLOBAL STATUS LIKE 'Com_begin'")).Item2, CultureInfo.InvariantCulture);
    }
}

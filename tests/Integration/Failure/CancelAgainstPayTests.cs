using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>The buyer cancels while the payment comes in: one of the two wins, everywhere.</summary>
public sealed class CancelAgainstPayTests(ITestOutputHelper output)
{
    private const int Races = 1_000, AtOnce = 25;

    [Fact]
    public async Task CancelAndPay_RacingAThousandTimes_ExactlyOneWinsEachTime()
    {
        await using var server = await SluiceServer.StartAsync(Drills.NoRateLimit);
        output.WriteLine(await RaceAsync(server, Races));
    }

    /// <summary>So many races of a buyer who cancels against a payment that comes in. Returns how they ended.</summary>
    /// <param name="headStartMsMax">The payment is sent so much before the cancellation at most, in every other race: where it has the longer way, it would never win.</param>
    internal static async Task<string> RaceAsync(SluiceServer server, int races, int headStartMsMax = 0)
    {
        var random = new Random(Drills.Seed);
        var buyers = await Rush.BuyersAsync(server, races);
        var ledger = new Ledger(await server.OpenSaleAsync(races), races);
        using var rush = new Rush(server, ledger, buyers);
        await rush.PressOnceAsync();
        await ledger.AuditAsync(server);

        var tokens = buyers.ToDictionary(buyer => buyer.User, buyer => buyer.Token);
        var (cancelled, paid) = (0, 0);
        foreach (var batch in ledger.Claims.Chunk(AtOnce))
        {
            await Task.WhenAll(batch.Select(async (claim, i) =>
            {
                if (await RaceAsync(server, claim, tokens[claim.User], cancelFirst: i % 2 == 0, headStartMsMax == 0 ? Task.CompletedTask : Drills.MomentAsync(random, headStartMsMax)))
                {
                    Interlocked.Increment(ref cancelled);
                }
                else
                {
                    Interlocked.Increment(ref paid);
                }
            }));
        }

        var audited = await ledger.AuditAsync(server);
        Assert.Equal(races, cancelled + paid);
        Assert.Equal((paid, cancelled), (audited.Sold, audited.Left));
        return $"{races} races: {cancelled} cancelled, {paid} paid, none both, none neither";
    }

    // Two cancels and two callbacks of one payment at once; then both once more, and money that comes too late. True when the cancellation won.
    private static async Task<bool> RaceAsync(SluiceServer server, Acknowledged claim, string token, bool cancelFirst, Task headStart)
    {
        var (order, payment) = (claim.ClaimId, $"pay-{claim.ClaimId}");
        Task<Answer> CancelAsync() => server.UserAsync(HttpMethod.Post, $"/v1/orders/{order}/cancel", token);
        Task<Answer>[] Cancels() => [CancelAsync(), CancelAsync()];
        Task<Answer>[] Pays() => [server.PayAsync(order, payment, 4_900), server.PayAsync(order, payment, 4_900)];
        Task<Answer>[] cancels, pays;
        if (cancelFirst)
        {
            (cancels, pays) = (Cancels(), Pays());
        }
        else
        {
            pays = Pays();
            await headStart;
            cancels = Cancels();
        }

        var (cancel, cancelAgain) = (await cancels[0], await cancels[1]);
        var outcomes = new[] { Outcome(await pays[0]), Outcome(await pays[1]) };

        var cancelWon = cancel.Status == 200;
        Assert.True(cancel.Status == cancelAgain.Status, $"one cancel was answered {cancel.Status}, the other {cancelAgain.Status}");
        Assert.True(cancelWon || (cancel.Status, cancel.Code) == (409, "order-paid"), cancel.Text);
        Assert.Equal(cancelWon ? ["refund-due", "refund-due"] : ["already-applied", "applied"], outcomes.Order(StringComparer.Ordinal));

        // Once more, and nothing changes. Other money for the same order has to go back, whoever won.
        Assert.Equal(cancel.Status, (await CancelAsync()).Status);
        Assert.Equal(cancelWon ? "refund-due" : "already-applied", Outcome(await server.PayAsync(order, payment, 4_900)));
        Assert.Equal("refund-due", Outcome(await server.PayAsync(order, $"late-{order}", 4_900)));
        var state = (string?)(await server.UserAsync(HttpMethod.Get, $"/v1/orders/{order}", token)).Json["state"];
        Assert.Equal(cancelWon ? "cancelled" : "paid", state);
        return cancelWon;
    }

    private static string Outcome(Answer answer)
    {
        Assert.True(answer.Status == 200, answer.Text);
        return (string)answer.Json["outcome"]!;
    }
}

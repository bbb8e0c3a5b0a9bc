using Sluice.LoadTester.Claims;

namespace Sluice.LoadTester.Audit;

/// <summary>Reads the server's book after the rush: the certificate once nothing is being written, and every acknowledged claim.</summary>
internal sealed class EvidenceCollector(ShopClient shop, RunClock clock, TimeProvider time)
{
    // Released claims are looked at one by one, so they are bounded; a rush of minutes has few.
    private const int ReleasedMax = 2_000;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    /// <returns>The first certificate that is not settling any more, or the last one before the deadline.</returns>
    /// <exception cref="CannotRunException">No certificate could be had at all.</exception>
    public async Task<Certificate> WaitUntilSettledAsync(string poolId, TimeSpan timeout, CancellationToken cancellation)
    {
        var deadline = clock.Now + timeout;
        Certificate? last = null;
        while (true)
        {
            if (await shop.TryGetCertificateAsync(poolId, cancellation) is { } received)
            {
                last = Certificate.From(received);
            }

            if (last is { IsSettling: false })
            {
                return last;
            }

            if (clock.Now >= deadline)
            {
                return last ?? throw new CannotRunException(
                    $"The rush is over, but no certificate of pool {poolId} could be had within {timeout.TotalSeconds:0} s.");
            }

            await Task.Delay(Pause, time, cancellation);
        }
    }

    /// <exception cref="CannotRunException">The server did not answer a lookup within the time.</exception>
    public async Task<Dictionary<string, FoundClaim>> LookUpAsync(Ledger ledger, TimeSpan timeout, CancellationToken cancellation)
    {
        var deadline = clock.Now + timeout;
        var found = new Dictionary<string, FoundClaim>(StringComparer.Ordinal);
        foreach (var batch in ledger.Acknowledgements.Select(a => a.ClaimId).Distinct(StringComparer.Ordinal).Chunk(ShopClient.BatchMax))
        {
            LookupAnswer? answer;
            while ((answer = await shop.TryLookupAsync(batch, cancellation)) is null)
            {
                if (clock.Now >= deadline)
                {
                    throw new CannotRunException($"POST /v1/claims/lookup gave no answer within {timeout.TotalSeconds:0} s.");
                }

                await Task.Delay(Pause, time, cancellation);
            }

            foreach (var item in answer.Items)
            {
                found[item.ClaimId] = item;
            }
        }

        return found;
    }

    /// <summary>The released claims whose order is cancelled or expired.</summary>
    public async Task<HashSet<string>> GivenBackAsync(IReadOnlyDictionary<string, FoundClaim> found, CancellationToken cancellation)
    {
        var givenBack = new HashSet<string>(StringComparer.Ordinal);
        foreach (var claim in found.Values.Where(claim => claim.State == "released").Take(ReleasedMax))
        {
            if (await shop.TryGetClaimAsync(claim.ClaimId, cancellation) is { Order.State: "cancelled" or "expired" })
            {
                givenBack.Add(claim.ClaimId);
            }
        }

        return givenBack;
    }
}

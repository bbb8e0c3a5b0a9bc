using System.Diagnostics.Metrics;

namespace Sluice.Platform.Pools;

/// <summary>What operators watch. Counters are bumped once for each batch, never for each claim.</summary>
public sealed class PoolMetrics : IDisposable
{
    public const string MeterName = "Sluice";

    private static readonly (char Letter, KeyValuePair<string, object?> Outcome)[] Outcomes =
    [
        Outcome('A', "accepted"), Outcome('S', "already-claimed"), Outcome('K', "key-reused"), Outcome('L', "limit-reached"), Outcome('X', "sold-out"),
        Outcome('N', "not-open"), Outcome('C', "closed"), Outcome('P', "paused"), Outcome('Q', "queue-full"), Outcome('F', "rebuilding"), Outcome('M', "rebuilding"),
    ];

    private readonly Meter meter = new(MeterName);
    private readonly Counter<long> claims;
    private readonly Counter<long> claimsBySql;
    private readonly Histogram<int> batchClaims;
    private readonly Histogram<double> batchSeconds;
    private readonly Counter<long> written;
    private readonly Counter<long> rejected;

    /// <summary>Of this node alone: in tests several nodes are in one process.</summary>
    public Meter Meter => meter;

    public PoolMetrics()
    {
        claims = meter.CreateCounter<long>("sluice_claims", description: "Claims answered by Redis, by outcome");
        claimsBySql = meter.CreateCounter<long>("sluice_claims_without_redis", description: "Claims that came to SQL while Redis was away, by outcome; 'unavailable' was told 503");
        batchClaims = meter.CreateHistogram(
            "sluice_claim_batch_size", description: "Claims in one script call", advice: new InstrumentAdvice<int> { HistogramBucketBoundaries = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512] });
        batchSeconds = meter.CreateHistogram(
            "sluice_claim_batch", "s", "Script call and ack barrier of one batch",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5] });
        written = meter.CreateCounter<long>("sluice_claims_written", description: "Claims committed to SQL");
        rejected = meter.CreateCounter<long>("sluice_claims_rejected", description: "Acknowledged claims that SQL refused; must stay 0, but for buyers who asked again while Redis was away");
    }

    /// <summary>One batch was answered; <paramref name="letters"/> as Claim.lua gives them.</summary>
    public void Answered(string letters, TimeSpan took)
    {
        batchClaims.Record(letters.Length);
        batchSeconds.Record(took.TotalSeconds);
        foreach (var (letter, outcome) in Outcomes)
        {
            var count = letters.AsSpan().Count(letter);
            if (count > 0)
            {
                claims.Add(count, outcome);
            }
        }
    }

    /// <summary>Claims that came to SQL in the place of Redis were answered.</summary>
    /// <param name="outcome">Null: nothing is set aside, all of it is sold, or more came than SQL takes in a second.</param>
    public void AnsweredBySql(ClaimOutcome? outcome, int count) => claimsBySql.Add(count, new KeyValuePair<string, object?>("outcome", outcome switch
    {
        ClaimOutcome.Accepted => "accepted",
        ClaimOutcome.AlreadyClaimed => "already-claimed",
        ClaimOutcome.KeyReused => "key-reused",
        ClaimOutcome.LimitReached => "limit-reached",
        ClaimOutcome.SoldOut => "sold-out",
        ClaimOutcome.NotOpen => "not-open",
        ClaimOutcome.Closed => "closed",
        ClaimOutcome.Paused => "paused",
        null => "unavailable",
    }));

    /// <summary>One batch was committed.</summary>
    public void Committed(int claimsWritten, int claimsRejected)
    {
        written.Add(claimsWritten);

        // Nothing is counted too: an alert can tell "none" from "nobody says".
        rejected.Add(claimsRejected);
    }

    public void Dispose() => meter.Dispose();

    private static (char Letter, KeyValuePair<string, object?> Outcome) Outcome(char letter, string name) => (letter, new("outcome", name));
}

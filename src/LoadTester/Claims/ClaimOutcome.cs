namespace Sluice.LoadTester.Claims;

/// <summary>What an answer to a claim means to the buyer (docs/http-api.md, "Claims").</summary>
internal enum ClaimOutcome
{
    /// <summary>202 or 201: Sluice keeps the claim.</summary>
    Accepted,

    /// <summary>200: the buyer has this claim already.</summary>
    Repeated,

    SoldOut,

    /// <summary>409 limit-reached.</summary>
    Limited,

    NotOpen,
    Closed,
    Paused,

    /// <summary>429: not accepted; come again later.</summary>
    RateLimited,

    /// <summary>5xx: not known. Ask again with the same key.</summary>
    ServerError,

    /// <summary>No connection, cut off or timed out: not known. Ask again with the same key.</summary>
    NoAnswer,

    /// <summary>An answer that the contract does not have for a well-formed claim.</summary>
    Unexpected,
}

/// <param name="Code">The problem's code, for refusals.</param>
/// <param name="ClaimId">Present when accepted or repeated.</param>
internal readonly record struct ClaimAnswer(ClaimOutcome Outcome, int Status, string? ClaimId, string? Code, TimeSpan? RetryAfter)
{
    public bool IsAcknowledgement => Outcome is ClaimOutcome.Accepted or ClaimOutcome.Repeated;

    /// <summary>The claim may or may not be held: only asking again with the same key can tell.</summary>
    public bool IsInDoubt => Outcome is ClaimOutcome.ServerError or ClaimOutcome.NoAnswer;

    public static ClaimAnswer None { get; } = new(ClaimOutcome.NoAnswer, 0, null, null, null);

    public static ClaimAnswer From(int status, string? claimId, string? code, TimeSpan? retryAfter)
    {
        var outcome = (status, code) switch
        {
            // An acknowledgement without a claim id is no acknowledgement: nobody could find the claim again.
            (200 or 201 or 202, _) when string.IsNullOrEmpty(claimId) => ClaimOutcome.Unexpected,
            (201 or 202, _) => ClaimOutcome.Accepted,
            (200, _) => ClaimOutcome.Repeated,
            (409, "sold-out") => ClaimOutcome.SoldOut,
            (409, "limit-reached") => ClaimOutcome.Limited,
            (409, "not-open") => ClaimOutcome.NotOpen,
            (409, "closed") => ClaimOutcome.Closed,
            (409, "paused") => ClaimOutcome.Paused,
            (429, _) => ClaimOutcome.RateLimited,
            ( >= 500, _) => ClaimOutcome.ServerError,
            _ => ClaimOutcome.Unexpected,
        };
        return new ClaimAnswer(outcome, status, outcome is ClaimOutcome.Accepted or ClaimOutcome.Repeated ? claimId : null, code, retryAfter);
    }
}

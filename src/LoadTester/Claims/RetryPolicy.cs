namespace Sluice.LoadTester.Claims;

/// <summary>
/// When a buyer asks again by itself, and how often at most. Claims in doubt are asked again long enough to outlive a restart of the
/// server; refusals that a wait can cure, a few times.
/// </summary>
internal static class RetryPolicy
{
    public const int InDoubtAttemptsMax = 60;
    public const int RefusedAttemptsMax = 8;
    public static readonly TimeSpan InDoubtFor = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan FirstBackoff = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan BackoffMax = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan RetryAfterMax = TimeSpan.FromSeconds(5);

    /// <param name="attempts">Attempts made, at least 1.</param>
    /// <param name="age">Time since the planned moment of the click.</param>
    /// <param name="jitter">0–1; spreads the crowd that was cut off together.</param>
    /// <returns>How long to wait before asking again, or null when the answer is final or patience is over.</returns>
    public static TimeSpan? Wait(ClickRole role, in ClaimAnswer answer, int attempts, TimeSpan age, double jitter)
    {
        var attemptsMax = answer.Outcome switch
        {
            ClaimOutcome.ServerError or ClaimOutcome.NoAnswer => age < InDoubtFor ? InDoubtAttemptsMax : 0,
            ClaimOutcome.RateLimited => RefusedAttemptsMax,

            // A knock is meant to be refused. A claim is not: the server's clock may run a little behind the plan's.
            ClaimOutcome.NotOpen => role == ClickRole.Knock ? 0 : RefusedAttemptsMax,
            ClaimOutcome.Accepted or ClaimOutcome.Repeated or ClaimOutcome.SoldOut or ClaimOutcome.Limited or ClaimOutcome.Closed
                or ClaimOutcome.Paused or ClaimOutcome.Unexpected => 0,
        };
        if (attempts >= attemptsMax)
        {
            return null;
        }

        var backoff = FirstBackoff * Math.Pow(2, Math.Min(attempts - 1, 10));
        backoff = (backoff < BackoffMax ? backoff : BackoffMax) * (0.5 + (jitter / 2));
        if (answer.RetryAfter is { } told && told > backoff)
        {
            // Jitter on top, never below: the server said "not before".
            backoff = (told < RetryAfterMax ? told : RetryAfterMax) + (FirstBackoff * jitter);
        }

        return backoff;
    }
}

using Sluice.LoadTester.Claims;
using Sluice.LoadTester.Measurements;
using Xunit;

namespace Sluice.Tests.Unit.LoadTester;

public sealed class ClaimAnswerTests
{
    [Theory]
    [InlineData(202, "7", null, nameof(ClaimOutcome.Accepted))]
    [InlineData(201, "7", null, nameof(ClaimOutcome.Accepted))]
    [InlineData(200, "7", null, nameof(ClaimOutcome.Repeated))]
    [InlineData(202, null, null, nameof(ClaimOutcome.Unexpected))]
    [InlineData(200, "", null, nameof(ClaimOutcome.Unexpected))]
    [InlineData(409, null, "sold-out", nameof(ClaimOutcome.SoldOut))]
    [InlineData(409, null, "limit-reached", nameof(ClaimOutcome.Limited))]
    [InlineData(409, null, "not-open", nameof(ClaimOutcome.NotOpen))]
    [InlineData(409, null, "closed", nameof(ClaimOutcome.Closed))]
    [InlineData(409, null, "paused", nameof(ClaimOutcome.Paused))]
    [InlineData(409, null, "something-new", nameof(ClaimOutcome.Unexpected))]
    [InlineData(429, null, "rate-limited", nameof(ClaimOutcome.RateLimited))]
    [InlineData(500, null, null, nameof(ClaimOutcome.ServerError))]
    [InlineData(503, null, "queue-full", nameof(ClaimOutcome.ServerError))]
    [InlineData(401, null, "unauthorized", nameof(ClaimOutcome.Unexpected))]
    [InlineData(422, null, "idempotency-key-reused", nameof(ClaimOutcome.Unexpected))]
    public void From_StatusAndCode_IsOneOutcome(int status, string? claimId, string? code, string outcome)
    {
        var answer = ClaimAnswer.From(status, claimId, code, null);
        Assert.Equal(Enum.Parse<ClaimOutcome>(outcome), answer.Outcome);
        Assert.Equal(answer.IsAcknowledgement, answer.ClaimId is not null);
        Assert.Equal(status >= 500, answer.IsInDoubt);
    }

    [Fact]
    public void Read_NestedFields_AreNotTakenForTheClaims()
    {
        var (claimId, code) = ClaimBody.Read("""{"claimId":"7","code":"sold-out","claimIds":["8"],"order":{"claimId":"9","code":"x"}}"""u8);
        Assert.Equal(("7", "sold-out"), (claimId, code));
    }

    [Theory]
    [InlineData("")]
    [InlineData("<html>Bad gateway</html>")]
    [InlineData("""{"claimId":12}""")]
    [InlineData("""{"other":"x","claim""")]
    public void Read_BodyThatIsNoClaim_GivesNoId(string body) => Assert.Null(ClaimBody.Read(System.Text.Encoding.UTF8.GetBytes(body)).ClaimId);

    [Fact]
    public void Wait_InDoubt_GoesOnThroughARestartButNotForEver()
    {
        var total = TimeSpan.Zero;
        var attempts = 1;
        while (RetryPolicy.Wait(ClickRole.Claim, ClaimAnswer.None, attempts, total, 1) is { } wait)
        {
            Assert.InRange(wait, TimeSpan.FromMilliseconds(25), TimeSpan.FromSeconds(2));
            total += wait;
            attempts++;
        }

        Assert.InRange(total, TimeSpan.FromSeconds(30), RetryPolicy.InDoubtFor + TimeSpan.FromSeconds(2));
        Assert.True(attempts <= RetryPolicy.InDoubtAttemptsMax);
    }

    [Fact]
    public void Wait_WithRetryAfter_IsNeverShorterThanTold()
    {
        var answer = ClaimAnswer.From(503, null, "queue-full", TimeSpan.FromSeconds(1));
        Assert.True(RetryPolicy.Wait(ClickRole.Claim, answer, 1, TimeSpan.Zero, 0) >= TimeSpan.FromSeconds(1));
    }

    [Theory]
    [InlineData(nameof(ClickRole.Knock), false)]
    [InlineData(nameof(ClickRole.Claim), true)]
    public void Wait_NotOpen_IsFinalForAKnockOnly(string role, bool again) => Assert.Equal(again,
        RetryPolicy.Wait(Enum.Parse<ClickRole>(role), ClaimAnswer.From(409, null, "not-open", null), 1, TimeSpan.Zero, 0) is not null);

    [Theory]
    [InlineData("sold-out")]
    [InlineData("limit-reached")]
    public void Wait_DefiniteRefusal_IsFinal(string code) =>
        Assert.Null(RetryPolicy.Wait(ClickRole.Claim, ClaimAnswer.From(409, null, code, null), 1, TimeSpan.Zero, 0));

    [Fact]
    public void Add_EveryOutcome_IsCountedOnce()
    {
        var counts = default(OutcomeCounts);
        foreach (var outcome in Enum.GetValues<ClaimOutcome>())
        {
            counts.Add(outcome, isNew: outcome == ClaimOutcome.Accepted);
        }

        Assert.Equal(Enum.GetValues<ClaimOutcome>().Length, counts.Total);
        Assert.Equal(1, counts.Accepted);
        Assert.Equal(1, counts.Repeated);
    }

    [Fact]
    public void Add_FirstAcknowledgementThatCameAs200_IsAccepted()
    {
        var counts = default(OutcomeCounts);
        counts.Add(ClaimOutcome.Repeated, isNew: true);
        Assert.Equal((1, 0), (counts.Accepted, counts.Repeated));
    }
}

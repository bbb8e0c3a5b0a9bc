using Microsoft.Extensions.Time.Testing;
using Sluice.Platform.Admission;
using Xunit;

namespace Sluice.Tests.Unit.Platform;

public sealed class ClaimsAtOnceTests : IDisposable
{
    private readonly FakeTimeProvider time = new();
    private readonly ClaimsAtOnce atOnce;

    public ClaimsAtOnceTests() => atOnce = new ClaimsAtOnce(new AdmissionOptions { ClaimTimeMax = TimeSpan.FromSeconds(1), ClaimsAtOnceMin = 10 }, limitMax: 1_000, time);

    public void Dispose() => atOnce.Dispose();

    [Fact]
    public void TryEnter_BeyondTheMost_IsRefusedUntilSomebodyLeaves()
    {
        var entered = Enter(1_000);
        Assert.False(atOnce.TryEnter(out _));
        atOnce.Leave(entered[0]);
        Assert.True(atOnce.TryEnter(out _));
    }

    [Fact]
    public void Limit_WhileAnswersComeInTime_Stays()
    {
        for (var i = 0; i < 100; i++)
        {
            Answer(100, after: TimeSpan.FromMilliseconds(500));
        }

        Assert.Equal(1_000, atOnce.Limit);
    }

    [Fact]
    public void Limit_WhenAnswersTakeTooLong_FallsByAFifthOfThoseThereWereAndNotBelowTheLeast()
    {
        Answer(200, after: TimeSpan.FromSeconds(2));
        Assert.Equal(160, atOnce.Limit);
        Answer(160, after: TimeSpan.FromSeconds(2));
        Assert.Equal(128, atOnce.Limit);
        for (var i = 0; i < 50; i++)
        {
            Answer(atOnce.Limit, after: TimeSpan.FromSeconds(2));
        }

        Assert.Equal(10, atOnce.Limit);
        Enter(10);
        Assert.False(atOnce.TryEnter(out _));
    }

    [Fact]
    public void Limit_WhenAnswersComeInTimeAgain_RisesToWhatItWas()
    {
        for (var i = 0; i < 50; i++)
        {
            Answer(Math.Min(200, atOnce.Limit), after: TimeSpan.FromSeconds(2));
        }

        var rounds = 0;
        while (atOnce.Limit < 1_000 && rounds++ < 200)
        {
            Answer(atOnce.Limit, after: TimeSpan.FromMilliseconds(150));
        }

        Assert.Equal(1_000, atOnce.Limit);
        Assert.InRange(rounds, 10, 100);
    }

    // Else a quiet night would end with a limit that a crowd of the morning has never been tried with.
    [Fact]
    public void Limit_WhileFewAsk_DoesNotRise()
    {
        Answer(200, after: TimeSpan.FromSeconds(2));
        Answer(5, after: TimeSpan.FromMilliseconds(150));
        var fallen = atOnce.Limit;
        for (var i = 0; i < 100; i++)
        {
            Answer(5, after: TimeSpan.FromMilliseconds(150));
        }

        Assert.InRange(fallen, 100, 200);
        Assert.Equal(fallen, atOnce.Limit);
    }

    private List<long> Enter(int count) => [.. Enumerable.Range(0, count).Select(_ =>
    {
        Assert.True(atOnce.TryEnter(out var entered));
        return entered;
    })];

    private void Answer(int count, TimeSpan after)
    {
        var entered = Enter(count);
        time.Advance(after);
        entered.Reverse();
        entered.ForEach(atOnce.Leave);
    }
}

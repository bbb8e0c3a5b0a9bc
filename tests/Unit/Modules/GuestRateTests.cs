using Microsoft.Extensions.Time.Testing;
using Sluice.Modules.Accounts;

namespace Sluice.Tests.Unit.Modules;

public sealed class GuestRateTests
{
    private static readonly AccountsOptions Options = new() { GuestsPerSecondMax = 3 };

    private readonly FakeTimeProvider time = new();

    [Fact]
    public void TakeTurn_InOneSecond_IsGivenAsOftenAsItMay()
    {
        var rate = new GuestRate(Options, time);

        Assert.Equal(3, Enumerable.Range(0, 10).Count(_ => rate.TakeTurn()));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(3, Enumerable.Range(0, 10).Count(_ => rate.TakeTurn()));
    }

    // Two nodes in one process, as tests and embedders run them, and a node that was started again.
    [Fact]
    public void TakeTurn_OfAnotherNode_IsCountedByItself()
    {
        var one = new GuestRate(Options, time);
        var another = new GuestRate(Options, time);

        Assert.Equal(3, Enumerable.Range(0, 10).Count(_ => one.TakeTurn()));
        Assert.Equal(3, Enumerable.Range(0, 10).Count(_ => another.TakeTurn()));
    }
}

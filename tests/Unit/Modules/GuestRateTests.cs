using System.Net;
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

        Assert.Equal(3, Enumerable.Range(0, 10).Count(_ => rate.TakeTurn(address: null)));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(3, Enumerable.Range(0, 10).Count(_ => rate.TakeTurn(address: null)));
    }

    [Theory]
    [InlineData("10.0.0.1", "10.0.0.2", true)]
    [InlineData("10.0.0.1", "::ffff:10.0.0.1", false)]
    [InlineData("2001:db8:0:1::1", "2001:db8:0:1:ffff::7", false)]
    [InlineData("2001:db8:0:1::1", "2001:db8:0:2::1", true)]
    public void TakeTurn_OfAnotherAddress_IsItsOwn(string one, string other, bool isItsOwn)
    {
        var rate = new GuestRate(new AccountsOptions { GuestsPerSecondMax = 100, GuestsPerAddressPerSecondMax = 2 }, time);

        Assert.Equal(2, Enumerable.Range(0, 10).Count(_ => rate.TakeTurn(IPAddress.Parse(one))));
        Assert.Equal(isItsOwn, rate.TakeTurn(IPAddress.Parse(other)));
    }

    // Two nodes in one process, as tests and embedders run them, and a node that was started again.
    [Fact]
    public void TakeTurn_OfAnotherNode_IsCountedByItself()
    {
        var one = new GuestRate(Options, time);
        var another = new GuestRate(Options, time);

        Assert.Equal(3, Enumerable.Range(0, 10).Count(_ => one.TakeTurn(address: null)));
        Assert.Equal(3, Enumerable.Range(0, 10).Count(_ => another.TakeTurn(address: null)));
    }
}

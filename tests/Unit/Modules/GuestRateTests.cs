using System.Net;
using Microsoft.Extensions.Time.Testing;
using Sluice.Modules.Accounts;
using Sluice.Platform.Admission;

namespace Sluice.Tests.Unit.Modules;

public sealed class GuestRateTests
{
    private static readonly AccountsOptions Options = new() { GuestsPerSecondMax = 3 };

    private readonly FakeTimeProvider time = new();

    [Fact]
    public async Task TakeTurn_InOneSecond_IsGivenAsOftenAsItMay()
    {
        var rate = new GuestRate(Options, Limits(), time);

        Assert.Equal(3, await TakenAsync(rate, address: null));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(3, await TakenAsync(rate, address: null));
    }

    [Theory]
    [InlineData("10.0.0.1", "10.0.0.2", true)]
    [InlineData("10.0.0.1", "::ffff:10.0.0.1", false)]
    [InlineData("2001:db8:0:1::1", "2001:db8:0:1:ffff::7", false)]
    [InlineData("2001:db8:0:1::1", "2001:db8:0:2::1", true)]
    public async Task TakeTurn_OfAnotherAddress_IsItsOwn(string one, string other, bool isItsOwn)
    {
        var rate = new GuestRate(new AccountsOptions { GuestsPerSecondMax = 100, GuestsPerAddressPerSecondMax = 2 }, Limits(), time);

        Assert.Equal(2, await TakenAsync(rate, IPAddress.Parse(one)));
        Assert.Equal(isItsOwn, await rate.TakeTurnAsync(IPAddress.Parse(other)));
    }

    // Two nodes in one process, as tests and embedders run them, and a node that was started again.
    [Fact]
    public async Task TakeTurn_OfAnotherNode_IsCountedByItself()
    {
        var one = new GuestRate(Options, Limits(), time);
        var another = new GuestRate(Options, Limits(), time);

        Assert.Equal(3, await TakenAsync(one, address: null));
        Assert.Equal(3, await TakenAsync(another, address: null));
    }

    // A node that is alone never asks Redis.
    private RateLimits Limits() => new(new AdmissionOptions(), redis: null!, new ApiNodes(), time);

    private static async Task<int> TakenAsync(GuestRate rate, IPAddress? address)
    {
        var taken = 0;
        for (var i = 0; i < 10; i++)
        {
            taken += await rate.TakeTurnAsync(address) ? 1 : 0;
        }

        return taken;
    }
}

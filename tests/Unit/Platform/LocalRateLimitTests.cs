using Microsoft.Extensions.Time.Testing;
using Sluice.Platform.Admission;
using Xunit;

namespace Sluice.Tests.Unit.Platform;

public sealed class LocalRateLimitTests
{
    private readonly FakeTimeProvider time = new();
    private readonly LocalRateLimit limit;

    public LocalRateLimitTests() => limit = new LocalRateLimit(perSecond: 10, burst: 20, time);

    [Fact]
    public void Check_AtOnce_LetsTheBurstThroughAndNoMore()
    {
        Assert.Equal(20, Enumerable.Range(0, 50).Count(_ => limit.Check("u-1") is null));
    }

    [Fact]
    public void Check_WhenRefused_SaysHowLongToWait()
    {
        Spend();
        Assert.Equal(TimeSpan.FromMilliseconds(100), limit.Check("u-1"));
        time.Advance(TimeSpan.FromMilliseconds(60));
        Assert.Equal(TimeSpan.FromMilliseconds(40), limit.Check("u-1"));
    }

    [Fact]
    public void Check_AfterTheWaitThatItSaid_LetsExactlyOneThrough()
    {
        Spend();
        time.Advance(limit.Check("u-1")!.Value);
        Assert.Null(limit.Check("u-1"));
        Assert.NotNull(limit.Check("u-1"));
    }

    // A refusal costs nothing: who hammers does not move the time further away.
    [Fact]
    public void Check_WhenRefusedOften_WaitsNoLonger()
    {
        Spend();
        Assert.All(Enumerable.Range(0, 100), _ => Assert.Equal(TimeSpan.FromMilliseconds(100), limit.Check("u-1")));
    }

    [Fact]
    public void Check_AtTheAllowedPace_NeverRefuses()
    {
        for (var i = 0; i < 1_000; i++)
        {
            Assert.Null(limit.Check("u-1"));
            time.Advance(TimeSpan.FromMilliseconds(100));
        }
    }

    [Fact]
    public void Check_InTheLongRun_LetsTheRateThrough()
    {
        var passed = 0;
        for (var i = 0; i < 10_000; i++)
        {
            passed += limit.Check("u-1") is null ? 1 : 0;
            time.Advance(TimeSpan.FromMilliseconds(1));
        }

        // Ten seconds at ten a second, and the burst.
        Assert.InRange(passed, 119, 120);
    }

    [Fact]
    public void Check_AfterALongPause_AllowsTheBurstAgainAndNotMore()
    {
        Spend();
        time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(20, Enumerable.Range(0, 50).Count(_ => limit.Check("u-1") is null));
    }

    [Fact]
    public void Check_OneUser_DoesNotSpendAnothers()
    {
        Spend();
        Assert.Null(limit.Check("u-2"));
    }

    [Fact]
    public void Check_FromManyThreads_LetsExactlyTheBurstThrough()
    {
        var passed = 0;
        Parallel.For(0, 1_000, _ => Interlocked.Add(ref passed, limit.Check("u-1") is null ? 1 : 0));
        Assert.Equal(20, passed);
    }

    [Fact]
    public void Check_OfAPart_LetsThatPartThroughAtOnceAndInTheLongRun()
    {
        Assert.Equal(5, Enumerable.Range(0, 50).Count(_ => limit.Check("u-1", part: 4) is null));
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(5, Enumerable.Range(0, 50).Count(_ => limit.Check("u-1", part: 4) is null));
    }

    // Of twenty at once, thirty nodes have one each: nobody is shut out because there are many nodes.
    [Fact]
    public void Check_OfAPartOfLessThanOne_LetsOneThrough() => Assert.Equal(1, Enumerable.Range(0, 50).Count(_ => limit.Check("u-1", part: 60) is null));

    [Fact]
    public void Check_OfLessThanOneASecond_WaitsForSeconds()
    {
        var slow = new LocalRateLimit(perSecond: 0.1, burst: 3, time);
        Assert.Equal(3, Enumerable.Range(0, 50).Count(_ => slow.Check("u-1") is null));
        Assert.Equal(TimeSpan.FromSeconds(10), slow.Check("u-1"));
        time.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(1, Enumerable.Range(0, 50).Count(_ => slow.Check("u-1") is null));
    }

    private void Spend() => Assert.All(Enumerable.Range(0, 20), _ => Assert.Null(limit.Check("u-1")));
}

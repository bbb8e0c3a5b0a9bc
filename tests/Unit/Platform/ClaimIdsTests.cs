using CsCheck;
using Microsoft.Extensions.Time.Testing;
using Sluice.Platform.Hosting;
using Xunit;

namespace Sluice.Tests.Unit.Platform;

public sealed class ClaimIdsTests
{
    private readonly FakeTimeProvider time = new(new DateTimeOffset(2026, 7, 1, 12, 0, 0, TimeSpan.Zero));

    [Fact]
    public void Next_FromManyThreadsAtOnce_IsNeverTheSame()
    {
        var ids = new ClaimIds(3, time);
        var made = new long[8 * 5_000];
        Parallel.For(0, 8, thread =>
        {
            for (var i = 0; i < 5_000; i++)
            {
                made[(thread * 5_000) + i] = ids.Next($"u-{i % 3}");
            }
        });
        Assert.Equal(made.Length, made.Distinct().Count());
        Assert.All(made, id => Assert.True(id > 0));
    }

    [Fact]
    public void Next_ForOneUser_OnlyGoesUp()
    {
        var ids = new ClaimIds(0, time);
        long last = 0;
        for (var i = 0; i < 1_000; i++)
        {
            var id = ids.Next("u-1");
            Assert.True(id > last);
            last = id;
            if (i % 300 == 0)
            {
                time.Advance(TimeSpan.FromMilliseconds(1));
            }
        }
    }

    [Fact]
    public void Next_WhenTheClockIsSetBack_StillGoesUp()
    {
        var ids = new ClaimIds(0, time);
        var before = ids.Next("u-1");
        var back = new ClaimIds(0, new FakeTimeProvider(time.GetUtcNow() - TimeSpan.FromHours(1)));
        back.StartAfter(before);
        Assert.True(back.Next("u-1") > before);
    }

    [Fact]
    public void StartAfter_CoversEveryUserAndNode()
    {
        Gen.Select(Gen.String.AlphaNumeric, Gen.Int[0, 255], Gen.Int[0, 255]).Sample((user, node, other) =>
        {
            var newest = new ClaimIds(node, time).Next("somebody");
            var ids = new ClaimIds(other, new FakeTimeProvider(time.GetUtcNow() - TimeSpan.FromDays(1)));
            ids.StartAfter(newest);
            Assert.True(ClaimIds.TimeOf(ids.Next(user)) > ClaimIds.TimeOf(newest));
        });
    }

    [Fact]
    public void Next_OnDifferentNodes_IsNeverTheSame() =>
        Assert.Equal(256, Enumerable.Range(0, 256).Select(node => new ClaimIds(node, time).Next("u-1")).Distinct().Count());

    [Fact]
    public void TimeOf_IsTheMomentInWhichTheIdWasMade() =>
        Assert.Equal(time.GetUtcNow(), ClaimIds.TimeOf(new ClaimIds(255, time).Next("u-1")));

    [Fact]
    public void Next_CarriesTheUsersBucket() => Gen.String.AlphaNumeric.Sample(user =>
        Assert.Equal(ClaimIds.Bucket(user), (int)(new ClaimIds(9, time).Next(user) >> 7) & 0xff));

    // The bucket decides where rows live: these numbers may never change.
    [Theory]
    [InlineData("", 0xd9)]
    [InlineData("a", 0x20)]
    [InlineData("foobar", 0xf4)]
    public void Bucket_IsTheSameInEveryVersion(string user, int bucket) => Assert.Equal(bucket, ClaimIds.Bucket(user));

    [Fact]
    public void Next_IsPositiveUntil2060()
    {
        var late = new ClaimIds(255, new FakeTimeProvider(new DateTimeOffset(2059, 12, 31, 0, 0, 0, TimeSpan.Zero)));
        Assert.True(late.Next("u-1") > 0);
    }
}

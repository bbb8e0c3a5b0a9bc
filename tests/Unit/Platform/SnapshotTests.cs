using Microsoft.Extensions.Time.Testing;
using Sluice.Platform.Cache;
using Xunit;

namespace Sluice.Tests.Unit.Platform;

public sealed class SnapshotTests
{
    private readonly FakeTimeProvider time = new();
    private readonly Queue<TaskCompletionSource<string>> loads = new();
    private readonly Snapshot<string> snapshot;
    private int loadCount;

    public SnapshotTests() => snapshot = new Snapshot<string>(Load, TimeSpan.FromSeconds(1), time);

    private int Loads => Volatile.Read(ref loadCount);

    [Fact]
    public async Task Get_WhenManyAskAtOnce_LoadsOnce()
    {
        var load = NextLoad();
        var asked = Enumerable.Range(0, 100).Select(_ => snapshot.GetAsync().AsTask()).ToList();
        load.SetResult("one");
        Assert.All(await Task.WhenAll(asked), value => Assert.Equal("one", value));
        Assert.Equal(1, Loads);
    }

    [Fact]
    public async Task Get_WhileYoung_DoesNotLoad()
    {
        await LoadAsync("one");
        time.Advance(TimeSpan.FromMilliseconds(999));
        Assert.Equal("one", await snapshot.GetAsync());
        Assert.Equal(1, Loads);
    }

    [Fact]
    public async Task Get_WhenOld_GivesTheOldOneWhileOneLoads()
    {
        await LoadAsync("one");
        time.Advance(TimeSpan.FromSeconds(1));
        var load = NextLoad();
        Assert.Equal("one", await snapshot.GetAsync());
        Assert.Equal("one", await snapshot.GetAsync());
        load.SetResult("two");
        await UntilAsync("two");
        Assert.Equal(2, Loads);
    }

    [Fact]
    public async Task Get_AfterInvalidate_WaitsForANewValue()
    {
        await LoadAsync("one");
        snapshot.Invalidate();
        var load = NextLoad();
        var asked = snapshot.GetAsync().AsTask();
        Assert.False(asked.IsCompleted);
        load.SetResult("two");
        Assert.Equal("two", await asked);
    }

    // The load began before the change that the invalidation tells of: what it read may be the state of before.
    [Fact]
    public async Task Get_WhenALoadWasOvertakenByInvalidate_DoesNotKeepItsValue()
    {
        var (before, after) = (NextLoad(), NextLoad());
        var early = snapshot.GetAsync().AsTask();
        while (Loads == 0)
        {
            await Task.Yield();
        }

        snapshot.Invalidate();
        var late = snapshot.GetAsync().AsTask();
        after.SetResult("after");
        Assert.Equal("after", await late);
        before.SetResult("before");
        Assert.Equal("before", await early);
        Assert.Equal("after", await snapshot.GetAsync());
        Assert.Equal(2, Loads);
    }

    [Fact]
    public async Task Get_WhenTheLoadFails_TellsTheWaitingAndTriesAnew()
    {
        var load = NextLoad();
        var asked = snapshot.GetAsync().AsTask();
        load.SetException(new TimeoutException());
        await Assert.ThrowsAsync<TimeoutException>(() => asked);
        await LoadAsync("one");
        Assert.Equal("one", await snapshot.GetAsync());
    }

    [Fact]
    public async Task Get_WhenTheNewLoadFails_GoesOnWithTheOldOne()
    {
        await LoadAsync("one");
        time.Advance(TimeSpan.FromSeconds(1));
        NextLoad().SetException(new TimeoutException());
        Assert.Equal("one", await snapshot.GetAsync());
        NextLoad().SetResult("two");
        await UntilAsync("two");
    }

    // Another node may have changed anything while nobody looked here.
    [Theory]
    [InlineData(false, "two")]
    [InlineData(true, "one")]
    public async Task Get_AfterAPauseOfTenAges_WaitsForTheNewValue(bool fails, string expected)
    {
        await LoadAsync("one");
        time.Advance(TimeSpan.FromSeconds(10));
        var load = NextLoad();
        var asked = snapshot.GetAsync().AsTask();
        Assert.False(asked.IsCompleted);
        if (fails)
        {
            load.SetException(new TimeoutException());
        }
        else
        {
            load.SetResult("two");
        }

        Assert.Equal(expected, await asked);
    }

    private Task<string> Load()
    {
        lock (loads)
        {
            loadCount++;
            return loads.Dequeue().Task;
        }
    }

    private TaskCompletionSource<string> NextLoad()
    {
        var load = new TaskCompletionSource<string>();
        lock (loads)
        {
            loads.Enqueue(load);
        }

        return load;
    }

    private async Task LoadAsync(string value)
    {
        NextLoad().SetResult(value);
        Assert.Equal(value, await snapshot.GetAsync());
    }

    private async Task UntilAsync(string value)
    {
        while (await snapshot.GetAsync() != value)
        {
            await Task.Yield();
        }
    }
}

using System.Threading.Channels;

namespace Sluice.LoadTester.Claims;

/// <summary>
/// Clicks in order of when they are due. A single pacer hands due clicks to the workers through <see cref="Due"/>; a click that must
/// wait (a retry, a repeat) goes back in here, so waiting never occupies a connection.
/// </summary>
/// <param name="clicksMax">More clicks than this are never alive at once; the channel to the workers is bounded by it.</param>
internal sealed class Schedule(TimeProvider time, RunClock clock, int clicksMax)
{
    // Follow-ups come from the workers while the pacer sleeps; this is the longest they can be noticed late.
    private static readonly TimeSpan SleepMax = TimeSpan.FromMilliseconds(4);
    private static readonly TimeSpan SleepMin = TimeSpan.FromMilliseconds(1);

    private readonly Lock _gate = new();
    private readonly PriorityQueue<Click, TimeSpan> _waiting = new();
    private readonly Channel<(Click Click, TimeSpan Due)> _due = Channel.CreateBounded<(Click, TimeSpan)>(
        new BoundedChannelOptions(clicksMax) { SingleWriter = true });

    public ChannelReader<(Click Click, TimeSpan Due)> Due => _due.Reader;

    public void Add(Click click, TimeSpan due)
    {
        lock (_gate)
        {
            _waiting.Enqueue(click, due);
        }
    }

    /// <summary>Runs until cancelled, then closes <see cref="Due"/>; clicks still waiting can be had from <see cref="Clear"/>.</summary>
    public async Task PaceAsync(CancellationToken stop)
    {
        try
        {
            while (!stop.IsCancellationRequested)
            {
                var sleep = HandOverDue();
                await Task.Delay(sleep < SleepMin ? SleepMin : sleep < SleepMax ? sleep : SleepMax, time, stop);
            }
        }
        catch (OperationCanceledException)
        {
            // Stopping is the ordinary end.
        }
        finally
        {
            _due.Writer.Complete();
        }
    }

    /// <summary>Takes out every click that was never handed over.</summary>
    public IReadOnlyList<Click> Clear()
    {
        lock (_gate)
        {
            var left = _waiting.UnorderedItems.Select(item => item.Element).ToList();
            _waiting.Clear();
            return left;
        }
    }

    private TimeSpan HandOverDue()
    {
        lock (_gate)
        {
            var now = clock.Now;
            while (_waiting.TryPeek(out var click, out var due))
            {
                if (due > now)
                {
                    return due - now;
                }

                if (!_due.Writer.TryWrite((click, due)))
                {
                    throw new InvalidOperationException($"More than {clicksMax} clicks are alive at once.");
                }

                _waiting.Dequeue();
            }
        }

        return SleepMax;
    }
}

using HdrHistogram;
using Sluice.LoadTester.Claims;

namespace Sluice.LoadTester.Measurements;

/// <summary>One slot of the time line. Percentiles are null when nothing was answered definitely in it.</summary>
internal sealed record Slot(TimeSpan From, OutcomeCounts Counts, double? P50Ms, double? P99Ms, double? MaxMs);

internal sealed record Percentiles(double P50Ms, double P90Ms, double P99Ms, double P999Ms, double MaxMs);

/// <param name="SoldOutAt">The first answer that said sold out, on the run's clock.</param>
/// <param name="LastAcceptedAt">The latest new acceptance.</param>
internal sealed record Score(OutcomeCounts Counts, Percentiles Latency, double StartLagP99Ms, TimeSpan? SoldOutAt, TimeSpan? LastAcceptedAt);

/// <summary>Counts and latencies, in total and per slot of the time line. One short lock per answer.</summary>
internal sealed class Scoreboard(TimeSpan slotWidth)
{
    private const long MicrosecondsMax = 3_600_000_000;

    // Beyond this the last slot takes everything: an hour of quarter seconds.
    private const int SlotsMax = 14_400;

    private readonly Lock _gate = new();
    private readonly LongHistogram _total = new(MicrosecondsMax, 3);
    private readonly LongHistogram _startLag = new(MicrosecondsMax, 2);
    private readonly LongHistogram _slotLatency = new(MicrosecondsMax, 2);
    private readonly SlotGrid _grid = new(slotWidth);
    private readonly List<Slot> _slots = [];
    private OutcomeCounts _counts;
    private OutcomeCounts _slotCounts;
    private TimeSpan? _soldOutAt;
    private TimeSpan? _lastAcceptedAt;

    public TimeSpan SlotWidth => slotWidth;

    /// <param name="lag">From the moment a request was due to the moment a connection was free for it: the load tester's own part.</param>
    public void Started(TimeSpan lag)
    {
        lock (_gate)
        {
            _startLag.RecordValue(Microseconds(lag));
        }
    }

    /// <param name="latency">From the planned moment to this definite answer; null while the buyer asks again.</param>
    public void Answered(in ClaimAnswer answer, bool isNew, TimeSpan now, TimeSpan? latency)
    {
        lock (_gate)
        {
            // Two workers may come in the other order than they read the clock; the later slot then takes both.
            CloseSlotsLocked(now);
            _counts.Add(answer.Outcome, isNew);
            _slotCounts.Add(answer.Outcome, isNew);
            if (latency is { } value)
            {
                _total.RecordValue(Microseconds(value));
                _slotLatency.RecordValue(Microseconds(value));
            }

            if (answer.Outcome == ClaimOutcome.SoldOut)
            {
                _soldOutAt ??= now;
            }

            if (isNew)
            {
                _lastAcceptedAt = now;
            }
        }
    }

    /// <summary>A slot begins at this moment, so that none has answers from before and from after the opening.</summary>
    /// <param name="opening">Now, or still to come if nothing was answered yet.</param>
    public void Anchor(TimeSpan opening)
    {
        lock (_gate)
        {
            if (_counts.Total == 0)
            {
                _grid.Align(opening);
                return;
            }

            CloseSlotsLocked(opening);
            CloseSlotLocked();
            _grid.Restart(opening);
        }
    }

    public Score Score()
    {
        lock (_gate)
        {
            return new Score(_counts, Percentiles(_total), Milliseconds(_startLag, 99), _soldOutAt, _lastAcceptedAt);
        }
    }

    public IReadOnlyList<Slot> Slots()
    {
        lock (_gate)
        {
            return [.. _slots, SlotLocked()];
        }
    }

    private void CloseSlotsLocked(TimeSpan now)
    {
        while (_slots.Count < SlotsMax && _grid.IsOver(now))
        {
            CloseSlotLocked();
            _grid.Next();
        }
    }

    private void CloseSlotLocked()
    {
        _slots.Add(SlotLocked());
        _slotCounts = default;
        _slotLatency.Reset();
    }

    private Slot SlotLocked()
    {
        var any = _slotLatency.TotalCount > 0;
        return new Slot(_grid.From, _slotCounts, any ? Milliseconds(_slotLatency, 50) : null,
            any ? Milliseconds(_slotLatency, 99) : null, any ? Milliseconds(_slotLatency, 100) : null);
    }

    private static long Microseconds(TimeSpan value) => Math.Clamp((long)value.TotalMicroseconds, 1, MicrosecondsMax);

    private static double Milliseconds(LongHistogram histogram, double percentile) =>
        histogram.TotalCount == 0 ? 0 : Math.Round(histogram.GetValueAtPercentile(percentile) / 1000.0, 3);

    private static Percentiles Percentiles(LongHistogram histogram) => new(Milliseconds(histogram, 50), Milliseconds(histogram, 90),
        Milliseconds(histogram, 99), Milliseconds(histogram, 99.9), Milliseconds(histogram, 100));
}

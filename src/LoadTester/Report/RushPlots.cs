using System.Globalization;
using ScottPlot;
using ScottPlot.TickGenerators;
using Sluice.LoadTester.Measurements;

namespace Sluice.LoadTester.Report;

internal sealed record Series(string Name, string Token);

/// <param name="Unit">Of the left axis; set beside the title, where it reads better than on its side.</param>
/// <param name="Legend">Drawn by the page, in words beside the colour.</param>
internal sealed record Figure(string Title, string Unit, string Svg, IReadOnlyList<Series> Legend);

/// <summary>The four plots of a rush on one time axis: seconds after the opening.</summary>
internal sealed class RushPlots(RushResult result, RushTimeline timeline)
{
    private const int Width = 540;
    private const int Height = 290;

    // More bars than pixels to tell them apart would only make the page heavy.
    private const int BarsMax = 120;

    private static readonly Series[] Outcomes =
    [
        new("accepted", "water"), new("told again", "good"), new("sold out", "rest"), new("not open, closed, paused", "pale"),
        new("limited", "warn"), new("errors", "bad"),
    ];

    private readonly TimeSpan _opening = timeline.Opening;
    private readonly List<(Slot Slot, double Width)> _slots = Merged(timeline);

    public IReadOnlyList<Figure> Figures() => [Answers(), Latency(), Stock(), Queue()];

    private Figure Answers()
    {
        var plot = Empty();
        var top = 1.0;
        var present = new bool[Outcomes.Length];
        foreach (var (slot, width) in _slots)
        {
            var c = slot.Counts;
            long[] parts = [c.Accepted, c.Repeated, c.SoldOut, c.NotOpen + c.Closed + c.Paused + c.Unexpected, c.Limited + c.RateLimited, c.Errors];
            var below = 0.0;
            for (var index = 0; index < parts.Length; index++)
            {
                if (parts[index] == 0)
                {
                    continue;
                }

                present[index] = true;
                var value = parts[index] / width;
                plot.Add.Bar(new Bar
                {
                    Position = At(slot.From) + (width / 2),
                    ValueBase = below,
                    Value = below + value,
                    Size = width * 0.86,
                    FillColor = SvgPlot.Colour(Outcomes[index].Token),
                    LineWidth = 0,
                });
                below += value;
            }

            top = Math.Max(top, below);
        }

        Finish(plot, top);
        var legend = Outcomes.Where((_, index) => present[index]).ToList();
        return new Figure("What buyers were told", "answers per second", SvgPlot.Render(plot, "answers", string.Create(CultureInfo.InvariantCulture,
            $"Answers per second by kind; at most {top:N0} per second."), Width, Height), legend);
    }

    private Figure Latency()
    {
        var plot = Empty();
        var known = _slots.Where(item => item.Slot.P50Ms is not null).ToList();
        var lowest = Math.Floor(Math.Log10(Math.Max(0.1, known.Select(item => item.Slot.P50Ms!.Value).DefaultIfEmpty(1).Min())));
        var highest = Math.Ceiling(Math.Log10(Math.Max(1, known.Select(item => item.Slot.MaxMs!.Value).DefaultIfEmpty(10).Max())));
        highest = Math.Max(highest, lowest + 1);
        Line(slot => slot.MaxMs!.Value, "rest", 1.5f);
        Line(slot => slot.P99Ms!.Value, "warn", 2.2f);
        Line(slot => slot.P50Ms!.Value, "water", 2.2f);
        var ticks = new NumericManual();
        for (var power = (int)lowest; power <= (int)highest; power++)
        {
            ticks.AddMajor(power, power >= 0 ? Math.Pow(10, power).ToString("N0", CultureInfo.InvariantCulture) : Math.Pow(10, power).ToString("0.##", CultureInfo.InvariantCulture));
        }

        Finish(plot, highest, lowest);
        plot.Axes.Left.TickGenerator = ticks;
        return new Figure("How long they waited", "milliseconds, log scale", SvgPlot.Render(plot, "latency", string.Create(CultureInfo.InvariantCulture,
            $"Latency over time on a log scale; over the whole run p50 {result.P50Ms:0.0} ms and p99 {result.P99Ms:0.0} ms."), Width, Height),
            [new("p50", "water"), new("p99", "warn"), new("slowest", "rest")]);

        void Line(Func<Slot, double> value, string token, float width)
        {
            var line = plot.Add.ScatterLine(known.Select(item => At(item.Slot.From) + (item.Width / 2)).ToArray(),
                known.Select(item => Math.Log10(Math.Max(0.01, value(item.Slot)))).ToArray(), SvgPlot.Colour(token));
            line.LineWidth = width;
        }
    }

    private Figure Stock()
    {
        var plot = Empty();
        var samples = timeline.Samples;
        var step = plot.Add.ScatterLine(samples.Select(sample => At(sample.At)).ToArray(),
            samples.Select(sample => (double)sample.LeftUnits).ToArray(), SvgPlot.Colour("water"));
        step.ConnectStyle = ConnectStyle.StepHorizontal;
        step.LineWidth = 2.2f;
        step.FillY = true;
        step.FillYColor = SvgPlot.Colour("water").WithAlpha(0.16);
        Finish(plot, samples.Select(sample => (double)sample.LeftUnits).DefaultIfEmpty(1).Max());
        return new Figure("Stock", "units left", SvgPlot.Render(plot, "stock", "Units left in the pool over time.", Width, Height), [new("in the pool", "water")]);
    }

    private Figure Queue()
    {
        var plot = Empty();
        var samples = timeline.Samples;
        var at = samples.Select(sample => At(sample.At)).ToArray();
        var depth = plot.Add.ScatterLine(at, samples.Select(sample => (double)sample.QueueDepth).ToArray(), SvgPlot.Colour("water"));
        depth.ConnectStyle = ConnectStyle.StepHorizontal;
        depth.LineWidth = 2.2f;
        depth.FillY = true;
        depth.FillYColor = SvgPlot.Colour("water").WithAlpha(0.16);
        var age = plot.Add.ScatterLine(at, samples.Select(sample => sample.OldestAgeMs).ToArray(), SvgPlot.Colour("warn"));
        age.LineWidth = 2.2f;
        age.Axes.YAxis = plot.Axes.Right;
        Finish(plot, samples.Select(sample => (double)sample.QueueDepth).DefaultIfEmpty(1).Max());
        var ageTop = samples.Select(sample => sample.OldestAgeMs).DefaultIfEmpty(1).Max();
        plot.Axes.SetLimitsY(0, Math.Max(1, ageTop) * Headroom, plot.Axes.Right);
        Style(plot.Axes.Right);
        plot.Axes.Right.IsVisible = true;
        plot.Layout.Fixed(new PixelPadding(68, 62, 54, 8));
        return new Figure("Queue", "entries waiting", SvgPlot.Render(plot, "queue", string.Create(CultureInfo.InvariantCulture,
            $"Queue depth and the oldest entry's age over time; at most {result.QueueDepthMax:N0} deep and {result.QueueAgeMaxMs:0} ms old."), Width, Height),
            [new("waiting", "water"), new("age of the oldest, ms (right)", "warn")]);
    }

    private const double Headroom = 1.18;

    private double At(TimeSpan moment) => (moment - _opening).TotalSeconds;

    private static Plot Empty()
    {
        var plot = new Plot();
        plot.FigureBackground.Color = Colors.Transparent;
        plot.DataBackground.Color = Colors.Transparent;
        plot.Grid.MajorLineColor = SvgPlot.Colour("line");
        plot.Grid.XAxisStyle.IsVisible = false;
        plot.Axes.Bottom.Label.Text = "seconds after the opening";
        Style(plot.Axes.Bottom);
        Style(plot.Axes.Left);
        plot.Axes.Left.FrameLineStyle.Width = 0;
        plot.Axes.Right.FrameLineStyle.Width = 0;
        plot.Axes.Top.FrameLineStyle.Width = 0;
        plot.Layout.Fixed(new PixelPadding(68, 14, 54, 8));
        return plot;
    }

    private static void Style(IAxis axis)
    {
        axis.Label.FontSize = 13;
        axis.Label.Bold = false;
        axis.Label.ForeColor = SvgPlot.Colour("muted");
        axis.TickLabelStyle.FontSize = 13;
        axis.TickLabelStyle.ForeColor = SvgPlot.Colour("muted");
        axis.MajorTickStyle.Color = Colors.Transparent;
        axis.MajorTickStyle.Length = 5;
        axis.MinorTickStyle.Length = 0;
        axis.FrameLineStyle.Color = SvgPlot.Colour("rest");
        axis.FrameLineStyle.Width = axis is IYAxis ? 0 : 1;
        if (axis.TickGenerator is NumericAutomatic numbers)
        {
            numbers.LabelFormatter = value => value.ToString(Math.Abs(value) >= 10 ? "N0" : "0.##", CultureInfo.InvariantCulture);
            numbers.TargetTickCount = axis is IYAxis ? 5 : 8;
        }
    }

    // The same window of time in all four, room above for the marks, and the marks themselves.
    private void Finish(Plot plot, double top, double bottom = 0)
    {
        var first = Math.Min(0, _slots.Where(item => item.Slot.Counts.Total > 0).Select(item => At(item.Slot.From)).DefaultIfEmpty(0).Min());
        var last = Math.Max(_slots.Select(item => At(item.Slot.From) + item.Width).DefaultIfEmpty(1).Max(),
            timeline.Samples.Select(sample => At(sample.At)).DefaultIfEmpty(0).Max());
        var ceiling = bottom + (Math.Max(top - bottom, 1e-3) * Headroom);
        plot.Axes.SetLimits(Math.Min(first, -0.14 * (last - first)), last, bottom, ceiling);
        Mark(plot, 0, "opened", ceiling, Alignment.UpperRight);
        if (timeline.SoldOutAt is { } soldOut)
        {
            Mark(plot, At(soldOut), "sold out", ceiling, Alignment.UpperLeft);
        }
    }

    private static void Mark(Plot plot, double at, string words, double y, Alignment alignment)
    {
        var line = plot.Add.VerticalLine(at, 1.2f, SvgPlot.Colour("ink"), LinePattern.Dashed);
        line.EnableAutoscale = false;
        var text = plot.Add.Text(words, at, y);
        text.LabelAlignment = alignment;
        text.LabelFontSize = 13;
        text.LabelFontColor = SvgPlot.Colour("ink");
        text.OffsetX = alignment == Alignment.UpperRight ? -5 : 5;
        text.OffsetY = 2;
    }

    // Neighbours become one until the page can tell the bars apart, but never across the opening: the slot before it may be short.
    private static List<(Slot Slot, double Width)> Merged(RushTimeline timeline)
    {
        var factor = Math.Max(1, (timeline.Slots.Count + BarsMax - 1) / BarsMax);
        var merged = timeline.Slots.Where(slot => slot.From < timeline.Opening).Chunk(factor)
            .Concat(timeline.Slots.Where(slot => slot.From >= timeline.Opening).Chunk(factor))
            .Select(chunk => new Slot(chunk[0].From, Sum(chunk), Worst(chunk, s => s.P50Ms), Worst(chunk, s => s.P99Ms), Worst(chunk, s => s.MaxMs)))
            .ToList();
        var full = timeline.SlotWidth.TotalSeconds * factor;
        return merged.Select((slot, index) =>
            (slot, index + 1 < merged.Count ? Math.Min(full, (merged[index + 1].From - slot.From).TotalSeconds) : full)).ToList();
    }

    // Percentiles cannot be averaged; the worst of a few neighbours never flatters.
    private static double? Worst(Slot[] chunk, Func<Slot, double?> value) => chunk.Max(value);

    private static OutcomeCounts Sum(Slot[] chunk)
    {
        var sum = default(OutcomeCounts);
        foreach (var slot in chunk)
        {
            sum.Add(slot.Counts);
        }

        return sum;
    }
}

namespace Sluice.LoadTester.Measurements;

/// <summary>Where the slots of the time line begin. The opening is always the beginning of one, so no slot mixes before and after.</summary>
internal sealed class SlotGrid(TimeSpan width)
{
    /// <summary>The beginning of the current slot.</summary>
    public TimeSpan From { get; private set; }

    public bool IsOver(TimeSpan now) => now >= From + width;

    public void Next() => From += width;

    /// <summary>For an opening still to come: whole slots lead up to it.</summary>
    public void Align(TimeSpan opening) => From = opening - (width * Math.Floor(opening / width));

    /// <summary>For an opening now: the slot before it was cut short.</summary>
    public void Restart(TimeSpan opening) => From = opening;
}

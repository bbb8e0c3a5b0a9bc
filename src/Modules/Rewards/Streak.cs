namespace Sluice.Modules.Rewards;

/// <summary>Days in a row, counted from dates. Hours would not do: a day with a change to summer time has 23 of them, and somebody who comes at noon each day comes every day.</summary>
internal static class Streak
{
    /// <summary>Days in a row with a check-in today.</summary>
    /// <param name="before">The newest check-in before today, or null.</param>
    public static int WithToday((DateOnly Day, int StreakDays)? before, DateOnly today) => before is { } last && last.Day.AddDays(1) == today ? last.StreakDays + 1 : 1;

    /// <summary>Days in a row that a user has now: those up to yesterday count until today is over.</summary>
    /// <param name="newest">The newest check-in, or null.</param>
    public static int Now((DateOnly Day, int StreakDays)? newest, DateOnly today) => newest is { } last && last.Day.AddDays(1) >= today ? last.StreakDays : 0;

    /// <summary>What the check-in of the so-many-th day in a row is worth.</summary>
    public static long Points(int streakDays, RewardsOptions options) => options.PointsPerCheckIn + (streakDays % options.StreakDays == 0 ? options.StreakBonusPoints : 0);
}

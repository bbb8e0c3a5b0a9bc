using System.ComponentModel.DataAnnotations;

namespace Sluice.Modules.Rewards;

public sealed class RewardsOptions
{
    /// <summary>
    /// Where midnight ends the shop's business day: the name of a time zone that this machine knows, such as <c>Europe/Berlin</c>. The same on all nodes. Changed in a running shop it may make one day shorter or longer;
    /// nobody is awarded twice for a day, and a user's days never go back.
    /// </summary>
    [Required, TimeZoneName] public string TimeZone { get; init; } = "UTC";

    /// <summary>Points for a check-in, 1–1,000,000.</summary>
    [Range(1, 1_000_000)] public int PointsPerCheckIn { get; init; } = 10;

    /// <summary>Points on top with every <see cref="StreakDays"/>th day of a streak, 0–1,000,000; 0 = none.</summary>
    [Range(0, 1_000_000)] public int StreakBonusPoints { get; init; } = 50;

    /// <summary>Days in a row for the bonus, 2–366.</summary>
    [Range(2, 366)] public int StreakDays { get; init; } = 7;

    /// <summary>Check-ins that one user may send at once, over all nodes together, the needless ones too, 1–1,000.</summary>
    [Range(1, 1_000)] public int CheckInsPerUserBurst { get; init; } = 10;

    /// <summary>One more check-in of a user in this time in the long run, 10 ms – 1 h.</summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "01:00:00")] public TimeSpan CheckInPerUserEvery { get; init; } = TimeSpan.FromSeconds(1);
}

[AttributeUsage(AttributeTargets.Property)]
internal sealed class TimeZoneNameAttribute() : ValidationAttribute("write the name of a time zone that this machine knows, such as UTC or Europe/Berlin")
{
    public override bool IsValid(object? value) => value is string name && TimeZoneInfo.TryFindSystemTimeZoneById(name, out _);
}

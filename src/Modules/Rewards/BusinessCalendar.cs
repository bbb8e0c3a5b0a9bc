using System.Globalization;

namespace Sluice.Modules.Rewards;

/// <summary>The shop's days: which one it is now is said here and nowhere else, never by a caller.</summary>
internal sealed class BusinessCalendar(RewardsOptions options, TimeProvider time)
{
    private const string Form = "yyyy-MM-dd";

    private readonly TimeZoneInfo zone = TimeZoneInfo.FindSystemTimeZoneById(options.TimeZone);

    /// <summary>The business day of this moment.</summary>
    public DateOnly Today => DayOf(time.GetUtcNow());

    /// <summary>The business day of a moment.</summary>
    public DateOnly DayOf(DateTimeOffset moment) => DayOf(moment, zone);

    /// <summary>The day that a calendar on the wall of the zone shows at a moment.</summary>
    public static DateOnly DayOf(DateTimeOffset moment, TimeZoneInfo zone) => DateOnly.FromDateTime(TimeZoneInfo.ConvertTime(moment, zone).DateTime);

    /// <summary>A day as it stands in SQL and in keys, <c>2026-11-22</c>: in this form the order of texts is that of days.</summary>
    public static string Text(DateOnly day) => day.ToString(Form, CultureInfo.InvariantCulture);

    public static DateOnly Parse(string text) => DateOnly.ParseExact(text, Form, CultureInfo.InvariantCulture);

    /// <summary>The first day of a month that a caller names, such as <c>2026-11</c>; from 2020 to 2059.</summary>
    public static bool TryMonth(string? text, out DateOnly first)
    {
        first = default;
        return text is { Length: 7 } && DateOnly.TryParseExact($"{text}-01", Form, CultureInfo.InvariantCulture, DateTimeStyles.None, out first) && first.Year is >= 2020 and < 2060;
    }
}

using CsCheck;
using Microsoft.Extensions.Time.Testing;
using Sluice.Host;
using Sluice.Modules.Rewards;

namespace Sluice.Tests.Unit.Modules;

public sealed class BusinessCalendarTests
{
    private static readonly DateTimeOffset From = new(2020, 1, 2, 0, 0, 0, TimeSpan.Zero), To = new(2059, 12, 30, 0, 0, 0, TimeSpan.Zero);

    private static readonly Gen<TimeZoneInfo> Zones = Gen.Int[0, TimeZoneInfo.GetSystemTimeZones().Count - 1].Select(i => TimeZoneInfo.GetSystemTimeZones()[i]);

    private static readonly Gen<DateTimeOffset> Moments = Gen.Long[From.ToUnixTimeSeconds(), To.ToUnixTimeSeconds()].Select(DateTimeOffset.FromUnixTimeSeconds);

    [Theory]
    [InlineData("UTC", "2026-11-22T23:59:59.999Z", "2026-11-22")]
    [InlineData("UTC", "2026-11-23T00:00:00Z", "2026-11-23")]
    [InlineData("Europe/Berlin", "2026-11-22T22:59:59Z", "2026-11-22")]
    [InlineData("Europe/Berlin", "2026-11-22T23:00:00Z", "2026-11-23")]
    [InlineData("Europe/Berlin", "2026-07-01T21:59:59Z", "2026-07-01")]
    [InlineData("Europe/Berlin", "2026-07-01T22:00:00Z", "2026-07-02")]
    [InlineData("Pacific/Kiritimati", "2026-11-22T10:00:00Z", "2026-11-23")]
    [InlineData("Pacific/Pago_Pago", "2026-11-22T10:59:59Z", "2026-11-21")]
    [InlineData("Asia/Kathmandu", "2028-02-28T18:15:00Z", "2028-02-29")]
    public void Today_TurnsAtMidnightInTheShopsZone(string zone, string now, string day)
    {
        var calendar = new BusinessCalendar(new RewardsOptions { TimeZone = zone }, new FakeTimeProvider(DateTimeOffset.Parse(now, System.Globalization.CultureInfo.InvariantCulture)));

        Assert.Equal(day, BusinessCalendar.Text(calendar.Today));
    }

    // 28 March has 23 hours there, 31 October 25.
    [Fact]
    public void Day_WithAChangeOfTheClocks_IsOneDay()
    {
        var berlin = TimeZoneInfo.FindSystemTimeZoneById("Europe/Berlin");
        foreach (var (first, hours) in new[] { ("2027-03-27T23:00:00Z", 23), ("2027-10-30T22:00:00Z", 25) })
        {
            var midnight = DateTimeOffset.Parse(first, System.Globalization.CultureInfo.InvariantCulture);
            var day = BusinessCalendar.DayOf(midnight, berlin);
            Assert.All(Enumerable.Range(0, hours), hour => Assert.Equal(day, BusinessCalendar.DayOf(midnight.AddHours(hour), berlin)));
            Assert.Equal((day.AddDays(-1), day.AddDays(1)), (BusinessCalendar.DayOf(midnight.AddTicks(-1), berlin), BusinessCalendar.DayOf(midnight.AddHours(hours), berlin)));
        }
    }

    [Fact]
    public void Day_InAnyZone_NeverGoesBackWhileTimeGoesOn() => Gen.Select(Zones, Moments, Gen.Int[1, 3 * 86_400]).Sample(
        (zone, moment, seconds) =>
        {
            var (day, later) = (BusinessCalendar.DayOf(moment, zone), BusinessCalendar.DayOf(moment.AddSeconds(seconds), zone));
            Assert.InRange(later.DayNumber - day.DayNumber, 0, 4);
        },
        iter: 20_000);

    // Hours between two such visits are 23 to 25 in most zones: counted from hours the streak would break.
    [Fact]
    public void Visits_AtNoonOfEachDayInAnyZone_AreAStreakWithoutAGap() => Gen.Select(Zones, Gen.Int[0, 13_000], Gen.Int[2, 400]).Sample(
        (zone, start, days) =>
        {
            (DateOnly Day, int StreakDays)? newest = null;
            for (var i = 0; i < days; i++)
            {
                var noon = new DateTime(2021, 1, 1, 12, 0, 0, DateTimeKind.Unspecified).AddDays(start + i);
                var today = BusinessCalendar.DayOf(new DateTimeOffset(noon, zone.GetUtcOffset(noon)), zone);
                newest = (today, Streak.WithToday(newest, today));
            }

            Assert.Equal(days, newest!.Value.StreakDays);
        },
        iter: 300);

    [Fact]
    public void Text_OfDays_IsInTheirOrderAndReadBack() => Gen.Select(Moments, Moments).Sample((one, other) =>
    {
        var (a, b) = (BusinessCalendar.DayOf(one, TimeZoneInfo.Utc), BusinessCalendar.DayOf(other, TimeZoneInfo.Utc));
        Assert.Equal(Math.Sign(a.CompareTo(b)), Math.Sign(string.CompareOrdinal(BusinessCalendar.Text(a), BusinessCalendar.Text(b))));
        Assert.Equal(a, BusinessCalendar.Parse(BusinessCalendar.Text(a)));
    });

    [Theory]
    [InlineData("Mars/Olympus_Mons")]
    [InlineData("Europe")]
    [InlineData("../../etc/passwd")]
    public void Zone_ThatIsNone_StopsTheStartByItsName(string zone)
    {
        var refusal = Assert.Throws<SettingsException>(() => Node.Load([KeyValuePair.Create("Rewards:TimeZone", (string?)zone)]));

        Assert.Contains($"Rewards:TimeZone: '{zone}'", refusal.Message, StringComparison.Ordinal);
        Assert.Equal("Asia/Kathmandu", Node.Load([KeyValuePair.Create("Rewards:TimeZone", (string?)"Asia/Kathmandu")]).Get<RewardsOptions>().TimeZone);
    }

    [Theory]
    [InlineData("2020-01", true)]
    [InlineData("2059-12", true)]
    [InlineData("2019-12", false)]
    [InlineData("2060-01", false)]
    [InlineData("2026-13", false)]
    [InlineData("2026-00", false)]
    [InlineData("2026-1", false)]
    [InlineData("2026-1 ", false)]
    [InlineData("２０２６-11", false)]
    [InlineData("-026-11", false)]
    [InlineData("2026/11", false)]
    [InlineData("", false)]
    [InlineData(null, false)]
    public void Month_IsNamedInOneWay(string? text, bool isOne)
    {
        Assert.Equal(isOne, BusinessCalendar.TryMonth(text, out var first));
        Assert.True(!isOne || (first.Day == 1 && BusinessCalendar.Text(first)[..7] == text));
    }
}

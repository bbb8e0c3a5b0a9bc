using CsCheck;
using Sluice.Modules.Rewards;

namespace Sluice.Tests.Unit.Modules;

public sealed class StreakTests
{
    private static readonly DateOnly Start = new(2027, 12, 15);

    // Over ends of months and years and a 29 February: each day is a draw, and the days in a row before the end are counted by looking back.
    [Fact]
    public void Streak_OfAnyDays_IsWhatLookingBackCounts() => Gen.Bool.Array[1, 120].Sample(visits =>
    {
        (DateOnly Day, int StreakDays)? newest = null;
        for (var i = 0; i < visits.Length; i++)
        {
            var today = Start.AddDays(i);
            Assert.Equal(InARow(i - 1), Streak.Now(newest, today));
            if (visits[i])
            {
                newest = (today, Streak.WithToday(newest, today));
                Assert.Equal(InARow(i), newest.Value.StreakDays);
                Assert.Equal(InARow(i), Streak.Now(newest, today));
            }
        }

        int InARow(int last) => visits.Take(last + 1).Reverse().TakeWhile(visit => visit).Count();
    });

    [Fact]
    public void Streak_WhoseNewestDayIsAfterToday_Stands() => Assert.Equal(4, Streak.Now((Start.AddDays(1), 4), Start));

    [Fact]
    public void Points_OfEverySeventhDay_HaveTheBonus()
    {
        var options = new RewardsOptions { PointsPerCheckIn = 10, StreakBonusPoints = 50, StreakDays = 7 };

        Assert.Equal([10, 10, 10, 10, 10, 10, 60, 10, 10, 10, 10, 10, 10, 60, 10], Enumerable.Range(1, 15).Select(day => Streak.Points(day, options)));
        Assert.All(Enumerable.Range(1, 15), day => Assert.Equal(10, Streak.Points(day, new RewardsOptions { StreakBonusPoints = 0 })));
    }
}

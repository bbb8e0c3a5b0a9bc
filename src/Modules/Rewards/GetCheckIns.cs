using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Rewards;

/// <summary>A month of check-ins, and how the user stands today.</summary>
/// <param name="Month">Such as <c>2026-11</c>.</param>
/// <param name="Items">The days of this month with a check-in, the earliest first.</param>
/// <param name="Today">The shop's business day.</param>
/// <param name="StreakDays">Days in a row up to today, or up to yesterday while today is not done.</param>
public sealed record MonthView(string Month, IReadOnlyList<CheckInView> Items, DateOnly Today, bool CheckedInToday, int StreakDays);

/// <summary><c>GET /v1/check-ins?month=2026-11</c>: the caller's own. From SQL, one row by its key for each day: what of it is asked for often is in <c>GET /v1/me</c>.</summary>
internal static class GetCheckIns
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/v1/check-ins", HandleAsync).For(AccessRule.User)
        .WithTags("Rewards").WithSummary("The caller's check-ins of a month, the streak, and whether today is done").Produces<MonthView>()
        .TakesQuery("month", "2020-01 to 2059-12; the month of today unless given.", "2026-11");

    private static async Task<IResult> HandleAsync(HttpContext context, Database database, BusinessCalendar calendar)
    {
        var (user, today) = (context.UserId(), calendar.Today);
        var first = new DateOnly(today.Year, today.Month, 1);
        if (context.Request.Query["month"] is { Count: > 0 } named && (named.Count > 1 || !BusinessCalendar.TryMonth(named[0], out first)))
        {
            return Problem.Invalid("'month' is a month such as 2026-11, from 2020-01 to 2059-12.");
        }

        var (days, newest) = await database.ReadAsync(
            async connection => (await CheckIn.OfMonthAsync(connection, user, first), await CheckIn.NewestAsync(connection, user)), ReadFrom.Reader);
        return Results.Json(
            new MonthView(
                BusinessCalendar.Text(first)[..7],
                days.ConvertAll(day => day.ToView()),
                today,
                newest is not null && newest.Day >= today,
                Streak.Now(newest is null ? null : (newest.Day, (int)newest.StreakDays), today)),
            RewardsJson.Default.MonthView);
    }
}

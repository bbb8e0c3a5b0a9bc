using System.Data.Common;
using System.Text.Json;
using Dapper;
using Sluice.Platform.Cache;

namespace Sluice.Modules.Rewards;

/// <summary>A check-in as others see it; never changes once it is there.</summary>
/// <param name="Date">The shop's business day.</param>
/// <param name="Points">What it was worth, a streak's bonus with it.</param>
/// <param name="StreakDays">Days in a row with this one.</param>
public sealed record CheckInView(DateOnly Date, long Points, int StreakDays, DateTime CheckedInAt);

/// <summary>The row of <c>check_ins</c>.</summary>
/// <param name="BusinessDate">As <see cref="BusinessCalendar.Text"/> writes it.</param>
/// <param name="CheckedInAt">Unix milliseconds.</param>
[method: ExplicitConstructor]
internal sealed record CheckIn(string BusinessDate, long Points, long StreakDays, long CheckedInAt)
{
    private const string Columns = "business_date AS BusinessDate, points AS Points, streak_days AS StreakDays, checked_in_at AS CheckedInAt";

    private const int DaysOfMonthMax = 31;

    public DateOnly Day => BusinessCalendar.Parse(BusinessDate);

    /// <summary>The record of one day, kept by the cache.</summary>
    public static CacheKey KeyOf(string userId, DateOnly day) => CacheKey.OfUser(userId, $"check-in:{BusinessCalendar.Text(day)}");

    public static Task<CheckIn?> FindAsync(DbConnection connection, string userId, DateOnly day) => connection.QuerySingleOrDefaultAsync<CheckIn?>(
        $"SELECT {Columns} FROM check_ins WHERE user_id = @userId AND business_date = @day", new { userId, day = BusinessCalendar.Text(day) });

    public static Task<CheckIn?> NewestAsync(DbConnection connection, string userId, DbTransaction? transaction = null) => connection.QuerySingleOrDefaultAsync<CheckIn?>(
        $"SELECT {Columns} FROM check_ins WHERE user_id = @userId ORDER BY business_date DESC LIMIT 1", new { userId }, transaction);

    /// <summary>All of a month, the earliest first.</summary>
    public static async Task<List<CheckIn>> OfMonthAsync(DbConnection connection, string userId, DateOnly first) => (await connection.QueryAsync<CheckIn>(
        $"SELECT {Columns} FROM check_ins WHERE user_id = @userId AND business_date >= @from AND business_date < @to ORDER BY business_date LIMIT @DaysOfMonthMax",
        new { userId, from = BusinessCalendar.Text(first), to = BusinessCalendar.Text(first.AddMonths(1)), DaysOfMonthMax })).AsList();

    public Task InsertAsync(DbTransaction transaction, string userId) => transaction.Connection!.ExecuteAsync(
        "INSERT INTO check_ins (user_id, business_date, points, streak_days, checked_in_at) VALUES (@userId, @BusinessDate, @Points, @StreakDays, @CheckedInAt)",
        new { userId, BusinessDate, Points, StreakDays, CheckedInAt },
        transaction);

    public CheckInView ToView() => new(Day, Points, (int)StreakDays, DateTimeOffset.FromUnixTimeMilliseconds(CheckedInAt).UtcDateTime);

    /// <summary>As it is kept and sent. There is one version of a day.</summary>
    public CachedAnswer ToAnswer() => new(1, JsonSerializer.SerializeToUtf8Bytes(ToView(), RewardsJson.Default.CheckInView));
}

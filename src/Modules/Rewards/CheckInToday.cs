using System.Data.Common;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Admission;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Rewards;

/// <summary>
/// <c>POST /v1/check-ins</c>: the user is here today. README.md numbers the steps. The caches only save work: that a day is awarded once is decided by the key of <c>check_ins</c>, in the transaction that awards it.
/// </summary>
internal sealed class CheckInToday(Database database, PointsLedger ledger, BusinessCalendar calendar, TieredCache cache, CacheChanges changes, RateLimits limits, RewardsOptions options, TimeProvider time)
{
    private readonly SharedRateLimit rate = limits.New("check-ins", 1 / options.CheckInPerUserEvery.TotalSeconds, options.CheckInsPerUserBurst);

    public static void Map(IEndpointRouteBuilder routes) => routes
        .MapPost("/v1/check-ins", (HttpContext context, CheckInToday checkIn) => checkIn.HandleAsync(context)).For(AccessRule.User)
        .WithTags("Rewards").WithSummary("Check in for today, and get points for it")
        .WithDescription("Once for each user and business day of the shop, however often it is asked: 201 the first time, 200 with the same record afterwards. It needs no Idempotency-Key, for user and day are one.")
        .Produces<CheckInView>(201).Produces<CheckInView>(200).Refuses(429, "rate-limited");

    private async Task<IResult> HandleAsync(HttpContext context)
    {
        var user = context.UserId();
        if (await rate.CheckAsync(user) is { } wait)
        {
            return new Problem(429, "rate-limited", "Too fast", "You are checked in once a day; asking more often changes nothing. Wait a moment.") { RetryAfter = wait };
        }

        var (json, isNew) = await RunAsync(user);
        return Results.Text(json, "application/json; charset=utf-8", isNew ? 201 : 200);
    }

    /// <summary>The record of today as it is sent, and whether it was made just now.</summary>
    public async Task<(byte[] Json, bool IsNew)> RunAsync(string user)
    {
        // One look at the clock: a request that midnight overtakes is of the day on which it came.
        var now = time.GetUtcNow();
        var today = calendar.DayOf(now);

        // Step 1: the cache. Step 2: SQL, where it has nothing.
        var wasRead = false;
        var kept = await cache.GetAsync(CheckIn.KeyOf(user, today), () =>
        {
            wasRead = true;
            return LoadAsync(user, today);
        });
        if (kept.Json is { } json)
        {
            // It was not kept yet: whoever made it may have died before the caches heard of the points.
            if (wasRead)
            {
                await changes.TellAsync(PointsLedger.KeysOf(user));
            }

            return (json, false);
        }

        // Step 3: the row and its points, both or neither. May run again: the row says whether it was done.
        var (record, isNew) = await database.WriteAsync(transaction => AwardAsync(transaction, user, today, now), LostCommit.RunAgain);
        FaultPoints.Reach("check-in.committed");

        // Step 4: who is told that it is done sees it everywhere, also who was not the one that did it.
        await changes.TellAsync([CheckIn.KeyOf(user, today), .. PointsLedger.KeysOf(user)]);

        // Step 5: the record is kept. It never changes, so it need not be read again for that.
        var answer = record.ToAnswer();
        await cache.GetAsync(CheckIn.KeyOf(user, record.Day), () => Task.FromResult(answer));
        return (answer.Json!, isNew);
    }

    private async Task<(CheckIn Record, bool IsNew)> AwardAsync(DbTransaction transaction, string user, DateOnly today, DateTimeOffset now)
    {
        // From here on changes of this user's points come one after another.
        await PointsLedger.LockAsync(transaction, user);
        var newest = await CheckIn.NewestAsync(transaction.Connection!, user, transaction);

        // A day after today: by the clock of another node, or the shop has moved to another zone. A user's days never go back, or there would be days to be had twice.
        if (newest is not null && newest.Day >= today)
        {
            return (newest, false);
        }

        var streak = Streak.WithToday(newest is null ? null : (newest.Day, (int)newest.StreakDays), today);
        var record = new CheckIn(BusinessCalendar.Text(today), Streak.Points(streak, options), streak, now.ToUnixTimeMilliseconds());
        await record.InsertAsync(transaction, user);
        await ledger.AddAsync(transaction, user, new PointsCause(PointsCause.OfCheckIn, record.BusinessDate), record.Points);
        await changes.AddAsync(transaction, [CheckIn.KeyOf(user, today)]);
        FaultPoints.Reach("check-in.written");
        return (record, true);
    }

    private Task<CachedAnswer> LoadAsync(string user, DateOnly day) => database.ReadAsync(
        async connection => (await CheckIn.FindAsync(connection, user, day))?.ToAnswer() ?? CachedAnswer.None, ReadFrom.Reader);
}

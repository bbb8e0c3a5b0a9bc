using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Rewards;

/// <param name="Points">Above 0 awards, below 0 spends.</param>
public sealed record PointsRequest([property: Required] string? UserId, [property: Required] long? Points, [property: Required] string? Reason);

/// <summary><c>POST /v1/points</c>: the shop awards points to a user, or takes them as payment for something.</summary>
internal static class ChangePoints
{
    private const long PointsMax = 1_000_000_000;

    private const int ReasonCharsMax = 200;

    public static void Map(IEndpointRouteBuilder routes) => routes.MapPost("/v1/points", HandleAsync).For(AccessRule.Server)
        .WithTags("Rewards").WithSummary("Award points to a user, or spend some")
        .WithDescription("Send an Idempotency-Key: asked again after a broken connection or a 503, it is the same entry.")
        .TakesIdempotencyKey().Produces<PointsEntryView>(201).Produces<PointsEntryView>(200).Refuses(409, "not-enough-points")
        .WithExample(null, "award", """{"userId":"u-1","points":100,"reason":"Welcome"}""").WithExample(null, "spend", """{"userId":"u-1","points":-100,"reason":"A mug"}""");

    private static async Task<IResult> HandleAsync(PointsRequest request, HttpContext context, Database database, Idempotency idempotency, PointsLedger ledger, CacheChanges changes, ClaimIds ids)
    {
        if (!Names.IsUserId(request.UserId) || request.Points is not (>= -PointsMax and <= PointsMax and not 0 and var points) || !Names.IsText(request.Reason, ReasonCharsMax))
        {
            return Problem.Invalid($"Send {{\"userId\":\"…\",\"points\":100,\"reason\":\"Welcome\"}}: 1 to {PointsMax} points to award, -1 to -{PointsMax} to spend, and a reason (1 to {ReasonCharsMax} characters) that the user reads.");
        }

        var (user, key) = (request.UserId!, Idempotency.KeyOf(context.Request));
        var (id, isNew) = await idempotency.OnceAsync(key, "POST /v1/points", JsonSerializer.Serialize(request, RewardsJson.Default.PointsRequest), async transaction =>
        {
            await PointsLedger.LockAsync(transaction, user);
            var id = ids.Next(user);
            var entry = await ledger.AddAsync(transaction, user, new PointsCause(PointsCause.OfShop, key ?? Names.Id(id)), points, request.Reason, id)
                ?? throw new ProblemException(NotEnough(await PointsLedger.BalanceAsync(transaction.Connection!, user, transaction)));

            // The ledger remembers a key for good, longer than it is remembered with what was asked.
            return entry.Points == points && entry.Reason == request.Reason ? entry.Id
                : throw new ProblemException(new Problem(422, "idempotency-key-reused", "Key used before", "This Idempotency-Key was used for another request. Make a new one for each new request."));
        });
        await changes.TellAsync(PointsLedger.KeysOf(user));
        var written = await database.ReadAsync(connection => connection.QuerySingleAsync<PointsEntry>($"SELECT {PointsEntry.Columns} FROM points_entries WHERE id = @id", new { id }));
        return Results.Json(written.ToView(), RewardsJson.Default.PointsEntryView, statusCode: isNew ? 201 : 200);
    }

    private static Problem NotEnough(long balance) => new(409, "not-enough-points", "Not enough points", "The user has fewer points than are to be spent; nothing was changed.")
    {
        More = new Dictionary<string, object>(StringComparer.Ordinal) { ["balance"] = balance },
    };
}

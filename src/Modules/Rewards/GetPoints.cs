using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Http;

namespace Sluice.Modules.Rewards;

/// <summary><c>GET /v1/points</c>: the caller's balance and what made it, newest first; the cursor is the last id seen.</summary>
internal static class GetPoints
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/v1/points", HandleAsync).For(AccessRule.User)
        .WithTags("Rewards").WithSummary("The caller's points, and the entries that made them, newest first").Produces<PointsPage>()
        .IsPaged().IsVersioned();

    private static async Task<IResult> HandleAsync(HttpContext context, PointsPages pages)
    {
        if (Paging.Read(context.Request, out var paging) is { } problem)
        {
            return problem;
        }

        var user = context.UserId();
        if (!paging.IsFirst)
        {
            return Results.Json(await pages.ReadAsync(user, paging.Before, paging.Limit), RewardsJson.Default.PointsPage);
        }

        var known = Versioned.KnownVersion(context.Request);
        if (known > 0 && await pages.IsUnchangedAsync(user, known))
        {
            return Versioned.Unchanged(context, known);
        }

        var first = await pages.FirstAsync(user, known);
        return Versioned.Answer(context, first.Version, first.Json!);
    }
}

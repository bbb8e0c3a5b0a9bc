using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Http;

namespace Sluice.Modules.Accounts;

public sealed record TimeAnswer(string Now);

/// <summary><c>GET /v1/time</c>: the server's clock, so that a browser's countdown ends when the sale begins.</summary>
internal static class GetTime
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/v1/time", Handle).For(AccessRule.Public)
        .WithTags("Users").WithSummary("The server's clock").Produces<TimeAnswer>().WithoutEngines();

    private static IResult Handle(HttpContext context, TimeProvider time)
    {
        context.Response.Headers.CacheControl = "no-store";
        return Results.Json(new TimeAnswer(time.GetUtcNow().UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", System.Globalization.CultureInfo.InvariantCulture)), AccountsJson.Default.TimeAnswer);
    }
}

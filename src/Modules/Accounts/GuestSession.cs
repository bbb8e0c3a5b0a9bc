using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Admission;
using Sluice.Platform.Http;

namespace Sluice.Modules.Accounts;

/// <summary><c>POST /v1/guest-sessions</c>: a visitor of the demo shop becomes somebody. Off unless <see cref="AccountsOptions.GuestSessions"/>.</summary>
internal static class GuestSession
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapPost("/v1/guest-sessions", HandleAsync).For(AccessRule.Public)
        .WithTags("Users").WithSummary("Become a guest (demo)").Produces<SessionAnswer>(201).WithoutEngines()
        .Refuses(404, "guests-off").Refuses(429, "rate-limited");

    private static async Task<IResult> HandleAsync(HttpContext context, UserTokens tokens, GuestRate rate, AccountsOptions options, TimeProvider time)
    {
        if (!options.GuestSessions)
        {
            return new Problem(404, "guests-off", "No guests here", "This shop signs its users in itself (setting Accounts:GuestSessions).");
        }

        if (!await rate.TakeTurnAsync(context.Connection.RemoteIpAddress))
        {
            return new Problem(429, "rate-limited", "Too many new guests", "Ask again in a second.") { RetryAfter = TimeSpan.FromSeconds(1) };
        }

        // Chance, and no number that begins anew with each start: a guest of before would be somebody else's.
        var userId = $"guest-{Guid.NewGuid():N}";
        var expiresAt = time.GetUtcNow() + options.GuestLifetime;
        return Results.Json(new SessionAnswer(userId, tokens.Make(userId, expiresAt), expiresAt.UtcDateTime), AccountsJson.Default.SessionAnswer, statusCode: 201);
    }
}

/// <summary>How many guests are made: for one address over all nodes, and by this node in one second.</summary>
internal sealed class GuestRate(AccountsOptions options, [FromKeyedServices(AccountsModule.Key)] RateLimits limits, TimeProvider time)
{
    private readonly SharedRateLimit addresses = limits.New("guests", options.GuestsPerAddressPerSecondMax, options.GuestsPerAddressPerSecondMax);

    // The second in the upper bits, how many guests it has made in the lower 20.
    private long secondAndCount;

    /// <summary>False when this address, or this second, has made its guests.</summary>
    public async Task<bool> TakeTurnAsync(IPAddress? address) => await addresses.CheckAsync(AddressLimit.NameOf(address)) is null && TakeTurn();

    private bool TakeTurn()
    {
        var second = time.GetUtcNow().ToUnixTimeSeconds();
        while (true)
        {
            var seen = Volatile.Read(ref secondAndCount);
            var next = seen >> 20 == second ? seen + 1 : (second << 20) + 1;
            if ((next & 0xFFFFF) > options.GuestsPerSecondMax)
            {
                return false;
            }

            if (Interlocked.CompareExchange(ref secondAndCount, next, seen) == seen)
            {
                return true;
            }
        }
    }
}

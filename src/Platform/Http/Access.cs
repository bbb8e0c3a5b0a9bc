using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Sluice.Platform.Http;

/// <summary>Who may call a route. A route that does not say is refused to everybody.</summary>
public enum AccessRule
{
    Public,
    User,
    Server,
    UserOrServer,
}

/// <summary>Who calls: a user by token, or the shop's server by API key.</summary>
/// <param name="UserId">The user, or null for a server.</param>
public sealed record Caller(string? UserId)
{
    public static readonly Caller Server = new((string?)null);

    public bool IsServer => UserId is null;
}

/// <summary>Lets a request through to its route or answers 401/403. Deny by default.</summary>
public sealed class Access(UserTokens tokens, string adminKey, OidcTokens? issuer = null)
{
    private readonly byte[] adminKeyHash = SHA256.HashData(Encoding.UTF8.GetBytes(adminKey));

    /// <summary>The middleware; runs after routing.</summary>
    public Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        // Routing's own endpoints (405, 415) are refusals already; every route that is mapped is a RouteEndpoint.
        if (context.GetEndpoint() is not RouteEndpoint endpoint)
        {
            return next(context);
        }

        var rule = endpoint.Metadata.GetMetadata<AccessRuleMetadata>()?.Rule;
        if (rule == AccessRule.Public)
        {
            return next(context);
        }

        // Sluice's own tokens are decided here and now; only what is none of them may be the issuer's.
        var caller = CallerOf(context.Request, out var foreign);
        return foreign is null || issuer is null ? DecideAsync(context, next, rule, caller) : DecideLaterAsync(context, next, rule, issuer, foreign);
    }

    private static async Task DecideLaterAsync(HttpContext context, RequestDelegate next, AccessRule? rule, OidcTokens issuer, string token) =>
        await DecideAsync(context, next, rule, await issuer.UserOfAsync(token) is { } user ? new Caller(user) : null);

    private static Task DecideAsync(HttpContext context, RequestDelegate next, AccessRule? rule, Caller? caller)
    {
        var refusal = (rule, caller) switch
        {
            (null, _) => new Problem(403, "forbidden", "Forbidden", "This route is not open to anybody."),
            (_, null) when rule == AccessRule.User => Unauthorized("Send a user token: 'Authorization: Bearer …'. It may have expired; the shop makes a new one.", "Bearer"),
            (_, null) when rule == AccessRule.Server => Unauthorized("Send the API key: 'X-Api-Key: …'.", "ApiKey"),
            (_, null) => Unauthorized("Send a user token or the API key.", "Bearer", "ApiKey"),
            (AccessRule.User, { IsServer: true }) => new Problem(403, "forbidden", "Forbidden", "This route acts for a user: send that user's token, not the API key."),
            (AccessRule.Server, { IsServer: false }) => new Problem(403, "forbidden", "Forbidden", "This route is for the shop's servers: send the API key."),
            _ => null,
        };
        if (refusal is not null)
        {
            return refusal.ExecuteAsync(context);
        }

        context.Features.Set(caller);
        return next(context);

        static Problem Unauthorized(string detail, params string[] challenges) => new(401, "unauthorized", "Who are you?", detail) { Challenges = challenges };
    }

    /// <summary>Whether the request has the API key, the right one.</summary>
    public bool IsServer(HttpRequest request)
    {
        var key = request.Headers["X-Api-Key"];
        return key.Count == 1 && key[0] is { Length: > 0 and <= 200 } given &&
            CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(given)), adminKeyHash);
    }

    /// <param name="foreign">A token that is none of Sluice's own.</param>
    private Caller? CallerOf(HttpRequest request, out string? foreign)
    {
        foreign = null;
        var bearer = request.Headers.Authorization;
        if (bearer.Count == 1 && bearer[0] is { } value && value.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase))
        {
            if (tokens.UserOf(value.AsSpan(7)) is { } user)
            {
                return new Caller(user);
            }

            foreign = issuer is null ? null : value[7..];
            return null;
        }

        return IsServer(request) ? Caller.Server : null;
    }
}

public sealed record AccessRuleMetadata(AccessRule Rule);

public static class AccessExtensions
{
    /// <summary>Says who may call the route.</summary>
    public static TBuilder For<TBuilder>(this TBuilder builder, AccessRule rule)
        where TBuilder : IEndpointConventionBuilder => builder.WithMetadata(new AccessRuleMetadata(rule));

    /// <summary>The caller of a route that is not public.</summary>
    public static Caller Caller(this HttpContext context) =>
        context.Features.Get<Caller>() ?? throw new InvalidOperationException("This route is public and has no caller.");

    /// <summary>The user that calls; for routes with <see cref="AccessRule.User"/>.</summary>
    public static string UserId(this HttpContext context) =>
        context.Caller().UserId ?? throw new InvalidOperationException("This route is for users.");
}

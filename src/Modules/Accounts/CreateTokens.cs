using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Http;

namespace Sluice.Modules.Accounts;

public sealed record TokenRequest(string? UserId, IReadOnlyList<string>? UserIds);

public sealed record TokenAnswer(string Token, DateTime ExpiresAt);

public sealed record TokensAnswer(IReadOnlyList<string> Tokens, DateTime ExpiresAt);

/// <summary><c>POST /v1/tokens</c>: the shop has logged its user in and wants a token for it, or for many.</summary>
internal static class CreateTokens
{
    private const int UserIdsMax = 1_000;

    public static void Map(IEndpointRouteBuilder routes) => routes.MapPost("/v1/tokens", Handle).For(AccessRule.Server)
        .WithMetadata(new BodyLimit(128 * 1024)).WithTags("Users").WithSummary("Tokens for the shop's own user ids").Produces<TokenAnswer>().WithoutEngines();

    private static IResult Handle(TokenRequest request, UserTokens tokens, AccountsOptions options, TimeProvider time)
    {
        var expiresAt = time.GetUtcNow() + options.TokenLifetime;
        switch (request)
        {
            case { UserId: { } one, UserIds: null } when Names.IsUserId(one):
                return Results.Json(new TokenAnswer(tokens.Make(one, expiresAt), expiresAt.UtcDateTime), AccountsJson.Default.TokenAnswer);
            case { UserId: null, UserIds: { Count: >= 1 and <= UserIdsMax } many } when many.All(Names.IsUserId):
                return Results.Json(new TokensAnswer([.. many.Select(id => tokens.Make(id, expiresAt))], expiresAt.UtcDateTime), AccountsJson.Default.TokensAnswer);
            default:
                return Problem.Invalid($"Send either 'userId' or 'userIds' (1 to {UserIdsMax}). A user id has 1 to 64 letters, digits, _ - . @.");
        }
    }
}

using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.Accounts;

public sealed record RotateRequest([property: Required] bool? EndOthers);

/// <param name="ChecksUntil">Null for the newest.</param>
public sealed record TokenKeyView(string Id, DateTime SignsFrom, DateTime? ChecksUntil);

/// <summary><c>GET /v1/operations/token-keys</c>, <c>POST /v1/operations/token-keys</c>: the keys that sign tokens, and a new one.</summary>
internal static class RotateTokenKeys
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1/operations/token-keys", ListAsync).For(AccessRule.Server).WithTags("Users").WithSummary("The keys whose tokens are good, without their secrets").Produces<Page<TokenKeyView>>();
        routes.MapPost("/v1/operations/token-keys", RotateAsync).For(AccessRule.Server).WithTags("Users").WithSummary("A new key for tokens; it signs from half a minute later on").Produces<TokenKeyView>(201)
            .Refuses(409, "too-many-token-keys");
    }

    private static async Task<IResult> ListAsync(TokenKeys keys) =>
        Results.Json(new Page<TokenKeyView>([.. (await keys.ListAsync()).Select(ToView)], null), AccountsJson.Default.PageTokenKeyView);

    private static async Task<IResult> RotateAsync(RotateRequest request, TokenKeys keys) =>
        request.EndOthers is not { } endOthers ? Problem.Invalid("Say with 'endOthers' whether tokens of the other keys end with them (true), or are good until they expire (false).")
        : await keys.RotateAsync(endOthers) is { } made ? Results.Json(ToView(made), AccountsJson.Default.TokenKeyView, statusCode: 201)
        : new Problem(409, "too-many-token-keys", "Too many keys", $"There are {TokenKeys.KeysMax} keys whose tokens are good. Wait until one of them has ended, or end them all with 'endOthers'.");

    private static TokenKeyView ToView(TokenKeyState key) => new(key.Id, key.SignsFrom.UtcDateTime, key.ChecksUntil?.UtcDateTime);
}

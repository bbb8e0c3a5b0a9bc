using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Accounts;

/// <param name="Profile">Null for guests and for users whom the shop signs in itself.</param>
public sealed record MeView(ProfileView? Profile, Page<OrderView> Orders);

/// <summary><c>GET /v1/me</c>: what the caller's own page begins with, in one answer and one round trip to the cache.</summary>
internal static class GetMe
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/v1/me", HandleAsync).For(AccessRule.User)
        .WithTags("Accounts").WithSummary("The caller's profile and newest orders").Produces<MeView>().IsVersioned();

    private static async Task<IResult> HandleAsync(HttpContext context, [FromKeyedServices(AccountsModule.Key)] Database accounts, NewestOrders orders, TieredCache cache)
    {
        var user = context.UserId();
        var known = Versioned.KnownVersions(context.Request, 2);
        if (known is not [0, 0] && await cache.AreUnchangedAsync((Profile.KeyOf(user), known[0]), (NewestOrders.KeyOf(user), known[1])))
        {
            return Versioned.Unchanged(context, Versioned.TagOf(known));
        }

        var parts = await cache.GetManyAsync(new CachePart(Profile.KeyOf(user), () => Profile.LoadAsync(accounts, user), known[0]), orders.Of(user, known[1]));
        return Versioned.Answer(context, Versioned.TagOf(parts.Select(part => part.Version)), Together(parts[0].Json, parts[1].Json!));
    }

    // Each part is kept as it is sent, so nothing is read or written anew.
    private static byte[] Together(byte[]? profile, byte[] orders)
    {
        using var buffer = new PooledBuffer();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WritePropertyName("profile");
            json.WriteRawValue(profile ?? "null"u8, skipInputValidation: true);
            json.WritePropertyName("orders");
            json.WriteRawValue(orders, skipInputValidation: true);
            json.WriteEndObject();
        }

        return buffer.Written.ToArray();
    }
}

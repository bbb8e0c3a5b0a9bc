using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Modules.Coupons.Contracts;
using Sluice.Modules.Orders.Contracts;
using Sluice.Modules.Rewards.Contracts;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Accounts;

/// <param name="Profile">Null for guests and for users whom the shop signs in itself.</param>
/// <param name="Orders">The first page, as <c>GET /v1/orders</c> has it.</param>
/// <param name="Coupons">The newest that can be redeemed; <c>GET /v1/coupons</c> has all.</param>
public sealed record MeView(ProfileView? Profile, Page<OrderView> Orders, PointsView Points, IReadOnlyList<CouponView> Coupons);

/// <summary><c>GET /v1/me</c>: what the caller's own page begins with, in one answer and one round trip to the cache.</summary>
internal static class GetMe
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/v1/me", HandleAsync).For(AccessRule.User)
        .WithTags("Accounts").WithSummary("The caller's profile, newest orders, points and usable coupons").Produces<MeView>().IsVersioned();

    private static async Task<IResult> HandleAsync(
        HttpContext context, [FromKeyedServices(AccountsModule.Key)] Database accounts, NewestOrders orders, Points points, UsableCoupons coupons, TieredCache cache)
    {
        // In the order of the answer, and of the versions in its tag.
        var user = context.UserId();
        (string Name, Func<long, CachePart> Of)[] shown =
        [
            ("profile", known => new CachePart(Profile.KeyOf(user), () => Profile.LoadAsync(accounts, user), known)),
            ("orders", known => orders.Of(user, known)),
            ("points", known => points.Of(user, known)),
            ("coupons", known => coupons.Of(user, known)),
        ];
        var known = Versioned.KnownVersions(context.Request, shown.Length);
        var parts = shown.Zip(known, (part, version) => part.Of(version)).ToList();
        if (known.Any(version => version > 0) && await cache.AreUnchangedAsync([.. parts.Select(part => (part.Key, part.Known))]))
        {
            return Versioned.Unchanged(context, Versioned.TagOf(known));
        }

        var found = await cache.GetManyAsync(parts);
        return Versioned.Answer(context, Versioned.TagOf(found.Select(part => part.Version)), Together(shown.Zip(found, (part, answer) => (part.Name, answer.Json))));
    }

    // Each part is kept as it is sent, so nothing is read or written anew.
    private static byte[] Together(IEnumerable<(string Name, byte[]? Json)> parts)
    {
        using var buffer = new PooledBuffer();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            foreach (var (name, part) in parts)
            {
                json.WritePropertyName(name);
                json.WriteRawValue(part ?? "null"u8, skipInputValidation: true);
            }

            json.WriteEndObject();
        }

        return buffer.Written.ToArray();
    }
}

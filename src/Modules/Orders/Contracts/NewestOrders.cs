using Sluice.Platform.Cache;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders.Contracts;

/// <summary>The first page of a user's orders, as <c>GET /v1/orders</c> shows it: for answers that show it beside other things of that user.</summary>
public static class NewestOrders
{
    public static CacheKey KeyOf(string userId) => OrderPages.KeyOf(userId);

    /// <param name="known">The version that the caller has seen, 0 = none.</param>
    public static CachePart Of(Database database, string userId, long known) => new(KeyOf(userId), () => OrderPages.LoadFirstAsync(database, userId), known);
}

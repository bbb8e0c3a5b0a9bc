using Sluice.Platform.Cache;

namespace Sluice.Modules.Orders.Contracts;

/// <summary>The first page of a user's orders, as <c>GET /v1/orders</c> shows it: for answers that show it beside other things of that user.</summary>
public sealed class NewestOrders
{
    private readonly OrderPages pages;

    internal NewestOrders(OrderPages pages) => this.pages = pages;

    public static CacheKey KeyOf(string userId) => OrderPages.KeyOf(userId);

    /// <param name="known">The version that the caller has seen, 0 = none.</param>
    public CachePart Of(string userId, long known) => new(KeyOf(userId), () => pages.LoadFirstAsync(userId), known);
}

using System.Text.Json;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;

namespace Sluice.Modules.Orders;

/// <summary>The first page of a user's orders, kept until one of the orders changes: nearly everybody who looks at orders looks at this page. Later pages come from SQL.</summary>
internal sealed class OrderPages(OrderBook book, TieredCache cache)
{
    public static CacheKey KeyOf(string userId) => CacheKey.OfUser(userId, "orders:1");

    /// <summary>The first page, as JSON.</summary>
    /// <inheritdoc cref="TieredCache.GetAsync"/>
    public ValueTask<CachedAnswer> FirstAsync(string userId, long known) => cache.GetAsync(KeyOf(userId), () => LoadFirstAsync(userId), known);

    /// <inheritdoc cref="TieredCache.IsUnchangedAsync"/>
    public ValueTask<bool> IsUnchangedAsync(string userId, long version) => cache.IsUnchangedAsync(KeyOf(userId), version);

    /// <summary>A page, newest first.</summary>
    /// <param name="before">Only orders with a smaller id.</param>
    public async Task<Page<OrderView>> ReadAsync(string userId, long before, int limit) => Page(await book.PageAsync(userId, before, limit), limit);

    /// <summary>The first page from SQL.</summary>
    public async Task<CachedAnswer> LoadFirstAsync(string userId)
    {
        var (orders, version) = await book.NewestAsync(userId, Paging.LimitDefault);
        return new CachedAnswer(version, JsonSerializer.SerializeToUtf8Bytes(Page(orders, Paging.LimitDefault), OrdersJson.Default.PageOrderView));
    }

    // One more than fits says that there is a next page.
    private static Page<OrderView> Page(List<Order> orders, int limit)
    {
        var items = orders.Take(limit).Select(order => order.ToView()).ToList();
        return new Page<OrderView>(items, orders.Count > limit ? items[^1].Id : null);
    }
}

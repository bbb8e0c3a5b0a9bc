using System.Text.Json;
using Dapper;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Cache;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders;

/// <summary>The first page of a user's orders, kept until one of the orders changes: nearly everybody who looks at orders looks at this page. Later pages come from SQL.</summary>
internal sealed class OrderPages(Database database, TieredCache cache)
{
    /// <summary>Orders on a page unless the caller asks for another number.</summary>
    public const int OrdersDefault = 40;

    public static CacheKey KeyOf(string userId) => CacheKey.OfUser(userId, "orders:1");

    /// <summary>The first page, as JSON.</summary>
    /// <inheritdoc cref="TieredCache.GetAsync"/>
    public ValueTask<CachedAnswer> FirstAsync(string userId, long known) => cache.GetAsync(KeyOf(userId), () => LoadFirstAsync(database, userId), known);

    /// <inheritdoc cref="TieredCache.IsUnchangedAsync"/>
    public ValueTask<bool> IsUnchangedAsync(string userId, long version) => cache.IsUnchangedAsync(KeyOf(userId), version);

    /// <summary>A page, newest first.</summary>
    /// <param name="before">Only orders with a smaller id.</param>
    public static async Task<Page<OrderView>> ReadAsync(System.Data.Common.DbConnection connection, string userId, long before, int limit)
    {
        var orders = (await connection.QueryAsync<Order>(
            $"SELECT {Order.Columns} FROM orders WHERE id IN (SELECT id FROM claims WHERE user_id = @userId AND id < @before) ORDER BY id DESC LIMIT @count",
            new { userId, before, count = limit + 1 })).AsList();
        var items = orders.Take(limit).Select(order => order.ToView()).ToList();
        return new Page<OrderView>(items, orders.Count > limit ? items[^1].Id : null);
    }

    /// <summary>The first page from SQL.</summary>
    /// <remarks>Every order counts one, and one more when it is not pending any more, which happens once: so each change makes the version larger, and no column is needed for it.</remarks>
    public static Task<CachedAnswer> LoadFirstAsync(Database database, string userId) => database.ReadAsync(
        async connection =>
        {
            var version = await connection.QuerySingleAsync<long>(
                "SELECT COUNT(*) + COALESCE(SUM(CASE WHEN state <> @pending THEN 1 ELSE 0 END), 0) FROM orders WHERE id IN (SELECT id FROM claims WHERE user_id = @userId)",
                new { userId, pending = OrderState.Pending });
            return new CachedAnswer(version, JsonSerializer.SerializeToUtf8Bytes(await ReadAsync(connection, userId, long.MaxValue, OrdersDefault), OrdersJson.Default.PageOrderView));
        },
        ReadFrom.Reader);
}

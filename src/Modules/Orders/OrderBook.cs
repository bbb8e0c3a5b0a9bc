using System.Data.Common;
using Dapper;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders;

/// <summary>
/// Reads orders, wherever they are by now. An order on its way is in the outbox, then there and at its shard, then at the shard alone: so who looks into the outbox first and at the shard after it misses none, and what the shard says holds.
/// </summary>
internal sealed class OrderBook(Shards shards, OrderOutbox outbox)
{
    /// <summary>An order of this user (null: of anybody), or null.</summary>
    /// <exception cref="DependencyUnavailableException">Its shard is away.</exception>
    public async Task<Order?> FindAsync(long orderId, string? userId, ReadFrom from)
    {
        var shard = shards.Of(orderId);
        if (await FindAtAsync(shard, orderId, userId, from) is { } order)
        {
            return order;
        }

        // On its way? If it left the outbox between the two looks, it has arrived.
        return shard.IsMain ? null
            : await outbox.FindAsync(orderId) is not { } waiting ? await FindAtAsync(shard, orderId, userId, from)
            : userId is null || waiting.UserId == userId ? waiting
            : null;
    }

    /// <summary>The order of a claim for those who ask about the claim: null also while its shard is away, for the claim is known without it.</summary>
    public async Task<OrderView?> FindOfClaimAsync(long claimId)
    {
        try
        {
            return (await FindAsync(claimId, userId: null, ReadFrom.Writer))?.ToView();
        }
        catch (DependencyUnavailableException) when (!shards.Of(claimId).IsMain)
        {
            return null;
        }
    }

    /// <summary>What happened to an order.</summary>
    public Task<IReadOnlyList<OrderEvent>> TimelineAsync(Order order) => shards.Of(order.Id).Database.ReadAsync(connection => OrderTimeline.ReadAsync(connection, order), ReadFrom.Reader);

    /// <summary>A page of a user's orders, newest first; one more than <paramref name="limit"/> where there are more.</summary>
    /// <param name="before">Only orders with a smaller id.</param>
    public async Task<List<Order>> PageAsync(string userId, long before, int limit) => (await ReadAsync(userId, before, limit, counts: false)).Orders;

    /// <summary>The newest of a user's orders, and how many the user has.</summary>
    /// <remarks>Every order counts one, one more when it is not pending any more, which happens once, and one for each time that a coupon came or went: so each change makes the version larger.</remarks>
    public Task<(List<Order> Orders, long Version)> NewestAsync(string userId, int limit) => ReadAsync(userId, long.MaxValue, limit, counts: true);

    private async Task<(List<Order> Orders, long Version)> ReadAsync(string userId, long before, int limit, bool counts)
    {
        var shard = shards.Of(userId);
        if (shard.IsMain)
        {
            // A user is found in the claims: an index of orders by user would double the cost of an order.
            return await shard.Database.ReadAsync(
                connection => ReadAtAsync(connection, shard, "id IN (SELECT id FROM claims WHERE user_id = @userId)", "id IN (SELECT id FROM claims WHERE user_id = @userId AND id < @before)", userId, before, limit, counts), ReadFrom.Reader);
        }

        // All of the user's that are on their way: few, or the shard is away and there is no list.
        var waiting = (await shards.Main.ReadAsync(
            connection => connection.QueryAsync<Order>($"SELECT {Order.OutboxColumns} FROM order_outbox WHERE shard = @Index AND id IN (SELECT id FROM claims WHERE user_id = @userId)", new { shard.Index, userId }), ReadFrom.Reader)).AsList();
        return await shard.Database.ReadAsync(async connection =>
        {
            var (orders, version) = await ReadAtAsync(connection, shard, "user_id = @userId", "user_id = @userId AND id < @before", userId, before, limit, counts);
            if (waiting.Count > 0)
            {
                var arrived = (await connection.QueryAsync<long>("SELECT id FROM orders WHERE id IN @ids", new { ids = SqlList.Of(waiting.Select(order => order.Id)) })).ToHashSet();
                waiting.RemoveAll(order => arrived.Contains(order.Id));
                orders = [.. orders.Concat(waiting.Where(order => order.Id < before)).OrderByDescending(order => order.Id).Take(limit + 1)];
            }

            return (orders, version + waiting.Count);
        });
    }

    private static async Task<(List<Order> Orders, long Version)> ReadAtAsync(DbConnection connection, Shard shard, string ofUser, string ofPage, string userId, long before, int limit, bool counts)
    {
        var version = !counts ? 0 : await connection.QuerySingleAsync<long>(
            $"SELECT COUNT(*) + COALESCE(SUM(CASE WHEN state <> @pending THEN 1 ELSE 0 END + coupon_turns), 0) FROM orders WHERE {ofUser}", new { userId, pending = OrderState.Pending });
        var orders = await connection.QueryAsync<Order>($"SELECT {Order.ColumnsAt(shard)} FROM orders WHERE {ofPage} ORDER BY id DESC LIMIT @count", new { userId, before, count = limit + 1 });
        return (orders.AsList(), version);
    }

    private static Task<Order?> FindAtAsync(Shard shard, long orderId, string? userId, ReadFrom from) => shard.Database.ReadAsync(
        connection => connection.QuerySingleOrDefaultAsync<Order?>($"SELECT {Order.ColumnsAt(shard)} FROM orders WHERE id = @orderId{(userId is null ? "" : " AND user_id = @userId")}", new { orderId, userId }), from);
}

using System.Data.Common;
using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders.Contracts;

/// <summary>What of an order decides about its coupon.</summary>
/// <param name="FullCents">Price times units, without a discount.</param>
/// <param name="IsPending">It can be paid, and its coupon can still change. What is not pending never changes again.</param>
/// <param name="Turns">Grows by one whenever a coupon comes or goes. A coupon that is taken for the order in one turn can come to it in that turn only.</param>
internal sealed record CouponOrder(long Id, string UserId, long FullCents, string Currency, bool IsPending, bool IsPaid, long? CouponId, long Turns)
{
    /// <summary>The coupon is at it, for good or as long as the order is open.</summary>
    public bool Has(long couponId) => CouponId == couponId && (IsPending || IsPaid);
}

/// <summary>The coupon of an order: one guarded statement puts it there, one takes it off, and only while the order is pending. The order's row is at the shard of its user.</summary>
internal sealed class OrderCoupons(Shards shards, OrderBook book, OrderOutbox outbox, CacheChanges changes)
{
    /// <summary>The order is in the main database: one transaction changes it and the coupon.</summary>
    public bool IsAtHome(long orderId) => shards.Of(orderId).IsMain;

    /// <summary>An order of this user as it is now, or null; from here on it is at its shard.</summary>
    /// <exception cref="Platform.Hosting.DependencyUnavailableException">Its shard is away.</exception>
    public async Task<CouponOrder?> FindAsync(long orderId, string userId)
    {
        var shard = shards.Of(orderId);
        if (!shard.IsMain)
        {
            await outbox.BringAsync(shard, [orderId]);
        }

        return await book.FindAsync(orderId, userId, ReadFrom.Writer) is { } order ? Of(order) : null;
    }

    /// <summary>The same for an order at home, which nobody else changes until the transaction ends.</summary>
    public static async Task<CouponOrder?> LockAsync(DbTransaction transaction, long orderId, string userId) => await transaction.Connection!.QuerySingleOrDefaultAsync<Order?>(
        $"SELECT {Order.Columns} FROM orders WHERE id = @orderId AND user_id = @userId{Dialect.ForUpdate(transaction)}", new { orderId, userId }, transaction) is { } order ? Of(order) : null;

    /// <summary>Puts a coupon to a pending order that has none and is in the same turn as then.</summary>
    /// <returns>False: it is not as it was. Nothing was done, unless the commit of an earlier try got lost: look at the order.</returns>
    public async Task<bool> PutAsync(DbTransaction transaction, CouponOrder order, long couponId, long discountCents)
    {
        var put = await transaction.Connection!.ExecuteAsync(
            "UPDATE orders SET coupon_id = @couponId, discount_cents = @discountCents, coupon_turns = coupon_turns + 1 WHERE id = @Id AND state = @pending AND coupon_id IS NULL AND coupon_turns = @Turns",
            new { order.Id, order.Turns, couponId, discountCents, pending = OrderState.Pending },
            transaction) == 1;
        if (put)
        {
            await changes.AddAsync(transaction, [OrderPages.KeyOf(order.UserId)]);
        }

        return put;
    }

    /// <summary>The same in a transaction of its own, at the order's shard.</summary>
    public Task<bool> PutAsync(CouponOrder order, long couponId, long discountCents) =>
        shards.Of(order.Id).Database.WriteAsync(transaction => PutAsync(transaction, order, couponId, discountCents), LostCommit.RunAgain);

    /// <summary>Takes the coupon off a pending order. A coupon that is on its way there in an earlier turn does not arrive any more.</summary>
    /// <returns>The turn from now on; null: the order is not pending any more, and nothing was done.</returns>
    public async Task<long?> TakeOffAsync(DbTransaction transaction, CouponOrder order)
    {
        var taken = await transaction.Connection!.ExecuteAsync(
            "UPDATE orders SET coupon_id = NULL, discount_cents = 0, coupon_turns = coupon_turns + 1 WHERE id = @Id AND state = @pending", new { order.Id, pending = OrderState.Pending }, transaction) == 1;
        if (!taken)
        {
            return null;
        }

        await changes.AddAsync(transaction, [OrderPages.KeyOf(order.UserId)]);
        return await transaction.Connection!.QuerySingleAsync<long>("SELECT coupon_turns FROM orders WHERE id = @Id", new { order.Id }, transaction);
    }

    /// <summary>The same in a transaction of its own, at the order's shard.</summary>
    public Task<long?> TakeOffAsync(CouponOrder order) =>

        // May run again: one turn more does no harm.
        shards.Of(order.Id).Database.WriteAsync(transaction => TakeOffAsync(transaction, order), LostCommit.RunAgain);

    /// <summary>The order as its buyer sees it after a change that is committed and noted; every next look at the list shows it.</summary>
    public async Task<OrderView> ShowAsync(long orderId, string userId)
    {
        await changes.TellAsync([OrderPages.KeyOf(userId)]);
        return (await book.FindAsync(orderId, userId, ReadFrom.Writer))!.ToView();
    }

    /// <summary>How these orders stand, those that are at their shard.</summary>
    /// <exception cref="Platform.Hosting.DependencyUnavailableException">A shard is away.</exception>
    public async Task<IReadOnlyList<CouponOrder>> StandingAsync(IReadOnlyCollection<long> orderIds)
    {
        List<CouponOrder> found = [];
        foreach (var some in orderIds.GroupBy(shards.Of))
        {
            found.AddRange((await some.Key.Database.ReadAsync(connection => connection.QueryAsync<Order>(
                $"SELECT {Order.ColumnsAt(some.Key)} FROM orders WHERE id IN @ids", new { ids = SqlList.Of(some) }))).Select(Of));
        }

        return found;
    }

    /// <summary>Open and paid orders that have one of these coupons: on the snapshot where all orders are there, else at every shard, as it is now.</summary>
    /// <inheritdoc cref="StandingAsync"/>
    public async Task<IReadOnlyList<(long CouponId, long OrderId)>> HoldersAsync(DbConnection snapshot, IReadOnlyCollection<long> couponIds)
    {
        List<(long CouponId, long OrderId)> found = [];
        foreach (var shard in shards.All)
        {
            found.AddRange(shard.IsMain ? await ReadAsync(snapshot) : await shard.Database.ReadAsync(ReadAsync));
        }

        return found;

        Task<IEnumerable<(long, long)>> ReadAsync(DbConnection connection) =>
            connection.QueryAsync<(long, long)>("SELECT live_coupon_id, id FROM orders WHERE live_coupon_id IN @ids", new { ids = SqlList.Of(couponIds) });
    }

    private static CouponOrder Of(Order order) => new(
        order.Id, order.UserId, order.FullCents, order.Currency, order.State == OrderState.Pending, order.State == OrderState.Paid, order.CouponId, order.CouponTurns);
}

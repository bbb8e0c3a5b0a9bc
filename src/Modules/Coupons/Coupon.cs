using System.Data.Common;
using Dapper;
using Sluice.Modules.Coupons.Contracts;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Coupons;

/// <summary>Where a coupon stands. Unused → held → used; held → unused when it was given back.</summary>
internal enum CouponState
{
    Unused = 0,

    /// <summary>Taken for an order that can still be paid, or of which nobody has looked yet how it ended.</summary>
    Held = 1,

    /// <summary>Its order is paid, with it: it never comes back.</summary>
    Used = 2,
}

/// <summary>The row of <c>coupons</c>, and the only statements that change one; times in Unix milliseconds.</summary>
/// <param name="OrderTurns">The turn of the order (<see cref="CouponOrder.Turns"/>) in which it was taken for it.</param>
[method: ExplicitConstructor]
internal sealed record Coupon(long Id, long TemplateId, string UserId, long ValidUntil, CouponState State, long? OrderId, long OrderTurns)
{
    public const string Columns = "id AS Id, template_id AS TemplateId, user_id AS UserId, valid_until AS ValidUntil, state AS State, order_id AS OrderId, order_turns AS OrderTurns";

    private const string Back = "UPDATE coupons SET state = 0, order_id = NULL, version = version + 1";

    /// <summary>Under which the newest usable ones of a user are kept.</summary>
    public static CacheKey KeyOf(string userId) => CacheKey.OfUser(userId, "coupons");

    public CouponView ToView(CouponTemplate template, long now) => new(
        Names.Id(Id), Names.Id(TemplateId), template.Title, template.KindName, template.AmountOffCents, (int?)template.PercentOff, template.MinimumCents, template.MaximumOffCents, template.Currency,
        CouponTemplate.Utc(ValidUntil)!.Value, State != CouponState.Unused ? "used" : ValidUntil <= now ? "expired" : "usable", OrderId is { } order ? Names.Id(order) : null);

    /// <summary>A user's own coupon, or null.</summary>
    public static Task<Coupon?> FindAsync(DbConnection connection, long id, string userId) =>
        connection.QuerySingleOrDefaultAsync<Coupon?>($"SELECT {Columns} FROM coupons WHERE id = @id AND user_id = @userId", new { id, userId });

    /// <summary>The same; nobody else changes it until the transaction ends. After the order, where both are locked.</summary>
    public static Task<Coupon?> LockAsync(DbTransaction transaction, long id, string userId) => transaction.Connection!.QuerySingleOrDefaultAsync<Coupon?>(
        $"SELECT {Columns} FROM coupons WHERE id = @id AND user_id = @userId{Dialect.ForUpdate(transaction)}", new { id, userId }, transaction);

    /// <summary>Takes an unused coupon for an order in its present turn; one that the order has taken in this turn or before stays with it.</summary>
    /// <returns>False: another order has it, or this one in a later turn. Nothing was done.</returns>
    public static async Task<bool> TakeAsync(DbTransaction transaction, long id, CouponOrder order) => await transaction.Connection!.ExecuteAsync(
        "UPDATE coupons SET state = 1, order_id = @orderId, order_turns = @Turns, version = version + 1 WHERE id = @id AND (state = 0 OR (state = 1 AND order_id = @orderId AND order_turns <= @Turns))",
        new { id, orderId = order.Id, order.Turns }, transaction) == 1;

    /// <summary>Gives a coupon back that cannot come to the order any more for which it was taken in this turn or before. Idempotent.</summary>
    public static Task<int> GiveBackAsync(DbTransaction transaction, long id, CouponOrder order) => transaction.Connection!.ExecuteAsync(
        $"{Back} WHERE id = @id AND state = 1 AND order_id = @orderId AND order_turns <= @Turns", new { id, orderId = order.Id, order.Turns }, transaction);

    /// <summary>Gives back what was taken for an order before this turn. Idempotent.</summary>
    public static Task<int> GiveBackBeforeAsync(DbTransaction transaction, long orderId, long turns) => transaction.Connection!.ExecuteAsync(
        $"{Back} WHERE order_id = @orderId AND state = 1 AND order_turns < @turns", new { orderId, turns }, transaction);

    /// <summary>Gives back everything that was taken for orders that have ended unpaid, and never change again. Idempotent.</summary>
    /// <returns>What is kept and has changed.</returns>
    public static async Task<IReadOnlyList<CacheKey>> GiveBackAllAsync(DbTransaction transaction, IReadOnlyList<long> endedOrderIds)
    {
        var held = (await transaction.Connection!.QueryAsync<(long Id, string UserId)>(
            $"SELECT id, user_id FROM coupons WHERE order_id IN @orders AND state = 1 ORDER BY id{Dialect.ForUpdate(transaction)}", new { orders = SqlList.Of(endedOrderIds) }, transaction)).AsList();
        await transaction.Connection!.ExecuteAsync($"{Back} WHERE id IN @ids AND state = 1", new { ids = SqlList.Of(held.Select(coupon => coupon.Id)) }, transaction);
        return [.. held.Select(coupon => coupon.UserId).Distinct(StringComparer.Ordinal).Select(KeyOf)];
    }

    /// <summary>The order was paid with it: nobody need look after it any more. Idempotent.</summary>
    public static Task<int> SettleAsync(DbTransaction transaction, IEnumerable<long> ids) => transaction.Connection!.ExecuteAsync(
        "UPDATE coupons SET state = 2 WHERE id IN @ids AND state = 1", new { ids = SqlList.Of(ids) }, transaction);
}

using System.Data.Common;
using Dapper;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Hosting;

namespace Sluice.Modules.Orders;

/// <summary>What happened to an order, in its order: from the rows that already say it, so nothing is written for it.</summary>
internal static class OrderTimeline
{
    // A user has few payments of an order; a provider that repeats itself with new ids has many.
    private const int RefundsMax = 20;

    /// <summary>Two look-ups by key, none for an order that is pending.</summary>
    public static async Task<IReadOnlyList<OrderEvent>> ReadAsync(DbConnection connection, Order order)
    {
        List<OrderEvent> events = [new("claimed", ClaimIds.TimeOf(order.Id).UtcDateTime), new("ordered", Utc(order.CreatedAt))];
        if (order.State == OrderState.Pending)
        {
            return events;
        }

        if (order.PaidAt is { } paid)
        {
            events.Add(new("paid", Utc(paid)));
        }

        if (await connection.QuerySingleOrDefaultAsync<long?>("SELECT released_at FROM releases WHERE claim_id = @Id", new { order.Id }) is { } released)
        {
            events.Add(new(order.State == OrderState.Expired ? "expired" : "cancelled", Utc(released)));
        }

        events.AddRange((await connection.QueryAsync<long>(
            "SELECT received_at FROM payments WHERE order_id = @Id AND outcome = @refundDue ORDER BY received_at LIMIT @RefundsMax", new { order.Id, refundDue = PaymentOutcome.RefundDue, RefundsMax }))
            .Select(at => new OrderEvent("refund-due", Utc(at))));
        return [.. events.OrderBy(one => one.At)];
    }

    private static DateTime Utc(long ms) => DateTimeOffset.FromUnixTimeMilliseconds(ms).UtcDateTime;
}

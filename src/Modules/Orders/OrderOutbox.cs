using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders;

/// <summary>
/// The way of an order to its shard, where that is not the main database. Its claim's transaction leaves it in <c>order_outbox</c>; from there it is copied, and then deleted. Nothing changes an order while it is in the outbox:
/// whoever wants to pay or end it brings it to its shard first. So a copy is right at any moment, and one that comes late finds the order there and changes nothing, whatever became of it since.
/// </summary>
internal sealed class OrderOutbox(Shards shards)
{
    private const int PerRoundMax = 500;

    /// <summary>An order that has not gone its way yet, or null.</summary>
    public Task<Order?> FindAsync(long orderId) => shards.Main.ReadAsync(connection =>
        connection.QuerySingleOrDefaultAsync<Order?>($"SELECT {Order.OutboxColumns} FROM order_outbox WHERE id = @orderId", new { orderId }));

    /// <summary>Copies the oldest orders that wait for a shard. Safe at any moment, any number of processes at once.</summary>
    /// <returns>How many there were; fewer than <see cref="PerRoundMax"/>: that was all.</returns>
    /// <exception cref="DependencyUnavailableException">The shard or the main database is away: the next call goes on.</exception>
    public async Task<bool> ForwardAsync(Shard shard)
    {
        var waiting = (await shards.Main.ReadAsync(connection => connection.QueryAsync<Order>(
            $"SELECT {Order.OutboxColumns} FROM order_outbox WHERE shard = @Index ORDER BY id LIMIT @PerRoundMax", new { shard.Index, PerRoundMax }))).AsList();
        await CopyAsync(shard, waiting);
        return waiting.Count == PerRoundMax;
    }

    /// <summary>After this those of the orders that wait are at the shard. One look at the main database where none does.</summary>
    /// <inheritdoc cref="ForwardAsync"/>
    public async Task BringAsync(Shard shard, IReadOnlyList<long> orderIds) => await CopyAsync(shard, (await shards.Main.ReadAsync(connection => connection.QueryAsync<Order>(
        $"SELECT {Order.OutboxColumns} FROM order_outbox WHERE id IN @ids ORDER BY id", new { ids = SqlList.Of(orderIds) }))).AsList());

    private async Task CopyAsync(Shard shard, List<Order> orders)
    {
        if (orders.Count == 0)
        {
            return;
        }

        // May run again, both: an order that is there is passed over, and one that is gone is gone.
        await shard.Database.WriteAsync(transaction => OrderRows.InsertAsync(transaction, shard, orders), LostCommit.RunAgain);
        FaultPoints.Reach("shard.copied");
        await shards.Main.WriteAsync(
            transaction => transaction.Connection!.ExecuteAsync("DELETE FROM order_outbox WHERE id IN @ids", new { ids = SqlList.Of(orders.Select(order => order.Id)) }, transaction), LostCommit.RunAgain);
    }
}

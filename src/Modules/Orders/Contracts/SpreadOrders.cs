using System.Data.Common;
using Dapper;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders.Contracts;

/// <summary>
/// Moves orders with their payments and releases to other shards, while no node runs. All are copied first, then counted, then the map is changed, and then the old rows are deleted, each only when its copy is seen.
/// Broken off anywhere it is run again: a row that was copied before is replaced by what is true now.
/// </summary>
public sealed class SpreadOrders(ShardMove move)
{
    private const int OrdersPerStep = 500;

    private const string Payments = "payment_id AS PaymentId, order_id AS OrderId, amount_cents AS AmountCents, currency AS Currency, outcome AS Outcome, received_at AS ReceivedAt";

    private readonly BatchInsert insertReleases = new("releases", "claim_id", "pool_id", "user_id", "units", "returned", "released_at");

    /// <summary>Why nothing may be moved now, or null.</summary>
    public async Task<string?> WhyNotAsync()
    {
        const string Wait = "Start the shop as it was, wait until 'sluice audit' says that all holds, and stop it again.";
        if (await move.Main.ReadAsync(connection => connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM order_outbox")) is > 0 and var waiting)
        {
            return $"{waiting} orders are still on the way to their shard. {Wait}";
        }

        foreach (var shard in move.All.Where(shard => !shard.IsMain))
        {
            if (await shard.Database.ReadAsync(connection => connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM releases WHERE returned = 0")) is > 0 and var releases)
            {
                return $"{releases} releases of shard {shard.Index} are still on the way to the main database. {Wait}";
            }
        }

        return null;
    }

    /// <summary>Does all of it.</summary>
    /// <param name="progress">Told how many orders were copied so far.</param>
    /// <returns>How many orders went elsewhere.</returns>
    /// <exception cref="DependencyUnavailableException">A database went away: run it again.</exception>
    public async Task<long> RunAsync(Action<long> progress)
    {
        await move.BeginAsync();
        var copied = 0L;
        foreach (var shard in move.All)
        {
            await PagesAsync(shard, async orders =>
            {
                if (move.IsFirst)
                {
                    await NumberPaymentsAsync(orders);
                }

                foreach (var some in orders.Where(order => move.From(order.Id) == shard).GroupBy(order => move.To(order.Id)).Where(some => some.Key != shard))
                {
                    await CopyAsync(shard, some.Key, [.. some]);
                    copied += some.Count();
                }

                FaultPoints.Reach("spread.copied");
                progress(copied);
            });
        }

        await DemandAllThereAsync();
        await move.EndAsync();
        FaultPoints.Reach("spread.mapped");
        foreach (var shard in move.All)
        {
            await PagesAsync(shard, orders => ClearAsync(shard, [.. orders.Where(order => move.To(order.Id) != shard)]));
        }

        return copied;
    }

    private static async Task PagesAsync(Shard shard, Func<List<Order>, Task> use)
    {
        for (var last = 0L; ;)
        {
            var orders = (await shard.Database.ReadAsync(connection => connection.QueryAsync<Order>(
                $"SELECT {Order.ColumnsAt(shard)} FROM orders WHERE id > @last ORDER BY id LIMIT @OrdersPerStep", new { last, OrdersPerStep }))).AsList();
            if (orders.Count == 0)
            {
                return;
            }

            last = orders[^1].Id;
            await use(orders);
        }
    }

    private async Task CopyAsync(Shard from, Shard to, List<Order> orders)
    {
        var ids = SqlList.Of(orders.Select(order => order.Id));
        var (payments, releases) = await from.Database.ReadAsync(async connection => (
            (await connection.QueryAsync<Payment>($"SELECT {Payments} FROM payments WHERE order_id IN @ids", new { ids })).AsList(),
            (await connection.QueryAsync<Release>(
                "SELECT r.claim_id AS ClaimId, o.sale_id AS PoolId, r.user_id AS UserId, r.units AS Units, r.released_at AS ReleasedAt FROM releases r JOIN orders o ON o.id = r.claim_id WHERE r.claim_id IN @ids", new { ids })).AsList()));

        // May run again: what is there of these orders is of a move that was broken off, and goes.
        await to.Database.WriteAsync(
            async transaction =>
            {
                await DeleteAsync(transaction, to, ids);
                await OrderRows.InsertAsync(transaction, to, orders);
                await transaction.Connection!.ExecuteAsync(
                    "INSERT INTO payments (payment_id, order_id, amount_cents, currency, outcome, received_at) VALUES (@PaymentId, @OrderId, @AmountCents, @Currency, @Outcome, @ReceivedAt)", payments, transaction);
                if (!to.IsMain)
                {
                    // The main database has its own. Here they only say when it was: it knows of all of them.
                    await insertReleases.RunAsync(transaction, releases.Count, (row, column) => column switch
                    {
                        0 => releases[row].ClaimId,
                        1 => releases[row].PoolId,
                        2 => releases[row].UserId,
                        3 => releases[row].Units,
                        4 => 1,
                        _ => releases[row].ReleasedAt,
                    });
                }
            },
            LostCommit.RunAgain);
    }

    // Which order each payment is of, as home knows it of every payment that comes in once there are shards.
    private Task<int> NumberPaymentsAsync(List<Order> orders) => move.Main.WriteAsync(
        transaction => transaction.Connection!.ExecuteAsync(
            "INSERT INTO payment_ids (payment_id, order_id) SELECT p.payment_id, p.order_id FROM payments p WHERE p.order_id IN @ids AND NOT EXISTS (SELECT 1 FROM payment_ids k WHERE k.payment_id = p.payment_id)",
            new { ids = SqlList.Of(orders.Select(order => order.Id)) },
            transaction),
        LostCommit.RunAgain);

    private async Task DemandAllThereAsync()
    {
        var (left, came) = (Sums.None, Sums.None);
        foreach (var shard in move.All)
        {
            left += await SumsAsync(shard, move.Leaving(shard));
            came += await SumsAsync(shard, move.ComingTo(shard));
        }

        if (left != came)
        {
            throw new InvalidOperationException($"What was copied is not what there was: {came}, not {left}. The old map holds; nothing was deleted.");
        }
    }

    private static Task<Sums> SumsAsync(Shard shard, IReadOnlyList<long> buckets) => shard.Database.ReadAsync(async connection =>
    {
        var of = new { buckets = SqlList.Of(buckets) };
        var (orders, states, cents, coupons, turns) = await connection.QuerySingleAsync<(long, decimal, decimal, decimal, decimal)>(
            "SELECT COUNT(*), COALESCE(SUM(state), 0), COALESCE(SUM(price_cents * units - discount_cents), 0), COALESCE(SUM(coupon_id % 1000003), 0), COALESCE(SUM(coupon_turns), 0) FROM orders WHERE user_bucket IN @buckets", of);
        var (payments, paid) = await connection.QuerySingleAsync<(long, decimal)>("SELECT COUNT(*), COALESCE(SUM(amount_cents), 0) FROM payments WHERE user_bucket IN @buckets", of);
        return new Sums(orders, states, cents, coupons, turns, payments, paid);
    });

    // The last line: nothing is deleted that is not where the map says.
    private async Task ClearAsync(Shard shard, List<Order> orders)
    {
        foreach (var some in orders.GroupBy(order => move.To(order.Id)))
        {
            var ids = SqlList.Of(some.Select(order => order.Id));
            var there = await some.Key.Database.ReadAsync(connection => connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM orders WHERE id IN @ids", new { ids }));
            if (there != some.Count())
            {
                throw new InvalidOperationException($"Of {some.Count()} orders of shard {some.Key.Index} that are left at shard {shard.Index} only {there} are where they should be. Nothing of them was deleted.");
            }

            // May run again: what is gone is gone.
            await shard.Database.WriteAsync(transaction => DeleteAsync(transaction, shard, ids), LostCommit.RunAgain);
        }
    }

    private static async Task DeleteAsync(DbTransaction transaction, Shard shard, SqlList ids)
    {
        var connection = transaction.Connection!;
        await connection.ExecuteAsync("DELETE FROM payments WHERE order_id IN @ids", new { ids }, transaction);
        await connection.ExecuteAsync("DELETE FROM orders WHERE id IN @ids", new { ids }, transaction);
        if (!shard.IsMain)
        {
            await connection.ExecuteAsync("DELETE FROM releases WHERE claim_id IN @ids", new { ids }, transaction);
        }
    }

    [method: ExplicitConstructor]
    private sealed record Payment(string PaymentId, long OrderId, long AmountCents, string Currency, long Outcome, long ReceivedAt);

    [method: ExplicitConstructor]
    private sealed record Release(long ClaimId, long PoolId, string UserId, long Units, long ReleasedAt);

    private sealed record Sums(long Orders, decimal States, decimal Cents, decimal Coupons, decimal CouponTurns, long Payments, decimal Paid)
    {
        public static readonly Sums None = new(0, 0, 0, 0, 0, 0, 0);

        public static Sums operator +(Sums one, Sums other) =>
            new(one.Orders + other.Orders, one.States + other.States, one.Cents + other.Cents, one.Coupons + other.Coupons, one.CouponTurns + other.CouponTurns, one.Payments + other.Payments, one.Paid + other.Paid);
    }
}

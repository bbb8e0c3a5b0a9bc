using System.Data.Common;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders;

/// <summary><c>POST /v1/orders/{id}/cancel</c>: the buyer changes their mind before paying.</summary>
internal static class CancelOrder
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapPost("/v1/orders/{id}/cancel", HandleAsync).For(AccessRule.User)
        .WithTags("Orders").WithSummary("Cancel an unpaid order; its units go back to the sale").Produces<OrderView>().Refuses(409, "order-paid");

    private static async Task<IResult> HandleAsync(string id, HttpContext context, OrderBook book, Shards shards, CloseOrder close)
    {
        if (!Names.TryId(id, out var orderId) || await book.FindAsync(orderId, context.UserId(), ReadFrom.Writer) is not { } before)
        {
            return Problem.NotFound("order");
        }

        if (before.State == OrderState.Pending)
        {
            await close.RunAsync(shards.Of(orderId), [orderId], OrderState.Cancelled);
        }

        // Read again: payment or expiry may have been faster.
        var order = (await book.FindAsync(orderId, context.UserId(), ReadFrom.Writer))!;
        return order.State switch
        {
            OrderState.Cancelled or OrderState.Expired => Results.Json(order.ToView(), OrdersJson.Default.OrderView),
            OrderState.Paid => new Problem(409, "order-paid", "Already paid", "The payment was faster. Ask the shop for a refund."),
            OrderState.Pending => throw new InvalidOperationException($"Order {orderId} is pending after it was cancelled."),
        };
    }
}

/// <summary>Ends pending orders and gives their units back: the order, the claim and the release in one transaction, then Redis. At a shard the order and the release that is due; then home, then Redis.</summary>
internal sealed partial class CloseOrder(
    Shards shards, Releases releases, ShardReleases shardReleases, OrderOutbox outbox, IEnumerable<OrderEnding> endings, CacheChanges changes, ILogger<CloseOrder> log)
{
    /// <summary>Only orders that are still pending are closed: payment and cancellation race for one guarded row each, and one of them wins.</summary>
    /// <param name="shard">Where all of them are.</param>
    /// <returns>How many were closed.</returns>
    public async Task<int> RunAsync(Shard shard, IReadOnlyList<long> orderIds, OrderState to)
    {
        if (!shard.IsMain)
        {
            await outbox.BringAsync(shard, orderIds);
        }

        // May run again: an order that was closed is not pending any more, and is passed over.
        var (closed, withCoupon, pages) = await shard.Database.WriteAsync(transaction => CloseAsync(transaction, shard, orderIds, to), LostCommit.RunAgain);
        if (closed.Count > 0)
        {
            FaultPoints.Reach(shard.IsMain ? "release.committed" : "shard.closed");
            await changes.TellAsync(pages);
            try
            {
                if (!shard.IsMain)
                {
                    await shardReleases.TakeAsync(shard, closed);
                    await GiveBackAsync(withCoupon);
                }

                await releases.ReturnPendingAsync();
            }
            catch (DependencyUnavailableException e)
            {
                // Decided is decided: the units come back as soon as Redis is there (PoolKeeper repeats it), and the main database (ForwardOrders).
                LogLater(log, closed.Count, e.Message);
            }
        }

        return closed.Count;
    }

    private async Task<(List<long> Closed, List<long> WithCoupon, List<CacheKey> Pages)> CloseAsync(DbTransaction transaction, Shard shard, IReadOnlyList<long> orderIds, OrderState to)
    {
        var connection = transaction.Connection!;
        var pending = (await connection.QueryAsync<ShardRelease>(
            $"SELECT id AS ClaimId, sale_id AS PoolId, user_id AS UserId, units AS Units FROM orders WHERE id IN @orderIds AND state = @pending ORDER BY id{Dialect.ForUpdate(transaction)}",
            new { orderIds = SqlList.Of(orderIds), pending = OrderState.Pending },
            transaction)).AsList();
        var ids = pending.ConvertAll(order => order.ClaimId);
        await connection.ExecuteAsync("UPDATE orders SET state = @to WHERE id IN @ids", new { ids = SqlList.Of(ids), to }, transaction);
        var withCoupon = (await connection.QueryAsync<long>("SELECT id FROM orders WHERE id IN @ids AND coupon_id IS NOT NULL", new { ids = SqlList.Of(ids) }, transaction)).AsList();
        List<CacheKey> pages = [.. pending.Select(order => order.UserId).Distinct(StringComparer.Ordinal).Select(OrderPages.KeyOf)];
        if (shard.IsMain)
        {
            var released = await releases.ReleaseAsync(transaction, ids);
            if (released.Count != ids.Count)
            {
                throw new InvalidOperationException($"Of {ids.Count} pending orders only {released.Count} had a confirmed claim.");
            }

            pages.AddRange(await OrderEnding.AllAsync(endings, transaction, withCoupon));
        }
        else
        {
            await shardReleases.NoteAsync(transaction, pending);
        }

        await changes.AddAsync(transaction, pages);
        return (ids, withCoupon, pages);
    }

    // What ended at a shard, at home. Should it not come to that, whoever has the coupons looks for such orders.
    private async Task GiveBackAsync(List<long> orderIds)
    {
        if (orderIds.Count > 0)
        {
            // May run again: a coupon that was given back is not the order's any more.
            await changes.TellAsync(await shards.Main.WriteAsync(
                async transaction =>
                {
                    var keys = await OrderEnding.AllAsync(endings, transaction, orderIds);
                    await changes.AddAsync(transaction, keys);
                    return keys;
                },
                LostCommit.RunAgain));
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Count} released claims wait for Redis: {Says}")]
    private static partial void LogLater(ILogger log, int count, string says);
}

/// <summary>Gives the units of orders that were not paid in time back to their sale.</summary>
internal sealed partial class ExpireUnpaid(Shards shards, CloseOrder close, OrdersOptions options, TimeProvider time, ILogger<ExpireUnpaid> log) : BackgroundService
{
    private const int OrdersPerRoundMax = 500;

    // Each shard by itself: one that is away keeps nobody else waiting.
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(shards.All.Select(shard => RunAsync(shard, stoppingToken)));

    /// <summary>One round: closes what is overdue now. Returns how many orders.</summary>
    private async Task<int> RoundAsync(Shard shard)
    {
        var overdue = (await shard.Database.ReadAsync(connection => connection.QueryAsync<long>(
            "SELECT id FROM orders WHERE state = 0 AND pay_by < @now ORDER BY pay_by LIMIT @OrdersPerRoundMax",
            new { now = time.GetUtcNow().ToUnixTimeMilliseconds(), OrdersPerRoundMax }))).AsList();
        return overdue.Count == 0 ? 0 : await close.RunAsync(shard, overdue, OrderState.Expired);
    }

    private async Task RunAsync(Shard shard, CancellationToken stoppingToken)
    {
        await Task.Yield();
        while (!stoppingToken.IsCancellationRequested)
        {
            var expired = 0;
            try
            {
                expired = await RoundAsync(shard);
            }
            catch (Exception e)
            {
                // The edge of the process: an engine is away, or something nobody thought of. Neither may end the job, both must be seen.
                LogFailed(log, e is DependencyUnavailableException ? null : e, e.Message);
            }

            if (expired < OrdersPerRoundMax)
            {
                await Task.Delay(options.ExpiryRound, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Looking for unpaid orders failed, trying again: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, string says);
}

using Dapper;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Coupons;

/// <summary>
/// Looks after coupons that are held: gives back those whose order has ended without being paid with them, and lets go of those whose order is paid with them. An order that has ended never gets a coupon again, so this is safe at any moment,
/// any number of processes at once. Where order and coupon are in one database nearly nothing is left for it: the transaction that ends an order gives its coupon back.
/// </summary>
internal sealed partial class GiveBackCoupons(OrderCoupons orders, Database database, CacheChanges changes, CouponsOptions options, TimeProvider time, ILogger<GiveBackCoupons> log) : BackgroundService
{
    private const int CouponsPerLook = 500;

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Rounds.RunAsync(RoundAsync, options.GiveBackRound, (error, says) => LogFailed(log, error, says), time, stoppingToken);

    /// <summary>One round: every coupon that is held now. As many as there are open orders with one, about.</summary>
    internal async Task RoundAsync()
    {
        for (var last = 0L; ;)
        {
            var held = (await database.ReadAsync(connection => connection.QueryAsync<Coupon>(
                $"SELECT {Coupon.Columns} FROM coupons WHERE state = 1 AND id > @last ORDER BY id LIMIT @CouponsPerLook", new { last, CouponsPerLook }))).AsList();
            if (held.Count == 0)
            {
                return;
            }

            last = held[^1].Id;
            await LookAsync(held);
        }
    }

    private async Task LookAsync(List<Coupon> held)
    {
        var ended = (await orders.StandingAsync([.. held.Select(coupon => coupon.OrderId!.Value).Distinct()])).Where(order => !order.IsPending).ToDictionary(order => order.Id);
        var of = held.Where(coupon => ended.ContainsKey(coupon.OrderId!.Value)).ToLookup(coupon => ended[coupon.OrderId!.Value].Has(coupon.Id));
        if (of.Count == 0)
        {
            return;
        }

        // May run again: each is guarded by the order that had it.
        List<CacheKey> keys = [.. of[false].Select(coupon => coupon.UserId).Distinct(StringComparer.Ordinal).Select(Coupon.KeyOf)];
        await database.WriteAsync(
            async transaction =>
            {
                await Coupon.SettleAsync(transaction, of[true].Select(coupon => coupon.Id));
                foreach (var coupon in of[false])
                {
                    await Coupon.GiveBackAsync(transaction, coupon.Id, ended[coupon.OrderId!.Value]);
                }

                await changes.AddAsync(transaction, keys);
            },
            LostCommit.RunAgain);
        await changes.TellAsync(keys);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Looking after held coupons failed, trying again: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, string says);
}

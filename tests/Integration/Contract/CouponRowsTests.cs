using System.Data.Common;
using Dapper;
using Sluice.Host;
using Sluice.Modules.Coupons;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>What the engines themselves let nobody write about coupons, and the guarded statements in every order in which two who are late may come: alike on SQLite and MariaDB.</summary>
public sealed class CouponRowsTests(Engines engines)
{
    private static readonly CouponOrder Order = new(1, "u", 100, "EUR", IsPending: true, IsPaid: false, CouponId: null, Turns: 3);

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task Engine_LetsNobodyWriteADiscountThatCannotBe(Engine engine)
    {
        using var folder = new TempFolder();
        using var database = await OpenAsync(engine, folder);
        await RefusedAsync("UPDATE orders SET coupon_id = 7, discount_cents = -1 WHERE id = 1");
        await RefusedAsync("UPDATE orders SET coupon_id = 7, discount_cents = 101 WHERE id = 1");
        await RefusedAsync("UPDATE orders SET discount_cents = 1 WHERE id = 1");
        await RefusedAsync("UPDATE coupons SET state = 1 WHERE id = 7");
        await RefusedAsync("UPDATE coupons SET order_id = 1 WHERE id = 7");
        await RefusedAsync("INSERT INTO coupon_templates (id, title, minimum_cents, currency, valid_until) VALUES (5, 't', 0, 'EUR', 1)");
        await RefusedAsync("INSERT INTO coupon_templates (id, title, amount_off_cents, percent_off, minimum_cents, currency, valid_until) VALUES (5, 't', 1, 1, 0, 'EUR', 1)");
        await RefusedAsync("INSERT INTO coupon_templates (id, title, percent_off, minimum_cents, currency, valid_until) VALUES (5, 't', 101, 0, 'EUR', 1)");

        // One coupon at two orders: not as long as the first can be paid or is.
        await RunAsync("UPDATE orders SET coupon_id = 7, discount_cents = 100 WHERE id = 1");
        await RefusedAsync("UPDATE orders SET coupon_id = 7, discount_cents = 1 WHERE id = 2");
        await RunAsync("UPDATE orders SET state = 1 WHERE id = 1");
        await RefusedAsync("UPDATE orders SET coupon_id = 7, discount_cents = 1 WHERE id = 2");
        await RunAsync("UPDATE orders SET state = 2 WHERE id = 1");
        await RunAsync("UPDATE orders SET coupon_id = 7, discount_cents = 1 WHERE id = 2");

        Task RunAsync(string statement) => database.WriteAsync(transaction => transaction.Connection!.ExecuteAsync(statement, transaction: transaction));

        Task RefusedAsync(string statement) => Assert.ThrowsAnyAsync<Exception>(() => RunAsync(statement));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task Coupon_TakenForAnOrder_ComesBackOnlyToWhomItCannotReachTheOrderAnyMore(Engine engine)
    {
        using var folder = new TempFolder();
        using var database = await OpenAsync(engine, folder);

        // Taken, and again by the same order in the same turn and a later one; not in an earlier one, nor by another order.
        Assert.True(await TakeAsync(Order));
        Assert.True(await TakeAsync(Order));
        Assert.False(await TakeAsync(Order with { Id = 2 }));
        Assert.True(await TakeAsync(Order with { Turns = 5 }));
        Assert.False(await TakeAsync(Order));

        // Who gave up in an earlier turn, or for another order, gives back what is not theirs any more: nothing.
        Assert.Equal(0, await DoAsync(transaction => Coupon.GiveBackAsync(transaction, 7, Order)));
        Assert.Equal(0, await DoAsync(transaction => Coupon.GiveBackAsync(transaction, 7, Order with { Id = 2, Turns = 9 })));
        Assert.Equal(0, await DoAsync(transaction => Coupon.GiveBackBeforeAsync(transaction, 1, turns: 5)));
        Assert.Equal((1L, 1L), await StandingAsync());
        Assert.Equal(1, await DoAsync(transaction => Coupon.GiveBackBeforeAsync(transaction, 1, turns: 6)));
        Assert.Equal((0L, null), await StandingAsync());

        Assert.True(await TakeAsync(Order with { Id = 2 }));
        Assert.Empty(await DoAsync(transaction => Coupon.GiveBackAllAsync(transaction, [1, 3])));
        Assert.Equal([Coupon.KeyOf("u")], await DoAsync(transaction => Coupon.GiveBackAllAsync(transaction, [1, 2])));
        Assert.Equal((0L, null), await StandingAsync());

        // Settled: it never comes back.
        Assert.True(await TakeAsync(Order));
        await DoAsync(transaction => Coupon.SettleAsync(transaction, [7]));
        Assert.Empty(await DoAsync(transaction => Coupon.GiveBackAllAsync(transaction, [1])));
        Assert.Equal(0, await DoAsync(transaction => Coupon.GiveBackBeforeAsync(transaction, 1, turns: 99)));
        Assert.False(await TakeAsync(Order with { Turns = 99 }));
        Assert.Equal((2L, 1L), await StandingAsync());

        Task<bool> TakeAsync(CouponOrder order) => DoAsync(transaction => Coupon.TakeAsync(transaction, 7, order));

        Task<T> DoAsync<T>(Func<DbTransaction, Task<T>> work) => database.WriteAsync(work);

        Task<(long, long?)> StandingAsync() => database.ReadAsync(connection => connection.QuerySingleAsync<(long, long?)>("SELECT state, order_id FROM coupons WHERE id = 7"));
    }

    // Two pending orders of one cent a hundred times, and a coupon.
    private async Task<Database> OpenAsync(Engine engine, TempFolder folder)
    {
        var database = new Database((await engines.OpenAsync(engine)).Sql, folder.Path);
        Migrations.Run(database, Node.Schemas);
        await database.WriteAsync(async transaction =>
        {
            foreach (var statement in new[]
            {
                "INSERT INTO orders (id, sale_id, user_id, sku, title, units, price_cents, currency, state, created_at, pay_by) VALUES (1, 9, 'u', 's', 't', 100, 1, 'EUR', 0, 1, 1), (2, 9, 'u', 's', 't', 100, 1, 'EUR', 0, 1, 1)",
                "INSERT INTO coupons (id, template_id, user_id, valid_until) VALUES (7, 5, 'u', 9)",
            })
            {
                await transaction.Connection!.ExecuteAsync(statement, transaction: transaction);
            }
        });
        return database;
    }
}

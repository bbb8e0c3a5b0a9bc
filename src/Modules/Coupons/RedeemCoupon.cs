using System.ComponentModel.DataAnnotations;
using System.Data.Common;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Coupons;

public sealed record RedeemRequest([property: Required] string? CouponId);

/// <summary>What became of the wish to redeem a coupon, or to take one off.</summary>
internal enum RedeemOutcome
{
    /// <summary>The order has it, or has none any more; now or since before.</summary>
    Done,

    /// <summary>Nothing speaks against it.</summary>
    MayGo,

    /// <summary>The order changed under it: look again.</summary>
    Late,
    NoOrder,
    NoCoupon,
    OrderNotPending,
    OrderHasCoupon,
    CouponUsed,
    CouponExpired,
    NotForThisOrder,
}

/// <summary>
/// <c>POST /v1/orders/{id}/coupon</c> and <c>DELETE</c>: a coupon comes to a pending order, or leaves it. Two guarded steps: the coupon is taken for the order (main database), then the order gets it (at its shard).
/// Where both are in one database they are one transaction. Else a kill in between leaves a coupon that is held by an order which does not have it: the same request again goes on with step 2, DELETE gives it back, and so does
/// <see cref="GiveBackCoupons"/> once the order has ended. What keeps a late step from doing harm is the order's turn (<see cref="CouponOrder.Turns"/>).
/// </summary>
internal sealed class RedeemCoupon(OrderCoupons orders, CouponTemplates templates, Database database, CacheChanges changes, TimeProvider time)
{
    private const int TriesMax = 5, BodyBytesMax = 1_024;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/v1/orders/{id}/coupon", (string id, RedeemRequest request, HttpContext context, RedeemCoupon redeem) => redeem.PutAsync(id, request, context)).For(AccessRule.User)
            .WithMetadata(new BodyLimit(BodyBytesMax)).WithTags("Coupons").WithSummary("Redeem a coupon at an order that is not paid yet").Produces<OrderView>()
            .WithDescription("The order's amountCents becomes what is left to pay. Do it before the payment is begun: a payment of another amount is refused. The same coupon again changes nothing.")
            .Refuses(404, "not-found").Refuses(409, "order-not-pending", "order-has-coupon", "coupon-used", "coupon-expired", "coupon-not-for-this-order");
        routes.MapDelete("/v1/orders/{id}/coupon", (string id, HttpContext context, RedeemCoupon redeem) => redeem.TakeOffAsync(id, context)).For(AccessRule.User)
            .WithTags("Coupons").WithSummary("Take the coupon off an order that is not paid yet").Produces<OrderView>().Refuses(404, "not-found").Refuses(409, "order-not-pending");
    }

    /// <summary>Whether a coupon may come to an order: the one place that decides it.</summary>
    /// <param name="discountCents">What it takes off, where it may.</param>
    internal static RedeemOutcome Judge(CouponOrder order, Coupon coupon, CouponTerms terms, long now, out long discountCents)
    {
        discountCents = 0;
        return order.Has(coupon.Id) ? RedeemOutcome.Done
            : !order.IsPending ? RedeemOutcome.OrderNotPending
            : order.CouponId is not null ? RedeemOutcome.OrderHasCoupon
            : coupon.State != CouponState.Unused && coupon.OrderId != order.Id ? RedeemOutcome.CouponUsed
            : coupon.State != CouponState.Unused && coupon.OrderTurns > order.Turns ? RedeemOutcome.Late

            // Taken in time is in time, also when step 2 comes later.
            : coupon.State == CouponState.Unused && coupon.ValidUntil <= now ? RedeemOutcome.CouponExpired
            : (discountCents = terms.DiscountOf(order.FullCents, order.Currency)) == 0 ? RedeemOutcome.NotForThisOrder
            : RedeemOutcome.MayGo;
    }

    private async Task<IResult> PutAsync(string id, RedeemRequest request, HttpContext context)
    {
        if (!Names.TryId(request.CouponId, out var couponId))
        {
            return Problem.Invalid("Send {\"couponId\":\"…\"}: an id as GET /v1/coupons has it.");
        }

        var user = context.UserId();
        if (!Names.TryId(id, out var orderId))
        {
            return Problem.NotFound("order");
        }

        // Terms never change, so they are looked up before anything is locked.
        if (await database.ReadAsync(connection => Coupon.FindAsync(connection, couponId, user)) is not { } coupon)
        {
            return await TellAsync(await orders.FindAsync(orderId, user) is null ? RedeemOutcome.NoOrder : RedeemOutcome.NoCoupon, orderId, user);
        }

        var terms = (await templates.FindAsync(coupon.TemplateId)).Terms;
        var outcome = orders.IsAtHome(orderId) ? await PutAtHomeAsync(orderId, couponId, user, terms) : await PutApartAsync(orderId, couponId, user, terms);
        return await TellAsync(outcome, orderId, user);
    }

    // May run again: it finds the coupon at the order.
    private Task<RedeemOutcome> PutAtHomeAsync(long orderId, long couponId, string user, CouponTerms terms) => database.WriteAsync(
        async transaction =>
        {
            if (await OrderCoupons.LockAsync(transaction, orderId, user) is not { } order)
            {
                return RedeemOutcome.NoOrder;
            }

            var (outcome, discount) = await TakeAsync(transaction, order, couponId, terms);
            if (outcome != RedeemOutcome.MayGo)
            {
                return outcome;
            }

            FaultPoints.Reach("coupon.taken");
            return await orders.PutAsync(transaction, order, couponId, discount) ? RedeemOutcome.Done : throw new InvalidOperationException($"Order {orderId} changed while it was locked.");
        },
        LostCommit.RunAgain);

    private async Task<RedeemOutcome> PutApartAsync(long orderId, long couponId, string user, CouponTerms terms)
    {
        for (var tries = 1; tries <= TriesMax; tries++)
        {
            if (await orders.FindAsync(orderId, user) is not { } order)
            {
                return RedeemOutcome.NoOrder;
            }

            // Step 1. May run again: the coupon is the order's already.
            var (outcome, discount) = await database.WriteAsync(transaction => TakeAsync(transaction, order, couponId, terms), LostCommit.RunAgain);
            if (outcome == RedeemOutcome.Late)
            {
                continue;
            }

            if (outcome != RedeemOutcome.MayGo)
            {
                return outcome;
            }

            FaultPoints.Reach("coupon.taken");

            // Step 2.
            if (await orders.PutAsync(order, couponId, discount))
            {
                return RedeemOutcome.Done;
            }

            var now = (await orders.FindAsync(orderId, user))!;
            if (now.Has(couponId))
            {
                return RedeemOutcome.Done;
            }

            // Not in this turn any more, nor in one before: whoever takes it in a later one says so in the coupon's row, and keeps it.
            if (!now.IsPending || now.CouponId is not null)
            {
                await database.WriteAsync(
                    async transaction =>
                    {
                        await Coupon.GiveBackAsync(transaction, couponId, order);
                        await changes.AddAsync(transaction, [Coupon.KeyOf(user)]);
                    },
                    LostCommit.RunAgain);
                await changes.TellAsync([Coupon.KeyOf(user)]);
                return now.IsPending ? RedeemOutcome.OrderHasCoupon : RedeemOutcome.OrderNotPending;
            }
        }

        throw new DependencyUnavailableException("sql", $"order {orderId} was changed again and again; ask again.");
    }

    private async Task<(RedeemOutcome Outcome, long DiscountCents)> TakeAsync(DbTransaction transaction, CouponOrder order, long couponId, CouponTerms terms)
    {
        if (await Coupon.LockAsync(transaction, couponId, order.UserId) is not { } coupon)
        {
            return (RedeemOutcome.NoCoupon, 0);
        }

        var outcome = Judge(order, coupon, terms, time.GetUtcNow().ToUnixTimeMilliseconds(), out var discount);
        if (outcome == RedeemOutcome.MayGo)
        {
            if (!await Coupon.TakeAsync(transaction, couponId, order))
            {
                throw new InvalidOperationException($"Coupon {couponId} changed while it was locked.");
            }

            await changes.AddAsync(transaction, [Coupon.KeyOf(order.UserId)]);
        }

        return (outcome, discount);
    }

    private async Task<IResult> TakeOffAsync(string id, HttpContext context)
    {
        var user = context.UserId();
        if (!Names.TryId(id, out var orderId))
        {
            return Problem.NotFound("order");
        }

        // May run again: it finds no coupon at the order.
        var outcome = orders.IsAtHome(orderId) ? await database.WriteAsync(transaction => TakeOffAtHomeAsync(transaction, orderId, user), LostCommit.RunAgain) : await TakeOffApartAsync(orderId, user);
        return await TellAsync(outcome, orderId, user);
    }

    private async Task<RedeemOutcome> TakeOffAtHomeAsync(DbTransaction transaction, long orderId, string user)
    {
        if (await OrderCoupons.LockAsync(transaction, orderId, user) is not { } order)
        {
            return RedeemOutcome.NoOrder;
        }

        if (!order.IsPending || order.CouponId is null)
        {
            return order.IsPending ? RedeemOutcome.Done : RedeemOutcome.OrderNotPending;
        }

        var turns = await orders.TakeOffAsync(transaction, order);
        await GiveBackAsync(transaction, orderId, turns!.Value, user);
        return RedeemOutcome.Done;
    }

    // The order first, also when it has none: what is on its way to it does not arrive any more. Then everything that it has taken comes back. After a kill in between the same request does the rest.
    private async Task<RedeemOutcome> TakeOffApartAsync(long orderId, string user)
    {
        if (await orders.FindAsync(orderId, user) is not { } order)
        {
            return RedeemOutcome.NoOrder;
        }

        if (await orders.TakeOffAsync(order) is not { } turns)
        {
            return RedeemOutcome.OrderNotPending;
        }

        FaultPoints.Reach("coupon.taken-off");
        await database.WriteAsync(transaction => GiveBackAsync(transaction, orderId, turns, user), LostCommit.RunAgain);
        return RedeemOutcome.Done;
    }

    private async Task GiveBackAsync(DbTransaction transaction, long orderId, long turns, string user)
    {
        if (await Coupon.GiveBackBeforeAsync(transaction, orderId, turns) > 0)
        {
            await changes.AddAsync(transaction, [Coupon.KeyOf(user)]);
        }
    }

    private async Task<IResult> TellAsync(RedeemOutcome outcome, long orderId, string user)
    {
        if (outcome == RedeemOutcome.Done)
        {
            await changes.TellAsync([Coupon.KeyOf(user)]);
            return Results.Json(await orders.ShowAsync(orderId, user), CouponsJson.Default.OrderView);
        }

        return outcome switch
        {
            RedeemOutcome.NoOrder => Problem.NotFound("order"),
            RedeemOutcome.NoCoupon => Problem.NotFound("coupon"),
            RedeemOutcome.OrderNotPending => new Problem(409, "order-not-pending", "Not open any more", "The order is paid, cancelled or expired: its coupon does not change any more."),
            RedeemOutcome.OrderHasCoupon => new Problem(409, "order-has-coupon", "One coupon for each order", "The order has another coupon. Take that one off first."),
            RedeemOutcome.CouponUsed => new Problem(409, "coupon-used", "Used", "This coupon is at another order."),
            RedeemOutcome.CouponExpired => new Problem(409, "coupon-expired", "Expired", "This coupon was good until its 'validUntil'."),
            RedeemOutcome.NotForThisOrder => new Problem(409, "coupon-not-for-this-order", "Not for this order", "The order is below the coupon's 'minimumCents', in another currency, or so small that nothing would be taken off."),
            RedeemOutcome.Done or RedeemOutcome.MayGo or RedeemOutcome.Late => throw new InvalidOperationException($"'{outcome}' is no end of it."),
        };
    }
}

using System.Buffers;
using System.ComponentModel.DataAnnotations;
using System.Data.Common;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders;

public sealed record PaymentCallback([property: Required] string? PaymentId, [property: Required] long? AmountCents, [property: Required] string? Currency);

/// <param name="Outcome"><c>applied</c>, <c>already-applied</c>, <c>refund-due</c>.</param>
public sealed record PaymentAnswer(string Outcome, OrderView Order);

/// <summary>
/// <c>POST /v1/orders/{id}/pay</c>: the payment provider says that money came. Signed, idempotent by payment id; the payment row and the order's change are one transaction.
/// Money for an order that can no longer be paid is recorded as a refund that is due: it is never lost and never pays twice.
/// </summary>
internal sealed class PayOrder(Shards shards, OrderBook book, OrderOutbox outbox, CacheChanges changes, string secret, TimeProvider time)
{
    private const int BodyBytesMax = 4_096;

    private static readonly TimeSpan SignatureAgeMax = TimeSpan.FromMinutes(5);

    private static readonly Problem OfAnotherOrder = new(422, "payment-of-another-order", "Payment used before", "This paymentId belongs to another order; nothing was recorded.");

    private readonly byte[] key = Encoding.UTF8.GetBytes(secret);

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/v1/orders/{id}/pay", (string id, HttpContext context, PayOrder pay) => pay.CallbackAsync(id, context)).For(AccessRule.Public)
            .WithMetadata(new BodyLimit(BodyBytesMax), new RequestBody(typeof(PaymentCallback), IsRequired: true))
            .WithTags("Orders").WithSummary("The payment provider's signed callback").Produces<PaymentAnswer>()
            .TakesHeader(
                "Sluice-Signature", "t=<unix seconds>,v1=<hex HMAC-SHA256 of \"<t>.<body>\" under the payment secret>, at most 5 minutes old.",
                "t=1795377600,v1=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
            .Refuses(401, "bad-signature").Refuses(422, "amount-mismatch", "payment-of-another-order");
        routes.MapPost("/v1/orders/{id}/test-payment", (string id, HttpContext context, PayOrder pay, OrdersOptions options) => pay.TestAsync(id, context, options))
            .For(AccessRule.User).WithTags("Orders").WithSummary("Play the payment provider (demo)").Produces<PaymentAnswer>().Refuses(404, "test-payments-off");
    }

    private async Task<IResult> CallbackAsync(string id, HttpContext context)
    {
        var body = await ReadBodyAsync(context);
        if (!IsSigned(context.Request.Headers["Sluice-Signature"], body))
        {
            return new Problem(401, "bad-signature", "Not signed", "Sluice-Signature must be 't=<unix seconds>,v1=<hex HMAC-SHA256 of \"<t>.<body>\">', at most 5 minutes old.") { Challenges = ["Sluice-Signature"] };
        }

        if (!context.Request.HasJsonContentType())
        {
            return Problem.NotJson;
        }

        var callback = JsonSerializer.Deserialize(body, OrdersJson.Default.PaymentCallback);
        if (callback is not { PaymentId: { Length: >= 1 and <= 64 } paymentId, AmountCents: >= 0 and { } amount, Currency: { } currency } ||
            !Names.IsUserId(paymentId) || !Names.IsCurrency(currency))
        {
            return Problem.Invalid("Send 'paymentId' (1 to 64 letters, digits, _ - . @), 'amountCents' and 'currency'.");
        }

        return Names.TryId(id, out var orderId) ? await ApplyAsync(orderId, paymentId, amount, currency) : Problem.NotFound("order");
    }

    private async Task<IResult> TestAsync(string id, HttpContext context, OrdersOptions options)
    {
        if (!options.TestPayments)
        {
            return new Problem(404, "test-payments-off", "No test payments here", "This shop takes real payments (setting Orders:TestPayments).");
        }

        return Names.TryId(id, out var orderId) && await book.FindAsync(orderId, context.UserId(), ReadFrom.Writer) is { } order
            ? await ApplyAsync(orderId, $"test-{id}", order.AmountCents, order.Currency)
            : Problem.NotFound("order");
    }

    private async Task<IResult> ApplyAsync(long orderId, string paymentId, long amountCents, string currency)
    {
        var shard = shards.Of(orderId);
        if (shards.Others.Count > 0 && !await IsForAsync(shard, orderId, paymentId, amountCents, currency))
        {
            return OfAnotherOrder;
        }

        // May run again: it finds its own payment by the payment's id.
        var (problem, outcome, buyer) = await shard.Database.WriteAsync(transaction => ApplyAsync(transaction, shard, orderId, paymentId, amountCents, currency), LostCommit.RunAgain);
        if (buyer is not null)
        {
            await changes.TellAsync([OrderPages.KeyOf(buyer)]);
        }

        return problem ?? Results.Json(new PaymentAnswer(outcome, (await book.FindAsync(orderId, userId: null, ReadFrom.Writer))!.ToView()), OrdersJson.Default.PaymentAnswer);
    }

    // With shards, before the shard is asked: the order is there, and the payment is of this order, whatever shard another order is at. Only home sees all payments, so it is home that says which order each is of.
    private async Task<bool> IsForAsync(Shard shard, long orderId, string paymentId, long amountCents, string currency)
    {
        if (!shard.IsMain)
        {
            await outbox.BringAsync(shard, [orderId]);
        }

        if (await book.FindAsync(orderId, userId: null, ReadFrom.Writer) is not { } order || order.AmountCents != amountCents || order.Currency != currency)
        {
            // Of this nothing is recorded.
            return true;
        }

        // May run again: it finds the payment's id.
        return await shards.Main.WriteAsync(
            async transaction =>
            {
                var known = await transaction.Connection!.QuerySingleOrDefaultAsync<long?>("SELECT order_id FROM payment_ids WHERE payment_id = @paymentId", new { paymentId }, transaction);
                if (known is null)
                {
                    await transaction.Connection!.ExecuteAsync("INSERT INTO payment_ids (payment_id, order_id) VALUES (@paymentId, @orderId)", new { paymentId, orderId }, transaction);
                }

                return known is null || known == orderId;
            },
            LostCommit.RunAgain);
    }

    private async Task<(Problem? Problem, string Outcome, string? Buyer)> ApplyAsync(DbTransaction transaction, Shard shard, long orderId, string paymentId, long amountCents, string currency)
    {
        var connection = transaction.Connection!;
        // Locked: the same callback, twice at once, is one after the other. (The same payment for two orders at once meets the payment's primary key, and looks again.)
        var order = await connection.QuerySingleOrDefaultAsync<Order?>($"SELECT {Order.ColumnsAt(shard)} FROM orders WHERE id = @orderId{Dialect.ForUpdate(transaction)}", new { orderId }, transaction);
        if (order is null)
        {
            return (Problem.NotFound("order"), "", null);
        }

        if (order.AmountCents != amountCents || order.Currency != currency)
        {
            return (new Problem(422, "amount-mismatch", "Not the amount of this order", "The amount or the currency is not the order's; nothing was recorded."), "", null);
        }

        var before = await connection.QuerySingleOrDefaultAsync<(long OrderId, long Outcome)?>(
            "SELECT order_id, outcome FROM payments WHERE payment_id = @paymentId", new { paymentId }, transaction);
        if (before is { } known)
        {
            return known.OrderId == orderId
                ? (null, (PaymentOutcome)known.Outcome == PaymentOutcome.Applied ? "already-applied" : "refund-due", null)
                : (OfAnotherOrder, "", null);
        }

        // The guard decides the race with cancel and expiry.
        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        var paid = await connection.ExecuteAsync(
            "UPDATE orders SET state = @paid, paid_at = @now WHERE id = @orderId AND state = @pending",
            new { orderId, now, paid = OrderState.Paid, pending = OrderState.Pending },
            transaction) == 1;
        await connection.ExecuteAsync(
            "INSERT INTO payments (payment_id, order_id, amount_cents, currency, outcome, received_at) VALUES (@paymentId, @orderId, @amountCents, @currency, @outcome, @now)",
            new { paymentId, orderId, amountCents, currency, now, outcome = paid ? PaymentOutcome.Applied : PaymentOutcome.RefundDue },
            transaction);
        if (paid)
        {
            await changes.AddAsync(transaction, [OrderPages.KeyOf(order.UserId)]);
        }

        return (null, paid ? "applied" : "refund-due", paid ? order.UserId : null);
    }

    /// <summary>The header for a body, as a payment provider makes it.</summary>
    internal string Sign(ReadOnlySpan<byte> body)
    {
        var seconds = time.GetUtcNow().ToUnixTimeSeconds();
        return $"t={seconds},v1={Convert.ToHexStringLower(Mac(seconds, body))}";
    }

    private bool IsSigned(Microsoft.Extensions.Primitives.StringValues header, ReadOnlySpan<byte> body)
    {
        if (header.Count != 1 || header[0] is not { Length: <= 200 } text || text.Split(',') is not [var t, var v1] ||
            !t.StartsWith("t=", StringComparison.Ordinal) || !v1.StartsWith("v1=", StringComparison.Ordinal) ||
            !long.TryParse(t.AsSpan(2), NumberStyles.None, CultureInfo.InvariantCulture, out var seconds) ||
            Math.Abs((double)time.GetUtcNow().ToUnixTimeSeconds() - seconds) > SignatureAgeMax.TotalSeconds)
        {
            return false;
        }

        Span<byte> given = stackalloc byte[32];
        return Convert.FromHexString(v1.AsSpan(3), given, out _, out var bytes) == OperationStatus.Done && bytes == 32 &&
            CryptographicOperations.FixedTimeEquals(given, Mac(seconds, body));
    }

    private byte[] Mac(long seconds, ReadOnlySpan<byte> body)
    {
        using var hmac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, key);
        hmac.AppendData(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{seconds}.")));
        hmac.AppendData(body);
        return hmac.GetHashAndReset();
    }

    private static async Task<byte[]> ReadBodyAsync(HttpContext context)
    {
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body, context.RequestAborted);
        return body.ToArray();
    }
}

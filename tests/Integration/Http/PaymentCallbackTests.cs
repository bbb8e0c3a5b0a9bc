using System.Text;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>The payment provider's callback is public, so only its signature, its amount and its payment id stand between anybody and a paid order.</summary>
[Collection(nameof(HttpShop))]
public sealed class PaymentCallbackTests(HttpShop shop)
{
    [Fact]
    public async Task Secrets_AfterTheFirstStart_AreThereForTheirOwnerOnly()
    {
        await using var server = await SluiceServer.StartAsync();

        foreach (var name in new[] { "admin.key", "payment.key", "token.key" })
        {
            var file = new FileInfo(Path.Combine(server.Data, name));
            Assert.True(file.Exists, $"{name} is missing.");
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, file.UnixFileMode);
        }
    }

    [Fact]
    public async Task Callback_WithoutAGoodSignature_IsRefused()
    {
        var order = await OrderAsync();
        var body = Encoding.UTF8.GetBytes("""{"paymentId":"p-1","amountCents":4900,"currency":"EUR"}""");
        var good = shop.Sign(body);
        var other = Encoding.UTF8.GetBytes("""{"paymentId":"p-1","amountCents":1,"currency":"EUR"}""");
        foreach (var signature in new[]
        {
            "", "x", "t=,v1=", "t=1,v1=00", good[..^1], good + "0", good.Replace("v1=", "v0=", StringComparison.Ordinal), good.Split(',')[1], good.Split(',')[0],
            good.Replace("t=", "t= ", StringComparison.Ordinal), good + ",v2=00", good + "," + good.Split(',')[1], new string('a', 5_000), "t=99999999999999999999,v1=00",
            "t=-1," + good.Split(',')[1], "t=" + (long.Parse(good.Split(',')[0][2..]) + 1) + "," + good.Split(',')[1], "t=9223372036854775807," + good.Split(',')[1],
            shop.Sign(body, age: TimeSpan.FromMinutes(6)), shop.Sign(body, age: TimeSpan.FromMinutes(-6)), shop.Sign(body, secret: "another secret"), shop.Sign(body, secret: shop.Server.AdminKey), shop.Sign(other),
        })
        {
            var answer = await PayAsync(order, body, signature);
            Assert.True(answer.WrongAsRefusal("bad-signature") is null, $"{signature}: {answer.WrongAsRefusal("bad-signature")}");
        }

        Assert.Null((await shop.SendAsync(HttpMethod.Post, $"/v1/orders/{order}/pay", "public", body, "application/json")).WrongAsRefusal("bad-signature"));
        Assert.Null((await shop.SendAsync(HttpMethod.Post, $"/v1/orders/{order}/pay", "server", body, "application/json")).WrongAsRefusal("bad-signature"));
        Assert.Equal("applied", (string?)(await shop.Server.PayAsync(order, $"p-{order}", 4_900)).Json["outcome"]);
    }

    [Theory]
    [InlineData(4_899, "EUR")]
    [InlineData(4_901, "EUR")]
    [InlineData(0, "EUR")]
    [InlineData(49, "EUR")]
    [InlineData(4_900, "USD")]
    [InlineData(long.MaxValue, "EUR")]
    public async Task Callback_WithAnotherAmount_RecordsNothing(long amount, string currency)
    {
        var order = await OrderAsync();

        Assert.Equal("amount-mismatch", (await shop.Server.PayAsync(order, $"p-{order}", amount, currency)).Code);

        Assert.Equal("applied", (string?)(await shop.Server.PayAsync(order, $"p-{order}", 4_900)).Json["outcome"]);
    }

    [Fact]
    public async Task Callback_Replayed_IsAppliedOnce()
    {
        var order = await OrderAsync();
        var body = Encoding.UTF8.GetBytes($$"""{"paymentId":"p-{{order}}","amountCents":4900,"currency":"EUR"}""");
        var signature = shop.Sign(body);

        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => PayAsync(order, body, signature)));

        Assert.All(answers, answer => Assert.Equal(200, answer.Status));
        Assert.Single(answers, answer => (string?)answer.Json["outcome"] == "applied");
        Assert.Equal(19, answers.Count(answer => (string?)answer.Json["outcome"] == "already-applied"));
    }

    [Fact]
    public async Task Callback_WithThePaymentOfAnotherOrder_IsRefused()
    {
        var (mine, other) = (await OrderAsync(), await OrderAsync());
        await shop.Server.PayAsync(mine, $"p-{mine}", 4_900);

        Assert.Equal("payment-of-another-order", (await shop.Server.PayAsync(other, $"p-{mine}", 4_900)).Code);

        Assert.Equal("applied", (string?)(await shop.Server.PayAsync(other, $"p-{other}", 4_900)).Json["outcome"]);
    }

    [Fact]
    public async Task Callback_ForAnOrderPaidOtherwise_IsARefundThatIsDue()
    {
        var order = await OrderAsync();
        await shop.Server.PayAsync(order, $"p-{order}", 4_900);

        Assert.Equal("refund-due", (string?)(await shop.Server.PayAsync(order, $"q-{order}", 4_900)).Json["outcome"]);
        Assert.Equal("refund-due", (string?)(await shop.Server.PayAsync(order, $"q-{order}", 4_900)).Json["outcome"]);
    }

    [Fact]
    public async Task Callback_ForACancelledOrder_IsARefundThatIsDue()
    {
        var user = $"u-{Guid.NewGuid():N}";
        var order = await OrderAsync(user);
        var token = await shop.Server.TokenAsync(user);
        Assert.Equal(200, (await shop.Server.UserAsync(HttpMethod.Post, $"/v1/orders/{order}/cancel", token)).Status);

        var paid = await shop.Server.PayAsync(order, $"p-{order}", 4_900);

        Assert.Equal("refund-due", (string?)paid.Json["outcome"]);
        Assert.Equal("cancelled", (string?)paid.Json["order"]!["state"]);
    }

    [Fact]
    public async Task Cancel_OfAPaidOrder_IsRefused()
    {
        var user = $"u-{Guid.NewGuid():N}";
        var order = await OrderAsync(user);
        await shop.Server.PayAsync(order, $"p-{order}", 4_900);

        var cancelled = await shop.Server.UserAsync(HttpMethod.Post, $"/v1/orders/{order}/cancel", await shop.Server.TokenAsync(user));

        Assert.Equal((409, "order-paid"), (cancelled.Status, cancelled.Code));
    }

    [Fact]
    public async Task Callback_BeforeTheOrderIsThere_IsNotFound() => Assert.Equal("not-found", (await shop.Server.PayAsync("999999999999999", "p-1", 4_900)).Code);

    private async Task<string> OrderAsync(string? user = null)
    {
        var sale = await shop.Server.OpenSaleAsync(stock: 1);
        var claim = await shop.Server.ClaimAsync(sale, await shop.Server.TokenAsync(user ?? $"u-{Guid.NewGuid():N}"), prefer: "wait=20");
        Assert.Equal(201, claim.Status);
        return claim.ClaimId;
    }

    private Task<HttpAnswer> PayAsync(string order, byte[] body, string signature) =>
        shop.SendAsync(HttpMethod.Post, $"/v1/orders/{order}/pay", "public", body, "application/json", new Dictionary<string, string> { ["Sluice-Signature"] = signature });
}

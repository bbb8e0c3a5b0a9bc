using System.Net.Http.Json;
using System.Text.Json.Nodes;

namespace Sluice.Tests.Integration.Servers;

/// <summary>What a shop and its users do with coupons.</summary>
public static class CouponCalls
{
    /// <summary>A template that issues coupons. Returns its id (also the pool's).</summary>
    public static async Task<string> OpenTemplateAsync(this SluiceServer server, int units = 100, JsonObject? terms = null, int perUserLimit = 1, DateTimeOffset? validUntil = null)
    {
        var template = terms ?? new JsonObject { ["kind"] = "fixed", ["amountOffCents"] = 500 };
        (template["title"], template["currency"], template["units"], template["perUserLimit"]) = ("Five off", template["currency"]?.DeepClone() ?? "EUR", units, perUserLimit);
        template["validUntil"] = (validUntil ?? TimeProvider.System.GetUtcNow().AddDays(1)).ToString("yyyy-MM-ddTHH:mm:ss.fffZ", System.Globalization.CultureInfo.InvariantCulture);
        var id = (string)(await server.ServerPostAsync("/v1/coupon-templates", template))["id"]!;
        await server.ServerPostAsync($"/v1/coupon-templates/{id}/open");
        return id;
    }

    /// <summary>Asks for a coupon.</summary>
    public static Task<Answer> ClaimCouponAsync(this SluiceServer server, string template, string token, string? key = null, string? prefer = null)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, $"/v1/coupon-templates/{template}/claims") { Headers = { { "Authorization", $"Bearer {token}" } } };
        foreach (var (name, value) in new[] { ("Idempotency-Key", key), ("Prefer", prefer) }.Where(header => header.Item2 is not null))
        {
            request.Headers.Add(name, value);
        }

        return server.AnswerAsync(request);
    }

    /// <summary>A coupon that is written. Returns its id.</summary>
    public static async Task<string> GetCouponAsync(this SluiceServer server, string template, string token)
    {
        var answer = await server.ClaimCouponAsync(template, token, Guid.NewGuid().ToString("N"), "wait=20");
        Assert.True(answer.Status == 201, answer.Text);
        return answer.ClaimId;
    }

    /// <summary>An order that is written. Returns its id.</summary>
    public static async Task<string> OrderAsync(this SluiceServer server, string sale, string token, int units = 1)
    {
        var answer = await server.ClaimAsync(sale, token, Guid.NewGuid().ToString("N"), units, prefer: "wait=20");
        Assert.True(answer.Status == 201, answer.Text);
        return answer.ClaimId;
    }

    public static Task<Answer> RedeemAsync(this SluiceServer server, string order, string coupon, string token) => server.AnswerAsync(new HttpRequestMessage(HttpMethod.Post, $"/v1/orders/{order}/coupon")
    {
        Headers = { { "Authorization", $"Bearer {token}" } },
        Content = JsonContent.Create(new JsonObject { ["couponId"] = coupon }),
    });

    public static Task<Answer> TakeOffAsync(this SluiceServer server, string order, string token) => server.UserAsync(HttpMethod.Delete, $"/v1/orders/{order}/coupon", token);

    /// <summary>How a coupon stands, as its user's list says it.</summary>
    public static async Task<(string State, string? Order)> StandingAsync(this SluiceServer server, string coupon, string token)
    {
        var list = await server.UserAsync(HttpMethod.Get, "/v1/coupons?limit=100", token);
        var found = list.Json["items"]!.AsArray().Single(item => (string?)item!["id"] == coupon)!;
        return ((string)found["state"]!, (string?)found["orderId"]);
    }
}

using System.Text.Json.Nodes;
using Sluice.Platform.Hosting;

namespace Sluice.Host;

/// <summary>The small shop of the demo: products, and sales that are on, next and waiting. Made through the API like any other shop's.</summary>
internal static class DemoShop
{
    /// <summary>What a demo allows and a real shop does not.</summary>
    public static readonly IReadOnlyList<KeyValuePair<string, string?>> Settings =
    [
        new("Accounts:GuestSessions", "true"),
        new("Orders:TestPayments", "true"),
    ];

    private static readonly (string Sku, string Title, string Image, string Description, long PriceCents, long ListPriceCents)[] Products =
    [
        ("kettle", "Copper kettle", "kettle.svg", "Solid copper, hand-soldered spout, holds one and a half litres. Heats on gas, ceramic and wood.", 4_900, 7_900),
        ("lamp", "Desk lamp", "lamp.svg", "A warm light with three joints that stay where you put them.", 3_900, 5_900),
        ("mug", "Ceramic mug", "mug.svg", "Thrown and glazed by hand; no two have the same rim.", 1_200, 1_800),
        ("headphones", "Headphones", "headphones.svg", "Closed, light, and repairable with a single screwdriver.", 8_900, 12_900),
        ("backpack", "Backpack", "backpack.svg", "Waxed canvas, twenty litres, a pocket that a laptop does not fall out of.", 6_400, 9_900),
        ("chair", "Reading chair", "chair.svg", "Beech and wool. Comes in one piece and stays in one piece.", 18_900, 24_900),
    ];

    /// <summary>Seeds the shop unless it has sales already. Each step is repeatable, so a start that was cut short is finished by the next one.</summary>
    public static async Task SeedAsync(string url, string data, CancellationToken cancel)
    {
        using var shop = ShopClient.Open(url, Path.Combine(data, "admin.key"));
        foreach (var product in Products)
        {
            await shop.SendAsync(HttpMethod.Put, $"/v1/products/{product.Sku}", new JsonObject
            {
                ["title"] = product.Title,
                ["description"] = product.Description,
                ["imageUrl"] = $"/img/{product.Image}",
            }, cancel);
        }

        if ((await shop.SendAsync(HttpMethod.Get, "/v1/flash-sales", null, cancel))["items"]!.AsArray().Count > 0)
        {
            return;
        }

        var now = TimeProvider.System.GetUtcNow();
        await CreateAsync(shop, "mug", stock: 1_000, limit: 4, now, now.AddHours(8), cancel);
        await CreateAsync(shop, "lamp", stock: 12, limit: 1, now, now.AddHours(2), cancel);
        await CreateAsync(shop, "headphones", stock: 200, limit: 1, now.AddMinutes(3), now.AddHours(3), cancel);
        await CreateAsync(shop, "backpack", stock: 300, limit: 2, now.AddHours(20), now.AddHours(22), cancel);
    }

    /// <summary>The sale that the rush is for: a draft until the load tester opens it.</summary>
    public static async Task<string> CreateRushSaleAsync(ShopClient shop, int stock, CancellationToken cancel) =>
        (string)(await CreateAsync(shop, "kettle", stock, limit: 1, opensAt: null, closesAt: null, cancel))["id"]!;

    private static Task<JsonNode> CreateAsync(ShopClient shop, string sku, int stock, int limit, DateTimeOffset? opensAt, DateTimeOffset? closesAt, CancellationToken cancel)
    {
        var product = Products.First(product => product.Sku == sku);
        return shop.SendAsync(HttpMethod.Post, "/v1/flash-sales", new JsonObject
        {
            ["sku"] = sku,
            ["title"] = product.Title,
            ["priceCents"] = product.PriceCents,
            ["listPriceCents"] = product.ListPriceCents,
            ["currency"] = "EUR",
            ["stockUnits"] = stock,
            ["perUserLimit"] = limit,
            ["opensAt"] = opensAt?.UtcDateTime.ToString("o"),
            ["closesAt"] = closesAt?.UtcDateTime.ToString("o"),
            ["paymentTimeout"] = "PT15M",
        }, cancel);
    }
}

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

    private static readonly (string Slug, string Title, string? Parent)[] Categories =
    [
        ("kitchen", "Kitchen", null),
        ("tableware", "Tableware", "kitchen"),
        ("living", "Living", null),
        ("sound", "Sound", null),
        ("travel", "Travel", null),
    ];

    private static readonly (string Sku, string Title, string Image, string Category, string Description, long PriceCents, long ListPriceCents, (string, string)[] Attributes)[] Products =
    [
        ("kettle", "Copper kettle", "kettle.svg", "kitchen", "Solid copper, hand-soldered spout, holds one and a half litres. Heats on gas, ceramic and wood.", 4_900, 7_900, [("Material", "Copper, tin-lined"), ("Volume", "1.5 l"), ("Heats on", "Gas, ceramic, wood")]),
        ("lamp", "Desk lamp", "lamp.svg", "living", "A warm light with three joints that stay where you put them.", 3_900, 5_900, [("Light", "2,700 K, 800 lm"), ("Height", "58 cm"), ("Cable", "1.8 m, cotton")]),
        ("mug", "Ceramic mug", "mug.svg", "tableware", "Thrown and glazed by hand; no two have the same rim.", 1_200, 1_800, [("Material", "Stoneware"), ("Volume", "0.3 l"), ("Dishwasher", "Yes")]),
        ("headphones", "Headphones", "headphones.svg", "sound", "Closed, light, and repairable with a single screwdriver.", 8_900, 12_900, [("Weight", "210 g"), ("Cable", "Can be changed"), ("Impedance", "32 Ω")]),
        ("backpack", "Backpack", "backpack.svg", "travel", "Waxed canvas, twenty litres, a pocket that a laptop does not fall out of.", 6_400, 9_900, [("Volume", "20 l"), ("Material", "Waxed canvas"), ("Laptop", "Up to 15 inches")]),
        ("chair", "Reading chair", "chair.svg", "living", "Beech and wool. Comes in one piece and stays in one piece.", 18_900, 24_900, [("Material", "Beech, wool"), ("Seat height", "42 cm"), ("Weight", "9 kg")]),
    ];

    /// <summary>Seeds the shop unless it has sales already. Each step is repeatable, so a start that was cut short is finished by the next one.</summary>
    public static async Task SeedAsync(string url, string data, CancellationToken cancel)
    {
        using var shop = ShopClient.Open(url, Path.Combine(data, "admin.key"));
        foreach (var (slug, title, parent) in Categories)
        {
            await shop.SendAsync(HttpMethod.Put, $"/v1/categories/{slug}", new JsonObject { ["title"] = title, ["parent"] = parent }, cancel);
        }

        foreach (var product in Products)
        {
            await shop.SendAsync(HttpMethod.Put, $"/v1/products/{product.Sku}", new JsonObject
            {
                ["title"] = product.Title,
                ["description"] = product.Description,
                ["images"] = new JsonArray(new JsonObject { ["url"] = $"/img/{product.Image}", ["alt"] = product.Title, ["width"] = 320, ["height"] = 320 }),
                ["prices"] = new JsonArray(new JsonObject { ["currency"] = "EUR", ["amountCents"] = product.ListPriceCents }),
                ["categories"] = new JsonArray(product.Category),
                ["attributes"] = new JsonArray([.. product.Attributes.Select(attribute => (JsonNode)new JsonObject { ["name"] = attribute.Item1, ["value"] = attribute.Item2 })]),
            }, cancel);
        }

        if ((await shop.SendAsync(HttpMethod.Get, "/v1/flash-sales", null, cancel))["items"]!.AsArray().Count > 0)
        {
            return;
        }

        // What is bought outside of sales: all but the kettle, which the rush is for.
        foreach (var product in Products.Where(product => product.Sku != "kettle"))
        {
            await shop.SendAsync(HttpMethod.Post, $"/v1/products/{product.Sku}/stock", new JsonObject { ["addUnits"] = product.Sku == "chair" ? 3 : 40 }, cancel, key: $"demo-stock-{product.Sku}-0");
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

using System.Net;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>A shop that knows its public address, with a category, two products and sales.</summary>
public sealed class ShopWithAnAddress : IAsyncLifetime
{
    public const string Url = "https://shop.example";

    public SluiceServer Server { get; private set; } = null!;

    public string OpenSale { get; private set; } = "";

    public string ClosedSale { get; private set; } = "";

    /// <summary>On until <see cref="ClosesAt"/>.</summary>
    public string TimedSale { get; private set; } = "";

    public const string ClosesAt = "2058-12-31T20:00:00Z";

    public async ValueTask InitializeAsync()
    {
        Server = await SluiceServer.StartAsync([$"Publish:SiteUrl={Url}", "Catalog:ImageHosts:0=pictures.example"]);
        await Server.ServerPutAsync("/v1/categories/kitchen", new JsonObject { ["title"] = "Kitchen & table" });
        await Server.ServerPutAsync("/v1/products/kettle", (JsonObject)JsonNode.Parse(
            """
            {"title":"Kettle \"Copper\" </script><b>","description":"Boils.\nQuickly & \"quietly\".","categories":["kitchen"],
             "images":[{"url":"/img/kettle.svg","alt":"A kettle","width":320,"height":320},{"url":"https://pictures.example/k.png"}],
             "prices":[{"currency":"EUR","amountCents":4900},{"currency":"USD","amountCents":5250},{"currency":"EUR","amountCents":3000,"kind":"wholesale"}]}
            """)!);
        await Server.ServerPutAsync("/v1/products/far", (JsonObject)JsonNode.Parse("""{"title":"Far","images":[{"url":"https://pictures.example/far.png"}]}""")!);
        OpenSale = await Server.OpenSaleAsync(3);
        ClosedSale = await Server.OpenSaleAsync(3);
        await Server.ServerPostAsync($"/v1/flash-sales/{ClosedSale}/close");
        TimedSale = (string)(await Server.ServerPostAsync("/v1/flash-sales", (JsonObject)JsonNode.Parse($$"""{"sku":"kettle","title":"Kettle","priceCents":4900,"currency":"EUR","stockUnits":3,"closesAt":"{{ClosesAt}}"}""")!))["id"]!;
        await Server.ServerPostAsync($"/v1/flash-sales/{TimedSale}/open");
    }

    public ValueTask DisposeAsync() => Server?.DisposeAsync() ?? ValueTask.CompletedTask;
}

/// <summary>What pages say to search engines and to those who show a link to them: JSON-LD, Open Graph, their own address and what they are about.</summary>
public sealed partial class PageMetaTests(ShopWithAnAddress shop) : IClassFixture<ShopWithAnAddress>
{
    [Fact]
    public async Task ProductPage_SaysWhatItSellsForHowMuchAndWhere()
    {
        var html = await PageAsync("/products/kettle");
        Assert.Equal(
            ("Kettle \"Copper\" </script><b>", "Boils. Quickly & \"quietly\".", "product", $"{ShopWithAnAddress.Url}/products/kettle", $"{ShopWithAnAddress.Url}/products/kettle", $"{ShopWithAnAddress.Url}/img/kettle.svg"),
            (Property(html, "og:title"), Property(html, "og:description"), Property(html, "og:type"), Property(html, "og:url"), Canonical(html), Property(html, "og:image")));
        Assert.Equal("Boils. Quickly & \"quietly\".", Description(html));

        var said = Structured(html);
        Assert.Equal(("https://schema.org", "Product", "Kettle \"Copper\" </script><b>", "kettle", "Boils.\nQuickly & \"quietly\"."), (Text(said, "@context"), Text(said, "@type"), Text(said, "name"), Text(said, "sku"), Text(said, "description")));
        Assert.Equal([$"{ShopWithAnAddress.Url}/img/kettle.svg", "https://pictures.example/k.png"], said["image"]!.AsArray().Select(image => (string)image!));

        // What anybody pays, in each currency; what dealers pay is not offered to everybody.
        Assert.Equal(
            [("Offer", "49.00", "EUR", "https://schema.org/OnlineOnly", $"{ShopWithAnAddress.Url}/products/kettle"), ("Offer", "52.50", "USD", "https://schema.org/OnlineOnly", $"{ShopWithAnAddress.Url}/products/kettle")],
            said["offers"]!.AsArray().Select(offer => (Text(offer!, "@type"), Text(offer!, "price"), Text(offer!, "priceCurrency"), Text(offer!, "availability"), Text(offer!, "url"))));
    }

    [Fact]
    public async Task ProductPage_WhosePictureIsElsewhere_NamesItsWholeAddress_AndWithoutAPriceOffersNothing()
    {
        var html = await PageAsync("/products/far");
        Assert.Equal("https://pictures.example/far.png", Property(html, "og:image"));
        Assert.Equal("Far", Description(html));
        Assert.Null(Structured(html)["offers"]);
    }

    [Fact]
    public async Task SalePage_SaysWhatItSellsForHowMuchAndUntilWhen()
    {
        foreach (var (sale, availability) in new[] { (shop.OpenSale, "LimitedAvailability"), (shop.TimedSale, "LimitedAvailability"), (shop.ClosedSale, "Discontinued") })
        {
            // A sale that was just made may not be in the calendar yet.
            var html = "";
            await Eventually.TrueAsync(async () => (html = await PageAsync($"/sales/{sale}")).Contains(availability, StringComparison.Ordinal), "the page says whether it can be bought");
            var url = $"{ShopWithAnAddress.Url}/sales/{sale}";
            Assert.Equal(("Kettle", "product", url, url, $"{ShopWithAnAddress.Url}/img/kettle.svg"), (Property(html, "og:title"), Property(html, "og:type"), Property(html, "og:url"), Canonical(html), Property(html, "og:image")));
            Assert.StartsWith("Kettle for 49.00 EUR.", Description(html), StringComparison.Ordinal);
            Assert.Equal(Description(html), Property(html, "og:description"));

            var said = Structured(html);
            Assert.Equal(("https://schema.org", "Product", "Kettle", "kettle", $"{ShopWithAnAddress.Url}/img/kettle.svg"), (Text(said, "@context"), Text(said, "@type"), Text(said, "name"), Text(said, "sku"), Text(said, "image")));
            var offer = said["offers"]!;
            Assert.Equal(("Offer", "49.00", "EUR", $"https://schema.org/{availability}", url), (Text(offer, "@type"), Text(offer, "price"), Text(offer, "priceCurrency"), Text(offer, "availability"), Text(offer, "url")));
            Assert.True(DateTimeOffset.TryParse((string?)offer["availabilityStarts"], out _), $"{offer["availabilityStarts"]} is no time");
            var ends = sale == shop.TimedSale ? ShopWithAnAddress.ClosesAt : null;
            Assert.Equal((ends, ends), (Text(offer, "availabilityEnds"), Text(offer, "priceValidUntil")));
        }
    }

    [Fact]
    public async Task ListsAndHome_SayWhatTheyAreAndWhere()
    {
        foreach (var (path, title, about) in new[]
        {
            ("/categories/kitchen", "Kitchen & table", "Kitchen & table: what the shop has, with prices."),
            ("/products", "Products", "Products: what the shop has, with prices."),
            ("/", "Sluice: sales on the second", "What is on now, next, and past, each with the proof that it was fair."),
        })
        {
            var html = await PageAsync(path);
            Assert.Equal(
                (title, about, about, "website", ShopWithAnAddress.Url + path, ShopWithAnAddress.Url + path),
                (Property(html, "og:title"), Property(html, "og:description"), Description(html), Property(html, "og:type"), Property(html, "og:url"), Canonical(html)));
        }
    }

    private Task<string> PageAsync(string path) => shop.Server.Http.GetStringAsync(path);

    // Each of them once: two would contradict each other.
    private static string? Property(string html, string name) => Only(html, $"""<meta property="{Regex.Escape(name)}" content="([^"]*)">""");

    private static string? Description(string html) => Only(html, "<meta name=\"description\" content=\"([^\"]*)\">");

    private static string? Canonical(string html) => Only(html, "<link rel=\"canonical\" href=\"([^\"]*)\">");

    private static string? Only(string html, string pattern) => Regex.Matches(html, pattern, RegexOptions.None, TimeSpan.FromSeconds(1)) is [var only] ? WebUtility.HtmlDecode(only.Groups[1].Value) : null;

    private static JsonNode Structured(string html) => JsonNode.Parse(Assert.Single(JsonLd().Matches(html)).Groups["json"].Value)!;

    private static string? Text(JsonNode node, string name) => (string?)node[name];

    // As a browser reads it: up to the first end of a script.
    [GeneratedRegex("<script type=\"application/ld\\+json\">(?<json>.*?)</script>", RegexOptions.Singleline | RegexOptions.ExplicitCapture)]
    private static partial Regex JsonLd();
}

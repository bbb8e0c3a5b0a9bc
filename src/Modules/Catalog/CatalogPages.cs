using System.Globalization;
using System.Text.Json.Nodes;
using Sluice.Modules.Catalog.Contracts;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Site;

namespace Sluice.Modules.Catalog;

/// <summary>The catalogue for people, as pages: the same bytes whether a node answers with them or they are published.</summary>
internal sealed class CatalogPages(ShopPages pages, SiteLook look)
{
    private const int DescriptionCharsMax = 160;

    // A page stands for as long as the catalogue does not change, and how many there are changes by the second: this is what is true of a product with a price all the while.
    private const string Availability = "https://schema.org/OnlineOnly";

    /// <summary>A product's page.</summary>
    public HtmlPage Render(ProductView product, IReadOnlyList<CategoryView> all)
    {
        var url = $"/products/{product.Sku}";
        var category = all.FirstOrDefault(category => product.Categories.Contains(category.Slug, StringComparer.Ordinal));
        return pages.Render("product", url, new Dictionary<string, object?>(StringComparer.Ordinal)
        {
            ["title"] = product.Title,
            ["description"] = Short(product.Description ?? product.Title),
            ["kind"] = "product",
            ["section"] = "products",
            ["script"] = "product-page.js",
            ["og_image"] = WholeAddress(product.ImageUrl),
            ["structured"] = Structured(product, url),
            ["sku"] = product.Sku,
            ["text"] = product.Description,
            ["category"] = category is null ? null : Link(category),
            ["images"] = product.Images.Select(image => (object)new Dictionary<string, object?>(StringComparer.Ordinal) { ["url"] = image.Url, ["alt"] = image.Alt ?? "", ["width"] = image.Width ?? 640, ["height"] = image.Height ?? 640, ["srcset"] = SourceSet(image) }).ToList(),
            ["prices"] = product.Prices.OrderBy(price => price.Kind != "retail").Select(Price).ToList(),
            ["is_priced"] = product.Prices.Any(price => price.Kind == "retail"),
            ["attributes"] = product.Attributes.Select(attribute => (object)new Dictionary<string, object?>(StringComparer.Ordinal) { ["name"] = attribute.Name, ["value"] = attribute.Value }).ToList(),
        });
    }

    /// <summary>The page of a category, or of all products.</summary>
    public HtmlPage Render(CategoryView? category, IReadOnlyList<CategoryView> all, IReadOnlyList<ProductView> items, string? nextCursor) => pages.Render(
        "products", category is null ? "/products" : $"/categories/{category.Slug}", List(category?.Title ?? "Products", category, all, items, nextCursor));

    /// <summary>What a search found; before anything was asked for, an invitation to.</summary>
    /// <param name="page">Null before.</param>
    public HtmlPage Render(string words, Page<ProductView>? page)
    {
        var values = List(words.Length == 0 ? "Search" : $"“{words}”", null, [], page?.Items ?? [], null);
        values["words"] = words;
        values["is_search"] = true;
        values["more"] = page?.NextCursor is { } cursor ? $"/v1/search?q={Uri.EscapeDataString(words)}&cursor={Uri.EscapeDataString(cursor)}" : null;
        return pages.Render("products", "/search", values);
    }

    private static Dictionary<string, object?> List(string title, CategoryView? category, IReadOnlyList<CategoryView> all, IReadOnlyList<ProductView> items, string? nextCursor) => new(StringComparer.Ordinal)
    {
        ["title"] = title,
        ["description"] = $"{title}: what the shop has, with prices.",
        ["kind"] = "website",
        ["section"] = "products",
        ["script"] = "products-page.js",
        ["more"] = nextCursor is null ? null : $"/v1/products?cursor={Uri.EscapeDataString(nextCursor)}{(category is null ? "" : $"&category={category.Slug}")}",
        ["parent"] = category?.Parent is { } parent && all.FirstOrDefault(one => one.Slug == parent) is { } above ? Link(above) : null,
        ["is_category"] = category is not null,
        ["categories"] = all.Where(one => one.Parent == category?.Slug).Select(Link).ToList(),
        ["items"] = items.Select(Card).ToList(),
    };

    private static object Link(CategoryView category) => new Dictionary<string, object?>(StringComparer.Ordinal) { ["url"] = $"/categories/{category.Slug}", ["title"] = category.Title };

    private static object Card(ProductView product) => new Dictionary<string, object?>(StringComparer.Ordinal)
    {
        ["url"] = $"/products/{product.Sku}",
        ["title"] = product.Title,
        ["image"] = product.ImageUrl ?? "/img/fallback.svg",
        ["srcset"] = product.Images.Count > 0 ? SourceSet(product.Images[0]) : null,
        ["price"] = product.Prices.OrderBy(price => price.Kind != "retail").Select(Price).FirstOrDefault(),
    };

    // All widths of a picture, for browsers to choose from; the picture itself is one of them where its width is known.
    private static string? SourceSet(ProductImage image) => image.Sizes is not { Count: > 0 } sizes ? null : string.Join(
        ", ", sizes.Append(new ImageSize(image.Url, image.Width)).Where(size => size.Width is not null).DistinctBy(size => size.Width).OrderBy(size => size.Width).Select(size => string.Create(CultureInfo.InvariantCulture, $"{size.Url} {size.Width}w")));

    private static object Price(ProductPrice price) => new Dictionary<string, object?>(StringComparer.Ordinal)
    {
        ["kind"] = price.Kind,
        ["currency"] = price.Currency,
        ["cents"] = price.AmountCents,
        ["words"] = $"{Money.Amount(price.AmountCents!.Value, price.Currency!)} {price.Currency}",
        ["former_cents"] = price.FormerCents > price.AmountCents ? price.FormerCents : null,
        ["former_words"] = price.FormerCents > price.AmountCents ? $"{Money.Amount(price.FormerCents.Value, price.Currency!)} {price.Currency}" : null,
    };

    // What search engines read (schema.org). The serializer writes < > & as \u…, so it cannot end its script element.
    private string Structured(ProductView product, string url)
    {
        var node = new JsonObject { ["@context"] = "https://schema.org", ["@type"] = "Product", ["name"] = product.Title, ["sku"] = product.Sku };
        if (product.Description is not null)
        {
            node["description"] = product.Description;
        }

        if (product.Images.Count > 0)
        {
            node["image"] = new JsonArray([.. product.Images.Select(image => (JsonNode)WholeAddress(image.Url)!)]);
        }

        var offers = product.Prices.Where(price => price.Kind == "retail").Select(price => (JsonNode)new JsonObject
        {
            ["@type"] = "Offer", ["price"] = Money.Amount(price.AmountCents!.Value, price.Currency!), ["priceCurrency"] = price.Currency, ["availability"] = Availability, ["url"] = look.SiteUrl + url,
        }).ToArray();
        if (offers.Length > 0)
        {
            node["offers"] = new JsonArray(offers);
        }

        return node.ToJsonString();
    }

    // Pictures may be on other hosts.
    private string? WholeAddress(string? url) => url is ['/', ..] ? look.SiteUrl + url : url;

    private static string Short(string text)
    {
        text = text.Replace('\n', ' ');
        var end = DescriptionCharsMax - 1;
        return text.Length <= DescriptionCharsMax ? text : text[..(char.IsHighSurrogate(text[end - 1]) ? end - 1 : end)] + "…";
    }
}

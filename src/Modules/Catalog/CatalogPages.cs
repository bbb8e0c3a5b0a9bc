using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;
using Sluice.Platform.Site;

namespace Sluice.Modules.Catalog;

/// <summary>The catalogue for people: <c>/products</c>, <c>/products/{sku}</c>, <c>/categories/{slug}</c>, <c>/search</c>. The same bytes whether a node answers or they are published.</summary>
internal sealed class CatalogPages(ShopPages pages, SiteLook look, GetProducts products, Categories categories, TieredCache cache)
{
    private const int DescriptionCharsMax = 160, QuestionCharsMax = 100;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/products", (HttpContext context, CatalogPages catalog) => catalog.ListAsync(context, null)).For(AccessRule.Public).ExcludeFromDescription();
        routes.MapGet("/products/{sku}", (string sku, HttpContext context, CatalogPages catalog) => catalog.ProductAsync(context, sku)).For(AccessRule.Public).ExcludeFromDescription();
        routes.MapGet("/categories/{slug}", (string slug, HttpContext context, CatalogPages catalog) => catalog.ListAsync(context, slug)).For(AccessRule.Public).ExcludeFromDescription();
        routes.MapGet("/search", (HttpContext context, CatalogPages catalog) => catalog.SearchAsync(context)).For(AccessRule.Public).ExcludeFromDescription();
    }

    /// <summary>A product's page.</summary>
    public Task<HtmlPage> RenderAsync(ProductView product, IReadOnlyList<CategoryView> all)
    {
        var url = $"/products/{product.Sku}";
        var category = all.FirstOrDefault(category => product.Categories.Contains(category.Slug, StringComparer.Ordinal));
        return pages.RenderAsync("product", url, new Dictionary<string, object?>(StringComparer.Ordinal)
        {
            ["title"] = product.Title,
            ["description"] = Short(product.Description ?? product.Title),
            ["kind"] = "product",
            ["section"] = "products",
            ["script"] = "product-page.js",
            ["image_url"] = product.ImageUrl,
            ["structured"] = Structured(product, url),
            ["sku"] = product.Sku,
            ["text"] = product.Description,
            ["category"] = category is null ? null : Link(category),
            ["images"] = product.Images.Select(image => (object)new Dictionary<string, object?>(StringComparer.Ordinal) { ["url"] = image.Url, ["alt"] = image.Alt ?? "", ["width"] = image.Width ?? 640, ["height"] = image.Height ?? 640 }).ToList(),
            ["prices"] = product.Prices.OrderBy(price => price.Kind != "retail").Select(Price).ToList(),
            ["attributes"] = product.Attributes.Select(attribute => (object)new Dictionary<string, object?>(StringComparer.Ordinal) { ["name"] = attribute.Name, ["value"] = attribute.Value }).ToList(),
        });
    }

    /// <summary>The page of a category, or of all products.</summary>
    public Task<HtmlPage> RenderAsync(CategoryView? category, IReadOnlyList<CategoryView> all, IReadOnlyList<ProductView> items, string? nextCursor) => pages.RenderAsync(
        "products", category is null ? "/products" : $"/categories/{category.Slug}", List(category?.Title ?? "Products", category, all, items, nextCursor));

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

    private async Task<IResult> ProductAsync(HttpContext context, string sku)
    {
        var kept = await products.KeptAsync(sku);
        if (kept.Json is null)
        {
            return Results.NotFound();
        }

        var (version, all) = await categories.AllAsync();
        return await AnswerAsync(context, $"{sku}:{kept.Version}:{version}", () => RenderAsync(JsonSerializer.Deserialize(kept.Json, CatalogJson.Default.ProductView)!, all));
    }

    private async Task<IResult> ListAsync(HttpContext context, string? slug)
    {
        var (_, all) = await categories.AllAsync();
        var category = all.FirstOrDefault(category => category.Slug == slug);
        if (slug is not null && category is null)
        {
            return Results.NotFound();
        }

        var (version, page) = await products.PageAsync(slug);
        return page is null ? Results.NotFound() : await AnswerAsync(context, $"list {slug}:{version}", () => RenderAsync(category, all, page.Items, page.NextCursor));
    }

    // Nobody else asks the same: not kept.
    private async Task<IResult> SearchAsync(HttpContext context)
    {
        var words = context.Request.Query["q"] is [{ } text] && Names.IsText(text, QuestionCharsMax) ? text : "";
        var page = words.Length == 0 ? null : await products.FoundAsync(words);
        var values = List(words.Length == 0 ? "Search" : $"“{words}”", null, [], page?.Items ?? [], null);
        values["words"] = words;
        values["is_search"] = true;
        values["more"] = page?.NextCursor is { } cursor ? $"/v1/search?q={Uri.EscapeDataString(words)}&cursor={Uri.EscapeDataString(cursor)}" : null;
        return Versioned.Page(context, await pages.RenderAsync("products", "/search", values));
    }

    // A page is made once for each state of what it shows, and each build of the shop.
    private async Task<IResult> AnswerAsync(HttpContext context, string state, Func<Task<HtmlPage>> render)
    {
        var kept = await cache.GetAsync(CacheKey.Shared("page", $"{state}:{look.AssetsPrefix}"), async () => new CachedAnswer(0, (await render()).Html));
        return Versioned.Page(context, HtmlPage.Of(kept.Json!));
    }

    private static object Link(CategoryView category) => new Dictionary<string, object?>(StringComparer.Ordinal) { ["url"] = $"/categories/{category.Slug}", ["title"] = category.Title };

    private static object Card(ProductView product) => new Dictionary<string, object?>(StringComparer.Ordinal)
    {
        ["url"] = $"/products/{product.Sku}",
        ["title"] = product.Title,
        ["image"] = product.ImageUrl ?? "/img/fallback.svg",
        ["price"] = product.Prices.OrderBy(price => price.Kind != "retail").Select(Price).FirstOrDefault(),
    };

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
            node["image"] = new JsonArray([.. product.Images.Select(image => (JsonNode)(image.Url!.StartsWith('/') ? look.SiteUrl + image.Url : image.Url))]);
        }

        var offers = product.Prices.Where(price => price.Kind == "retail").Select(price => (JsonNode)new JsonObject
        {
            ["@type"] = "Offer", ["price"] = Money.Amount(price.AmountCents!.Value, price.Currency!), ["priceCurrency"] = price.Currency, ["url"] = look.SiteUrl + url,
        }).ToArray();
        if (offers.Length > 0)
        {
            node["offers"] = new JsonArray(offers);
        }

        return node.ToJsonString();
    }

    private static string Short(string text)
    {
        var line = text.ReplaceLineEndings(" ");
        return line.Length <= DescriptionCharsMax ? line : line[..(char.IsHighSurrogate(line[DescriptionCharsMax - 2]) ? DescriptionCharsMax - 2 : DescriptionCharsMax - 1)] + "…";
    }
}

/// <summary>Everything of the catalogue that is the same for everybody, as files: pages, and the answers of the API under the same addresses.</summary>
internal sealed class CatalogSite(CatalogPages pages, GetProducts products, Database database) : ISitePart
{
    private const int PerPage = 24;

    public Task<long> VersionAsync() => CatalogVersion.ReadAsync(database, ReadFrom.Writer);

    public async IAsyncEnumerable<SiteFile> FilesAsync()
    {
        var all = await database.ReadAsync(connection => Categories.ReadAsync(connection));
        yield return Json("/v1/categories", JsonSerializer.SerializeToUtf8Bytes(new CategoryList(all), CatalogJson.Default.CategoryList));

        // The first page of each list is all that is kept of it while walking.
        var lists = all.Select(category => (CategoryView?)category).Append(null).Select(category => (Category: category, Items: new List<ProductView>(), Rows: new List<ProductRow>())).ToList();
        var above = all.ToDictionary(category => category.Slug, category => category.Parent, StringComparer.Ordinal);
        var first = lists.ToDictionary(list => list.Category?.Slug ?? "", list => list, StringComparer.Ordinal);
        await foreach (var row in products.AllAsync())
        {
            var product = row.ToView();
            yield return Json($"/v1/products/{product.Sku}", JsonSerializer.SerializeToUtf8Bytes(product, CatalogJson.Default.ProductView));
            yield return Page($"/products/{product.Sku}", await pages.RenderAsync(product, all));
            foreach (var slug in product.Categories.SelectMany(Upwards).Append("").Distinct(StringComparer.Ordinal))
            {
                if (first.TryGetValue(slug, out var list) && list.Items.Count <= PerPage)
                {
                    list.Items.Add(product);
                    list.Rows.Add(row);
                }
            }
        }

        foreach (var (category, items, rows) in lists)
        {
            var next = items.Count > PerPage ? new ListCursor(rows[PerPage - 1].Position, rows[PerPage - 1].Sku).ToString() : null;
            yield return Page(category is null ? "/products" : $"/categories/{category.Slug}", await pages.RenderAsync(category, all, [.. items.Take(PerPage)], next));
        }

        IEnumerable<string> Upwards(string slug)
        {
            for (var at = slug; at is not null && above.ContainsKey(at); at = above[at]!)
            {
                yield return at;
            }
        }
    }

    private static SiteFile Json(string url, byte[] json) => new(url, "application/json; charset=utf-8", json);

    private static SiteFile Page(string url, HtmlPage page) => new(url, "text/html; charset=utf-8", page.Html);
}

/// <summary>Amounts as people and search engines write them.</summary>
internal static class Money
{
    // ISO 4217; every other currency has two.
    private static readonly HashSet<string> WithoutDecimals = ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"];
    private static readonly HashSet<string> WithThree = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

    /// <summary>1250 EUR → 12.50, 1250 JPY → 1250.</summary>
    public static string Amount(long minorUnits, string currency)
    {
        var decimals = WithoutDecimals.Contains(currency) ? 0 : WithThree.Contains(currency) ? 3 : 2;
        var scale = decimals switch { 0 => 1, 3 => 1_000, _ => 100 };
        return ((decimal)minorUnits / scale).ToString("F" + decimals, CultureInfo.InvariantCulture);
    }
}

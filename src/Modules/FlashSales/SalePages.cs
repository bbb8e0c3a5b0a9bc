using System.Globalization;
using System.Text.Json.Nodes;
using Sluice.Modules.Catalog.Contracts;
using Sluice.Platform.Http;
using Sluice.Platform.Site;

namespace Sluice.Modules.FlashSales;

/// <summary>The home page and the page of each sale: what the calendar and the catalogue say of it, ready to be read; what changes by the second is filled in by scripts.</summary>
internal sealed class SalePages(ShopPages pages, SiteLook look)
{
    private const int CardsMax = 24;

    /// <summary>The page of a sale that is in no calendar: a draft, an old one, or none. A script fills it.</summary>
    public HtmlPage Empty { get; } = pages.Render("sale", "", new Dictionary<string, object?>(StringComparer.Ordinal));

    /// <summary>The sales that the home page names: what is not over, then what is, the newest first.</summary>
    public static IReadOnlyList<CalendarSale> Named(Calendar calendar) =>
        [.. calendar.Items.Where(sale => sale.State != "closed").Concat(calendar.Items.Where(sale => sale.State == "closed")).Take(CardsMax)];

    /// <summary>The home page.</summary>
    /// <param name="sales">Each with what the catalogue has under its sku, or null.</param>
    public HtmlPage Home(IEnumerable<(CalendarSale Sale, SoldProduct? Product)> sales) => pages.Render("index", "/", new Dictionary<string, object?>(StringComparer.Ordinal)
    {
        ["sales"] = sales.Select(one =>
        {
            var card = Card(one.Sale);
            card["image"] = OnThisSite(one.Product?.ImageUrl) ?? "/img/fallback.svg";
            return card;
        }).ToList(),
    });

    /// <summary>The page of one sale.</summary>
    /// <param name="product">What the catalogue has under the sale's sku, or null.</param>
    public HtmlPage Sale(CalendarSale sale, SoldProduct? product)
    {
        var url = $"/sales/{sale.Id}";
        var values = Card(sale);
        values["title"] = sale.Title;
        values["description"] = $"{sale.Title} for {values["price"]}. {values["when"]}.";
        values["kind"] = "product";
        values["when_short"] = sale.State == "announced" ? $"Opens {Moment(sale.OpensAt)}" : values["when"];
        values["text"] = product is null ? null : product.Description ?? "The shop has not described it any further.";
        values["image_url"] = OnThisSite(product?.ImageUrl);
        values["og_image"] = OnThisSite(product?.ImageUrl) is { } picture ? look.SiteUrl + picture : null;
        values["structured"] = Structured(sale, product, url);
        return pages.Render("sale", url, values);
    }

    private static Dictionary<string, object?> Card(CalendarSale sale) => new(StringComparer.Ordinal)
    {
        ["sale_url"] = $"/sales/{sale.Id}",
        ["sale_title"] = sale.Title,
        ["cents"] = sale.PriceCents,
        ["currency"] = sale.Currency,
        ["price"] = $"{Money.Amount(sale.PriceCents, sale.Currency)} {sale.Currency}",
        ["former_cents"] = sale.ListPriceCents > sale.PriceCents ? sale.ListPriceCents : null,
        ["former"] = sale.ListPriceCents > sale.PriceCents ? $"{Money.Amount(sale.ListPriceCents.Value, sale.Currency)} {sale.Currency}" : null,
        ["when"] = When(sale),
        ["units"] = sale.StockUnits,
    };

    // True whenever it is read: times, not stages.
    private static string When(CalendarSale sale) => sale.State switch
    {
        "closed" => "This sale has ended",
        "paused" => "This sale is paused",
        _ => $"From {Moment(sale.OpensAt)}{(sale.ClosesAt is null ? "" : $" to {Moment(sale.ClosesAt)}")}",
    };

    private static string Moment(DateTime? at) => at is { } time ? time.ToString("d MMM yyyy, HH:mm", CultureInfo.InvariantCulture) + " UTC" : "now";

    // True whenever it is read, too: a sale never has more than its units, and the times of the offer say from when to when.
    private static string Availability(CalendarSale sale) => sale.State == "closed" ? "https://schema.org/Discontinued" : "https://schema.org/LimitedAvailability";

    // Pages of sales show pictures of this site only, as their scripts do.
    private static string? OnThisSite(string? imageUrl) => imageUrl is ['/', ..] ? imageUrl : null;

    // What search engines read (schema.org). The serializer writes < > & as \u…, so it cannot end its script element.
    private string Structured(CalendarSale sale, SoldProduct? product, string url)
    {
        var offer = new JsonObject
        {
            ["@type"] = "Offer", ["price"] = Money.Amount(sale.PriceCents, sale.Currency), ["priceCurrency"] = sale.Currency, ["availability"] = Availability(sale), ["url"] = look.SiteUrl + url,
        };
        if (sale.OpensAt is { } opens)
        {
            offer["availabilityStarts"] = opens.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
        }

        if (sale.ClosesAt is { } closes)
        {
            var end = closes.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
            (offer["availabilityEnds"], offer["priceValidUntil"]) = (end, end);
        }

        var node = new JsonObject { ["@context"] = "https://schema.org", ["@type"] = "Product", ["name"] = sale.Title, ["sku"] = sale.Sku, ["offers"] = offer };
        if (product?.Description is { } description)
        {
            node["description"] = description;
        }

        if (OnThisSite(product?.ImageUrl) is { } image)
        {
            node["image"] = look.SiteUrl + image;
        }

        return node.ToJsonString();
    }
}

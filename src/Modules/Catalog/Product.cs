using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.Platform.Http;

namespace Sluice.Modules.Catalog;

/// <param name="AmountCents">In the currency's smallest unit: cents, or whole yen.</param>
/// <param name="FormerCents">What it cost before; shown struck.</param>
/// <param name="Kind">For whom: <c>retail</c> unless given, <c>member</c>, <c>wholesale</c>, or a name of the shop's own.</param>
public sealed record ProductPrice([property: Required] string? Currency, [property: Required] long? AmountCents, long? FormerCents, string? Kind);

/// <param name="Url">A path on this site, or an https address of a host that the setting <c>Catalog:ImageHosts</c> names.</param>
/// <param name="Width">Pixels; with <paramref name="Height"/> a page can leave room for it.</param>
/// <param name="Sizes">The same picture in other widths, so that a phone need not load the large one; left out where there are none.</param>
public sealed record ProductImage(
    [property: Required] string? Url, string? Alt, int? Width, int? Height, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<ImageSize>? Sizes = null);

/// <param name="Url">As of <see cref="ProductImage"/>.</param>
/// <param name="Width">Pixels.</param>
public sealed record ImageSize([property: Required] string? Url, [property: Required] int? Width);

public sealed record ProductAttribute([property: Required] string? Name, [property: Required] string? Value);

public sealed record ProductRequest(
    [property: Required] string? Title,
    string? Description,
    string? ImageUrl,
    IReadOnlyList<ProductImage>? Images,
    IReadOnlyList<ProductPrice>? Prices,
    IReadOnlyList<string>? Categories,
    IReadOnlyList<ProductAttribute>? Attributes,
    bool? IsListed);

/// <param name="ImageUrl">The first picture's address, or null.</param>
/// <param name="IsListed">False: reached by its address alone, in no list and no search.</param>
/// <param name="Version">Rises with each change, and never goes back, also when the product was gone in between.</param>
public sealed record ProductView(
    string Sku,
    string Title,
    string? Description,
    string? ImageUrl,
    IReadOnlyList<ProductImage> Images,
    IReadOnlyList<ProductPrice> Prices,
    IReadOnlyList<string> Categories,
    IReadOnlyList<ProductAttribute> Attributes,
    bool IsListed,
    long Version);

/// <summary>A product as it is to be: checked, and in one form, so that two that say the same are equal.</summary>
internal sealed record Product(string Sku, string Title, string? Description, string? ImageUrl, bool IsListed, ProductDetails Details)
{
    private const int ImagesMax = 12, SizesMax = 8, PricesMax = 20, CategoriesMax = 10, AttributesMax = 50;
    private const long CentsMax = 1_000_000_000_000;

    public string DetailsJson => JsonSerializer.Serialize(Details, CatalogJson.Default.ProductDetails);

    /// <summary>The product that a request asks for; or what is wrong with it, each with the field's name first.</summary>
    public static (Product? Product, IReadOnlyList<FieldError> Wrong) Of(string? sku, ProductRequest request, CatalogOptions options)
    {
        var wrong = new List<FieldError>();
        Must("sku", Names.IsSku(sku), "has 1 to 64 letters, digits, _ - . (no dot first)");
        Must("title", Names.IsText(request.Title, 200), "has 1 to 200 characters");
        var description = request.Description?.ReplaceLineEndings("\n");
        Must("description", description is null || Names.IsLines(description, 4_000), "has 1 to 4,000 characters; line breaks are kept, other control characters are not taken");
        Must("imageUrl", request.ImageUrl is null || IsImage(request.ImageUrl, options), ImageRule);
        var images = request.Images is { Count: > 0 } given ? given : request.ImageUrl is null ? [] : [new ProductImage(request.ImageUrl, null, null, null)];
        Must("images", images.Count <= ImagesMax, $"has at most {ImagesMax}");
        Must("images", images.All(image => image is not null && IsImage(image.Url, options)), $"'url' {ImageRule}");
        Must("images", images.All(image => image?.Alt is null || Names.IsText(image.Alt, 200)), "'alt' has 1 to 200 characters");
        Must("images", images.All(image => image is null || (image.Width is null) == (image.Height is null) && image.Width is null or (>= 1 and <= 20_000) && image.Height is null or (>= 1 and <= 20_000)), "'width' and 'height' go together, 1 to 20,000 pixels each");
        Must("images", images.All(image => image?.Sizes is null || (image.Sizes.Count <= SizesMax && image.Sizes.All(size => size is not null && IsImage(size.Url, options) && size.Width is >= 1 and <= 20_000) && image.Sizes.DistinctBy(size => size.Width).Count() == image.Sizes.Count)), $"'sizes' has at most {SizesMax}, each with a 'width' of its own (1 to 20,000 pixels) and a 'url' that {ImageRule}");
        Must("imageUrl", request.ImageUrl is null || images[0]?.Url == request.ImageUrl, "is the first of 'images', or is left out");
        var prices = (request.Prices ?? []).Select(price => price is null ? null : price with { Kind = price.Kind ?? "retail" }).ToList();
        Must("prices", prices.Count <= PricesMax, $"has at most {PricesMax}");
        Must("prices", prices.TrueForAll(price => price is not null && Names.IsCurrency(price.Currency)), "'currency' is an ISO 4217 code such as EUR");
        Must("prices", prices.TrueForAll(price => price?.AmountCents is >= 0 and <= CentsMax), $"'amountCents' is 0 to {CentsMax}");
        Must("prices", prices.TrueForAll(price => price?.FormerCents is null or (>= 0 and <= CentsMax)), $"'formerCents' is 0 to {CentsMax}");
        Must("prices", prices.TrueForAll(price => price is null || IsSlug(price.Kind)), "'kind' has 1 to 64 of a–z 0–9 -");
        Must("prices", prices.DistinctBy(price => (price?.Currency, price?.Kind)).Count() == prices.Count, "has one for each currency and kind");
        var categories = request.Categories ?? [];
        Must("categories", categories.Count <= CategoriesMax && categories.All(IsSlug) && categories.Distinct(StringComparer.Ordinal).Count() == categories.Count, $"has at most {CategoriesMax}, each once, each 1 to 64 of a–z 0–9 -");
        var attributes = request.Attributes ?? [];
        Must("attributes", attributes.Count <= AttributesMax, $"has at most {AttributesMax}");
        Must("attributes", attributes.All(attribute => Names.IsText(attribute?.Name, 60) && Names.IsText(attribute?.Value, 200)), "'name' has 1 to 60 characters, 'value' 1 to 200");
        return wrong.Count > 0 ? (null, wrong)
            : (new Product(sku!, request.Title!, description, images.Count > 0 ? images[0].Url : null, request.IsListed ?? true, new ProductDetails([.. images], prices!, [.. categories], [.. attributes])), wrong);

        void Must(string field, bool holds, string says)
        {
            if (!holds)
            {
                wrong.Add(new FieldError(field, says));
            }
        }
    }

    /// <summary>1–64 of <c>a–z 0–9 -</c>.</summary>
    public static bool IsSlug(string? text) => text is { Length: >= 1 and <= 64 } && text.All(c => c is (>= 'a' and <= 'z') or (>= '0' and <= '9') or '-');

    private const string ImageRule = "is a path on this site, or an https address of a host that Catalog:ImageHosts names";

    // Pictures come from this site, or from where the operator said: a page of Sluice asks nobody else.
    private static bool IsImage(string? url, CatalogOptions options)
    {
        if (url is not { Length: >= 1 and <= 400 } || !url.All(c => char.IsAsciiLetterOrDigit(c) || c is '/' or '-' or '_' or '.' or '~' or ':' or '%') || url.Contains("..", StringComparison.Ordinal))
        {
            return false;
        }

        return url.StartsWith('/') ? !url.StartsWith("//", StringComparison.Ordinal) && !url.Contains(':') && url.Length <= 200
            : url.StartsWith("https://", StringComparison.Ordinal) && Uri.TryCreate(url, UriKind.Absolute, out var uri) && uri.UserInfo.Length == 0 && options.ImageHosts.Contains(uri.IsDefaultPort ? uri.Host : uri.Authority, StringComparer.OrdinalIgnoreCase);
    }
}

/// <summary>What is always read with a product as a whole.</summary>
internal sealed record ProductDetails(IReadOnlyList<ProductImage> Images, IReadOnlyList<ProductPrice> Prices, IReadOnlyList<string> Categories, IReadOnlyList<ProductAttribute> Attributes)
{
    public static readonly ProductDetails None = new([], [], [], []);
}

/// <summary>One field that cannot be taken, and why.</summary>
public sealed record FieldError(string Field, string Says);

/// <summary>A row of the table <c>products</c>.</summary>
[method: Dapper.ExplicitConstructor]
internal sealed record ProductRow(string Sku, string Title, string? Description, string? ImageUrl, string? Details, long IsListed, long Position, long Version)
{
    public const string Columns = "sku AS Sku, title AS Title, description AS Description, image_url AS ImageUrl, details AS Details, is_listed AS IsListed, position AS Position, version AS Version";

    public Product ToProduct() => new(Sku, Title, Description, ImageUrl, IsListed != 0, Parse());

    public ProductView ToView()
    {
        var details = Parse();
        return new(Sku, Title, Description, ImageUrl, details.Images, details.Prices, details.Categories, details.Attributes, IsListed != 0, Version);
    }

    // A product of before there were details has the picture alone.
    private ProductDetails Parse() => Details is null
        ? ProductDetails.None with { Images = ImageUrl is null ? [] : [new ProductImage(ImageUrl, null, null, null)] }
        : JsonSerializer.Deserialize(Details, CatalogJson.Default.ProductDetails)!;
}

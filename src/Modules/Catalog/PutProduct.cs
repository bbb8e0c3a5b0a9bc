using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Http;

namespace Sluice.Modules.Catalog;

/// <param name="DryRun">Says what would become of each row, and changes nothing.</param>
/// <param name="Products">At most 200, each sku once.</param>
public sealed record ImportRequest(bool? DryRun, [property: Required] IReadOnlyList<ImportRow>? Products);

/// <summary>A product as <c>PUT</c> takes it, with its sku.</summary>
public sealed record ImportRow(
    [property: Required] string? Sku,
    [property: Required] string? Title,
    string? Description,
    string? ImageUrl,
    IReadOnlyList<ProductImage>? Images,
    IReadOnlyList<ProductPrice>? Prices,
    IReadOnlyList<string>? Categories,
    IReadOnlyList<ProductAttribute>? Attributes,
    bool? IsListed)
{
    internal ProductRequest ToRequest() => new(Title, Description, ImageUrl, Images, Prices, Categories, Attributes, IsListed);
}

/// <param name="Row">Which of <c>products</c>, from 0.</param>
public sealed record ImportRefusal(int Row, string Field, string Says);

/// <summary>What became of the rows. Refused ones changed nothing, the others are in.</summary>
public sealed record ImportResult(int Created, int Changed, int Unchanged, IReadOnlyList<ImportRefusal> Refused);

/// <summary><c>PUT</c> and <c>DELETE /v1/products/{sku}</c>, and many at once: <c>POST /v1/imports/products</c>.</summary>
internal static class PutProduct
{
    private const int RowsMax = 200;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPut("/v1/products/{sku}", PutAsync).For(AccessRule.Server).WithTags("Catalog").WithSummary("Make or change a product").Produces<ProductView>();
        routes.MapDelete("/v1/products/{sku}", DeleteAsync).For(AccessRule.Server).WithTags("Catalog").WithSummary("Take a product away").Produces(204);
        routes.MapPost("/v1/imports/products", ImportAsync).For(AccessRule.Server).WithTags("Catalog").WithSummary($"Make or change up to {RowsMax} products at once").Produces<ImportResult>().Refuses(409, "category-changed");
    }

    private static async Task<IResult> PutAsync(string sku, ProductRequest request, ProductChanges changes, GetProducts products, CatalogOptions options)
    {
        var (product, wrong) = Product.Of(sku, request, options);
        if (product is null)
        {
            return Problem.Invalid(string.Join("; ", wrong.Select(error => $"'{error.Field}' {error.Says}")) + ".");
        }

        // Not run again by itself when its commit got lost: another shop system may have changed the product since, and was told so.
        var (_, unknown) = await changes.PutAsync([product]);
        return unknown.Count > 0 ? Problem.Invalid($"'categories': there is no category '{unknown[0].Category}'. Make it first.")
            : await products.FindAtWriterAsync(sku) is { } view ? Results.Json(view, CatalogJson.Default.ProductView) : Problem.NotFound("product");
    }

    private static async Task<IResult> DeleteAsync(string sku, ProductChanges changes) =>
        Names.IsSku(sku) && await changes.RemoveAsync(sku) ? Results.NoContent() : Problem.NotFound("product");

    private static async Task<IResult> ImportAsync(ImportRequest request, ProductChanges changes, GetProducts products, CatalogOptions options)
    {
        if (request.Products is not { Count: >= 1 and <= RowsMax } rows)
        {
            return Problem.Invalid($"'products' has 1 to {RowsMax} rows.");
        }

        var refused = new List<ImportRefusal>();
        var good = new List<(int Row, Product Product)>();
        var seen = new Dictionary<string, int>(StringComparer.Ordinal);
        var categories = (await products.CategorySlugsAsync()).ToHashSet(StringComparer.Ordinal);
        for (var i = 0; i < rows.Count; i++)
        {
            if (rows[i] is not { } row)
            {
                refused.Add(new ImportRefusal(i, "sku", "is missing"));
                continue;
            }

            var (product, wrong) = Product.Of(row.Sku, row.ToRequest(), options);
            refused.AddRange(wrong.Select(error => new ImportRefusal(i, error.Field, error.Says)));
            if (product is null)
            {
                continue;
            }

            if (!seen.TryAdd(product.Sku, i))
            {
                refused.Add(new ImportRefusal(i, "sku", "is in this import twice"));
            }
            else if (product.Details.Categories.FirstOrDefault(slug => !categories.Contains(slug)) is { } unknown)
            {
                refused.Add(new ImportRefusal(i, "categories", $"there is no category '{unknown}'"));
            }
            else
            {
                good.Add((i, product));
            }
        }

        IReadOnlyList<ProductOutcome> outcomes = [];
        if (good.Count > 0)
        {
            (outcomes, var gone) = await changes.PutAsync([.. good.Select(row => row.Product)], isDryRun: request.DryRun ?? false);

            // Taken away between our look and the writing: nothing of these rows is in.
            if (gone.Count > 0)
            {
                return new Problem(409, "category-changed", "Try again", "A category was taken away during the import. Nothing of these rows was changed; send them again.");
            }
        }

        return Results.Json(new ImportResult(Count(ProductOutcome.Created), Count(ProductOutcome.Changed), Count(ProductOutcome.Unchanged), refused), CatalogJson.Default.ImportResult);

        int Count(ProductOutcome outcome) => outcomes.Count(one => one == outcome);
    }
}

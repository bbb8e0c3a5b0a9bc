using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;
using Dapper;
using FluentMigrator;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Catalog;

/// <summary>Products: for now what a sale page shows besides the sale itself.</summary>
public sealed class CatalogModule : IModule
{
    public string Name => "Catalog";

    public IReadOnlyList<string> Needs => [];

    public IReadOnlyDictionary<string, Type> Options { get; } = new Dictionary<string, Type>(StringComparer.Ordinal);

    public void AddServices(IServiceCollection services)
    {
    }

    public void MapEndpoints(IEndpointRouteBuilder routes)
    {
        routes.MapPut("/v1/products/{sku}", Products.PutAsync).For(AccessRule.Server).WithTags("Catalog").WithSummary("Make or change a product").Produces<ProductView>();
        routes.MapGet("/v1/products/{sku}", Products.GetAsync).For(AccessRule.Public).WithTags("Catalog").WithSummary("One product").Produces<ProductView>().IsVersioned();
    }

    public void AddWorkers(IServiceCollection services)
    {
    }
}

public sealed record ProductRequest([property: Required] string? Title, string? Description, string? ImageUrl);

[method: Dapper.ExplicitConstructor]
public sealed record ProductView(string Sku, string Title, string? Description, string? ImageUrl, long Version);

internal static class Products
{
    public static async Task<IResult> PutAsync(string sku, ProductRequest request, Database database, CacheChanges changes)
    {
        if (!Names.IsSku(sku) || !Names.IsText(request.Title, 200) || (request.Description is not null && !Names.IsText(request.Description, 4_000)) ||
            (request.ImageUrl is not null && !IsOwnPath(request.ImageUrl)))
        {
            return Problem.Invalid(
                "A product has a 'sku' (1 to 64 letters, digits, _ - .), a 'title' (1 to 200 characters), perhaps a 'description' (to 4,000) and an 'imageUrl' (a path on this site).");
        }

        // Not run again by itself when its commit got lost: another shop system may have changed the product since, and was told so.
        await database.WriteAsync(async transaction =>
        {
            await changes.AddAsync(transaction, [KeyOf(sku)]);
            await transaction.Connection!.ExecuteAsync(
                "INSERT INTO products (sku, title, description, image_url, version) VALUES (@sku, @Title, @Description, @ImageUrl, 1) " +
                $"{Dialect.OrUpdate(transaction, "sku")} title = @Title, description = @Description, image_url = @ImageUrl, version = products.version + 1",
                new { sku, request.Title, request.Description, request.ImageUrl },
                transaction);
        });
        await changes.TellAsync([KeyOf(sku)]);
        return Results.Json((await FindAsync(database, sku))!, CatalogJson.Default.ProductView);
    }

    public static async Task<IResult> GetAsync(string sku, HttpContext context, Database database, TieredCache cache)
    {
        var kept = Names.IsSku(sku) ? await cache.GetAsync(KeyOf(sku), () => LoadAsync(database, sku), Versioned.KnownVersion(context.Request)) : CachedAnswer.None;
        return kept.Json is { } json ? Versioned.Answer(context, kept.Version, json) : Problem.NotFound("product");
    }

    // Pictures come from this site: a page of Sluice asks nobody else.
    private static bool IsOwnPath(string url) =>
        url.Length <= 200 && url.StartsWith('/') && !url.StartsWith("//", StringComparison.Ordinal) && !url.Contains("..", StringComparison.Ordinal) &&
        url.All(c => char.IsAsciiLetterOrDigit(c) || c is '/' or '-' or '_' or '.');

    private static CacheKey KeyOf(string sku) => CacheKey.Shared("product", sku);

    private static async Task<CachedAnswer> LoadAsync(Database database, string sku) => await FindAsync(database, sku, ReadFrom.Reader) is { } product
        ? new CachedAnswer(product.Version, JsonSerializer.SerializeToUtf8Bytes(product, CatalogJson.Default.ProductView))
        : CachedAnswer.None;

    private static Task<ProductView?> FindAsync(Database database, string sku, ReadFrom from = ReadFrom.Writer) => database.ReadAsync(connection => connection.QuerySingleOrDefaultAsync<ProductView?>(
        "SELECT sku AS Sku, title AS Title, description AS Description, image_url AS ImageUrl, version AS Version FROM products WHERE sku = @sku", new { sku }), from);
}

/// <summary>Products by sku.</summary>
[Migration(3001)]
public sealed class M3001_Products : Migration
{
    public override void Up() => Create.Table("products")
        .WithColumn("sku").AsString(64).PrimaryKey()
        .WithColumn("title").AsString(200).NotNullable()
        .WithColumn("description").AsString(4_000).Nullable()
        .WithColumn("image_url").AsString(200).Nullable()
        .WithColumn("version").AsInt64().NotNullable();

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, NumberHandling = JsonNumberHandling.Strict, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, AllowDuplicateProperties = false)]
[JsonSerializable(typeof(ProductRequest))]
[JsonSerializable(typeof(ProductView))]
public sealed partial class CatalogJson : JsonSerializerContext;

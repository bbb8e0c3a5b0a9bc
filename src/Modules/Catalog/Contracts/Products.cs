using System.Data.Common;
using System.Text.Json;
using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Catalog.Contracts;

/// <param name="AmountCents">In the currency's smallest unit.</param>
public sealed record RetailPrice(string Currency, long AmountCents);

/// <summary>A product as somebody buys it.</summary>
/// <param name="Prices">Those for everybody; may be none.</param>
public sealed record SoldProduct(string Sku, string Title, string? Description, string? ImageUrl, IReadOnlyList<RetailPrice> Prices, long Version);

/// <summary>The catalogue's products, for modules that sell them.</summary>
internal sealed class Products(GetProducts products, TieredCache cache, Database database)
{
    /// <summary>Rises with each change of any product; up to a second old.</summary>
    public Task<long> VersionAsync() => CatalogVersion.GetAsync(cache, database, known: 0);

    /// <summary>As pages show it, so up to a second old; null: there is none.</summary>
    public async ValueTask<SoldProduct?> FindAsync(string sku) =>
        (await products.KeptAsync(sku)).Json is { } json ? Sold(JsonSerializer.Deserialize(json, CatalogJson.Default.ProductView)!) : null;

    /// <summary>As it is this moment, from SQL.</summary>
    public static async Task<SoldProduct?> FindNowAsync(Database database, string sku) => await GetProducts.FindAtWriterAsync(database, sku) is { } product ? Sold(product) : null;

    /// <summary>The title of a product, also of one that is gone; null: there never was one.</summary>
    public static Task<string?> TitleAsync(DbTransaction transaction, string sku) =>
        transaction.Connection!.QuerySingleOrDefaultAsync<string?>("SELECT title FROM products WHERE sku = @sku", new { sku }, transaction);

    /// <summary>The title of a product that is there, and until the commit nobody else changes it or calls this for it; null: there is none.</summary>
    public static Task<string?> LockAsync(DbTransaction transaction, string sku) =>
        transaction.Connection!.QuerySingleOrDefaultAsync<string?>($"SELECT title FROM products WHERE sku = @sku AND is_gone = 0{Dialect.ForUpdate(transaction)}", new { sku }, transaction);

    private static SoldProduct Sold(ProductView product) => new(
        product.Sku, product.Title, product.Description, product.ImageUrl,
        [.. product.Prices.Where(price => price.Kind == "retail").Select(price => new RetailPrice(price.Currency!, price.AmountCents!.Value))], product.Version);
}

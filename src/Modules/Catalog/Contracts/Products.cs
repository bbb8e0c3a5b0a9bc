using System.Data.Common;
using System.Text.Json;
using Dapper;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Catalog.Contracts;

/// <param name="AmountCents">In the currency's smallest unit.</param>
public sealed record RetailPrice(string Currency, long AmountCents);

/// <summary>A product as somebody buys it.</summary>
/// <param name="Prices">Those for everybody; may be none.</param>
public sealed record SoldProduct(string Sku, string Title, string? Description, string? ImageUrl, IReadOnlyList<RetailPrice> Prices, long Version);

/// <summary>The catalogue's products, for modules that sell them. The catalogue may have a database of its own, so its rows are in nobody else's transaction unless both are in the main one.</summary>
internal sealed class Products(GetProducts products, ProductsNow now, TieredCache cache, [FromKeyedServices(CatalogModule.Key)] Database database, Database main)
{
    private bool IsApart => database != main;

    /// <summary>Rises with each change of any product; up to a second old.</summary>
    public Task<long> VersionAsync() => CatalogVersion.GetAsync(cache, database, known: 0);

    /// <summary>As pages show it, so up to a second old; null: there is none.</summary>
    public async ValueTask<SoldProduct?> FindAsync(string sku) =>
        (await products.KeptAsync(sku)).Json is { } json ? Sold(JsonSerializer.Deserialize(json, CatalogJson.Default.ProductView)!) : null;

    /// <summary>As it is this moment, from SQL.</summary>
    public Task<SoldProduct?> FindNowAsync(string sku) => now.FindAsync(sku);

    /// <summary>The title of a product, for the caller's transaction: as it is this moment, also of one that is gone. Where the catalogue has a database of its own: as pages show it.</summary>
    /// <returns>Null: there never was one. Where the catalogue has a database of its own also: it is gone, or the database is away, which keeps no claim from being written.</returns>
    public async Task<string?> TitleAsync(DbTransaction transaction, string sku)
    {
        if (!IsApart)
        {
            return await transaction.Connection!.QuerySingleOrDefaultAsync<string?>("SELECT title FROM products WHERE sku = @sku", new { sku }, transaction);
        }

        try
        {
            return (await FindAsync(sku))?.Title;
        }
        catch (DependencyUnavailableException)
        {
            return null;
        }
    }

    /// <summary>The title of a product that is there; null: there is none. Until the commit nobody else changes it or calls this for it, unless the catalogue has a database of its own.</summary>
    public async Task<string?> LockAsync(DbTransaction transaction, string sku) => IsApart
        ? (await FindNowAsync(sku))?.Title
        : await transaction.Connection!.QuerySingleOrDefaultAsync<string?>($"SELECT title FROM products WHERE sku = @sku AND is_gone = 0{Dialect.ForUpdate(transaction)}", new { sku }, transaction);

    internal static SoldProduct Sold(ProductView product) => new(
        product.Sku, product.Title, product.Description, product.ImageUrl,
        [.. product.Prices.Where(price => price.Kind == "retail").Select(price => new RetailPrice(price.Currency!, price.AmountCents!.Value))], product.Version);
}

/// <summary>Products as they are this moment, from SQL and nothing else: publishing needs no Redis.</summary>
internal sealed class ProductsNow([FromKeyedServices(CatalogModule.Key)] Database database)
{
    /// <returns>Null: there is none.</returns>
    public async Task<SoldProduct?> FindAsync(string sku) => await GetProducts.FindAtWriterAsync(database, sku) is { } product ? Products.Sold(product) : null;
}

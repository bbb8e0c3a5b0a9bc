using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Site;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Catalog;

/// <summary>Everything of the catalogue that is the same for everybody, as files: pages, and the answers of the API under the same addresses.</summary>
internal sealed class CatalogSite(CatalogPages pages, [FromKeyedServices(CatalogModule.Key)] Database database) : ISitePart
{
    private const int PerPage = GetProducts.PageDefault, RowsAtOnce = 500;

    public Task<long> VersionAsync() => CatalogVersion.ReadAsync(database, ReadFrom.Writer);

    public IReadOnlyList<string> AskedWithQueries => ["/products", "/search", "/v1/products", "/v1/search"];

    public async IAsyncEnumerable<SiteFile> FilesAsync()
    {
        var all = await database.ReadAsync(connection => Categories.ReadAsync(connection));
        yield return Json("/v1/categories", JsonSerializer.SerializeToUtf8Bytes(new CategoryList(all), CatalogJson.Default.CategoryList));

        // The first page of each list is all that is kept of it while walking.
        var lists = all.Select(category => (CategoryView?)category).Append(null).Select(category => (Category: category, Items: new List<ProductView>(), Rows: new List<ProductRow>())).ToList();
        var above = all.ToDictionary(category => category.Slug, category => category.Parent, StringComparer.Ordinal);
        var first = lists.ToDictionary(list => list.Category?.Slug ?? "", list => list, StringComparer.Ordinal);
        await foreach (var row in AllAsync())
        {
            var product = row.ToView();
            yield return Json($"/v1/products/{product.Sku}", JsonSerializer.SerializeToUtf8Bytes(product, CatalogJson.Default.ProductView));
            yield return Page($"/products/{product.Sku}", pages.Render(product, all));
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
            List<ProductView> shown = [.. items.Take(PerPage)];
            yield return Page(category is null ? "/products" : $"/categories/{category.Slug}", pages.Render(category, all, shown, next));
            if (category is null)
            {
                // What a node answers without a query.
                yield return Json("/v1/products", JsonSerializer.SerializeToUtf8Bytes(new Page<ProductView>(shown, next), CatalogJson.Default.PageProductView));
            }
        }

        IEnumerable<string> Upwards(string slug)
        {
            for (var at = slug; at is not null && above.ContainsKey(at); at = above[at]!)
            {
                yield return at;
            }
        }
    }

    // From the newest on.
    private async IAsyncEnumerable<ProductRow> AllAsync()
    {
        for (var cursor = ListCursor.Start; ;)
        {
            var rows = await database.ReadAsync(connection => GetProducts.ReadAsync(connection, null, cursor, RowsAtOnce));
            foreach (var row in rows)
            {
                yield return row;
            }

            if (rows.Count < RowsAtOnce)
            {
                yield break;
            }

            cursor = new ListCursor(rows[^1].Position, rows[^1].Sku);
        }
    }

    private static SiteFile Json(string url, byte[] json) => new(url, "application/json; charset=utf-8", json);

    private static SiteFile Page(string url, HtmlPage page) => new(url, "text/html; charset=utf-8", page.Html);
}

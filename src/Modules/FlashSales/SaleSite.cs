using Sluice.Modules.Catalog.Contracts;
using Sluice.Platform.Site;

namespace Sluice.Modules.FlashSales;

/// <summary>The calendar, the home page and the pages of its sales as files, for publishing. What the catalogue says on them changes the catalogue's own version, and so publishes them again.</summary>
internal sealed class SaleSite(SaleCalendar calendar, SalePages pages, ProductsNow products) : ISitePart
{
    public Task<long> VersionAsync() => calendar.VersionAsync();

    public async IAsyncEnumerable<SiteFile> FilesAsync()
    {
        var now = await calendar.ReadAsync();
        yield return new SiteFile("/v1/calendar", "application/json; charset=utf-8", now.Json);
        var sold = new Dictionary<string, SoldProduct?>(StringComparer.Ordinal);
        foreach (var sale in now.Calendar.Items)
        {
            if (!sold.TryGetValue(sale.Sku, out var product))
            {
                sold[sale.Sku] = product = await products.FindAsync(sale.Sku);
            }

            yield return Page($"/sales/{sale.Id}", pages.Sale(sale, product).Html);
        }

        yield return Page("/", pages.Home(SalePages.Named(now.Calendar).Select(sale => (sale, sold[sale.Sku]))).Html);
    }

    private static SiteFile Page(string url, byte[] html) => new(url, "text/html; charset=utf-8", html);
}

using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Modules.Catalog.Contracts;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Site;

namespace Sluice.Modules.FlashSales;

/// <summary><c>/</c> and <c>/sales/{id}</c>: the pages of sales, where a node is asked for them. Everybody who waits for a sale reloads its page, so each is made once for each state of what it shows.</summary>
internal sealed class GetSalePages(SalePages pages, SiteLook look, SaleCalendar calendar, Products products, TieredCache cache)
{
    // The home page as it was made last, and of what.
    private Made? home;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/", (HttpContext context, GetSalePages sales) => sales.HomeAsync(context)).For(AccessRule.Public).ExcludeFromDescription();
        routes.MapGet("/sales/{id}", (string id, HttpContext context, GetSalePages sales) => sales.SaleAsync(context, id)).For(AccessRule.Public).ExcludeFromDescription();
    }

    private async Task<IResult> HomeAsync(HttpContext context)
    {
        try
        {
            var (now, catalogue) = (await calendar.GetAsync(), await products.VersionAsync());
            if (home is not { } made || made.Calendar != now.Version || made.Catalogue != catalogue)
            {
                var sales = new List<(CalendarSale, SoldProduct?)>();
                foreach (var sale in SalePages.Named(now.Calendar))
                {
                    sales.Add((sale, await products.FindAsync(sale.Sku)));
                }

                home = made = new Made(now.Version, catalogue, pages.Home(sales));
            }

            return Versioned.Page(context, made.Page);
        }
        catch (DependencyUnavailableException)
        {
            // The page goes on with what it last showed, or without; its script says that the shop does not answer, and tries again.
            return Versioned.Page(context, home?.Page ?? pages.Home([]));
        }
    }

    private async Task<IResult> SaleAsync(HttpContext context, string id)
    {
        try
        {
            if (!Names.TryId(id, out _) || await calendar.GetAsync() is var now && now.Find(id) is not { } sale)
            {
                return Versioned.Page(context, pages.Empty);
            }

            var product = await products.FindAsync(sale.Sku);
            return await AnswerAsync(context, string.Create(CultureInfo.InvariantCulture, $"sale {id}:{sale.Version}:{product?.Version}"), () => pages.Sale(sale, product));
        }
        catch (DependencyUnavailableException)
        {
            return Versioned.Page(context, pages.Empty);
        }
    }

    // What it is made of was read before: a load must not wait for another one.
    private async Task<IResult> AnswerAsync(HttpContext context, string state, Func<HtmlPage> render)
    {
        var kept = await cache.GetAsync(CacheKey.Shared("page", $"{state}:{look.AssetsPrefix}"), () => Task.FromResult(new CachedAnswer(0, render().Html)));
        return Versioned.Page(context, HtmlPage.Of(kept.Json!));
    }

    private sealed record Made(long Calendar, long Catalogue, HtmlPage Page);
}

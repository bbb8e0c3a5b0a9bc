using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Site;

namespace Sluice.Modules.Catalog;

/// <summary><c>/products</c>, <c>/products/{sku}</c>, <c>/categories/{slug}</c>, <c>/search</c>: the catalogue's pages, where a node is asked for them.</summary>
internal sealed class GetPages(CatalogPages pages, SiteLook look, GetProducts products, Categories categories, TieredCache cache)
{
    private const int QuestionCharsMax = 100;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/products", (HttpContext context, GetPages catalog) => catalog.ListAsync(context, null)).For(AccessRule.Public).ExcludeFromDescription();
        routes.MapGet("/products/{sku}", (string sku, HttpContext context, GetPages catalog) => catalog.ProductAsync(context, sku)).For(AccessRule.Public).ExcludeFromDescription();
        routes.MapGet("/categories/{slug}", (string slug, HttpContext context, GetPages catalog) => catalog.ListAsync(context, slug)).For(AccessRule.Public).ExcludeFromDescription();
        routes.MapGet("/search", (HttpContext context, GetPages catalog) => catalog.SearchAsync(context)).For(AccessRule.Public).ExcludeFromDescription();
    }

    private async Task<IResult> ProductAsync(HttpContext context, string sku)
    {
        var kept = await products.KeptAsync(sku);
        if (kept.Json is null)
        {
            return Results.NotFound();
        }

        var all = await categories.KeptAsync();
        return await AnswerAsync(context, $"{sku}:{kept.Version}:{all.Version}", () => pages.Render(JsonSerializer.Deserialize(kept.Json, CatalogJson.Default.ProductView)!, Categories.Of(all)));
    }

    private async Task<IResult> ListAsync(HttpContext context, string? slug)
    {
        var list = slug is null || Product.IsSlug(slug) ? await products.KeptListAsync(slug) : CachedAnswer.None;
        if (list.Json is null)
        {
            return Results.NotFound();
        }

        var all = await categories.KeptAsync();
        return await AnswerAsync(context, $"list {slug}:{list.Version}:{all.Version}", () =>
        {
            // Taken away between the two looks: then the one before is not shown either.
            var (below, page) = (Categories.Of(all), JsonSerializer.Deserialize(list.Json, CatalogJson.Default.PageProductView)!);
            var category = below.FirstOrDefault(category => category.Slug == slug);
            return slug is null || category is not null ? pages.Render(category, below, page.Items, page.NextCursor) : null;
        });
    }

    // Nobody else asks the same: not kept.
    private async Task<IResult> SearchAsync(HttpContext context)
    {
        var words = context.Request.Query["q"] is [{ } text] && Names.IsText(text, QuestionCharsMax) ? text : "";
        var page = words.Length == 0 ? null : await products.FoundAsync(words);
        return Versioned.Page(context, pages.Render(words, page));
    }

    // A page is made once for each state of what it shows, and each build of the shop. What it is made of was read before: a load must not wait for another one.
    private async Task<IResult> AnswerAsync(HttpContext context, string state, Func<HtmlPage?> render)
    {
        var kept = await cache.GetAsync(CacheKey.Shared("page", $"{state}:{look.AssetsPrefix}"), () => Task.FromResult(new CachedAnswer(0, render()?.Html)));
        return kept.Json is null ? Results.NotFound() : Versioned.Page(context, HtmlPage.Of(kept.Json));
    }
}

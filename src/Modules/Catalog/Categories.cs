using System.ComponentModel.DataAnnotations;
using System.Data.Common;
using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Catalog;

/// <param name="Parent">The category above; null: at the top.</param>
/// <param name="Position">Among its neighbours, smallest first.</param>
public sealed record CategoryRequest([property: Required] string? Title, string? Parent, int? Position);

[method: Dapper.ExplicitConstructor]
public sealed record CategoryView(string Slug, string Title, string? Parent, long Position, long Version);

public sealed record CategoryList(IReadOnlyList<CategoryView> Items);

/// <summary><c>GET /v1/categories</c>, <c>PUT</c> and <c>DELETE /v1/categories/{id}</c>: a tree of at most 2,000, five deep. Few and read by everybody, so they are always read whole.</summary>
internal sealed class Categories([FromKeyedServices(CatalogModule.Key)] Database database, TieredCache cache, ProductChanges changes)
{
    private const int Max = 2_000, DepthMax = 5, PositionMax = 1_000_000;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1/categories", (HttpContext context, Categories categories) => categories.GetAsync(context)).For(AccessRule.Public).WithTags("Catalog").WithSummary("All categories, those above first").Produces<CategoryList>().IsVersioned();
        routes.MapPut("/v1/categories/{id}", (string id, CategoryRequest request, Categories categories) => categories.PutAsync(id, request)).For(AccessRule.Server).WithTags("Catalog").WithSummary("Make or change a category")
            .Produces<CategoryView>().Refuses(409, "category-misplaced", "too-many-categories");
        routes.MapDelete("/v1/categories/{id}", (string id, Categories categories) => categories.DeleteAsync(id)).For(AccessRule.Server).WithTags("Catalog").WithSummary("Take away a category that nothing is in")
            .Produces(204).Refuses(409, "category-in-use");
    }

    /// <summary>All categories as they are sent: each after the one above it, neighbours by position and title.</summary>
    public async Task<CachedAnswer> KeptAsync(long known = 0)
    {
        var version = await CatalogVersion.GetAsync(cache, database, known);
        return await cache.GetAsync(CacheKey.Shared("categories", Names.Id(version)), () => database.ReadAsync(
            async connection => new CachedAnswer(version, JsonSerializer.SerializeToUtf8Bytes(new CategoryList(await ReadAsync(connection)), CatalogJson.Default.CategoryList)), ReadFrom.Reader));
    }

    public static IReadOnlyList<CategoryView> Of(CachedAnswer kept) => JsonSerializer.Deserialize(kept.Json, CatalogJson.Default.CategoryList)!.Items;

    /// <summary>A category with all below it, or nothing where there is none.</summary>
    public static IReadOnlyList<string> WithThoseBelow(IReadOnlyList<CategoryView> all, string slug)
    {
        // Each comes after the one above it.
        var found = new HashSet<string>(StringComparer.Ordinal);
        foreach (var category in all)
        {
            if (category.Slug == slug || (category.Parent is not null && found.Contains(category.Parent)))
            {
                found.Add(category.Slug);
            }
        }

        return [.. found];
    }

    public static async Task<IReadOnlyList<CategoryView>> ReadAsync(DbConnection connection, DbTransaction? transaction = null)
    {
        var all = (await connection.QueryAsync<CategoryView>("SELECT slug AS Slug, title AS Title, parent AS Parent, position AS Position, version AS Version FROM categories", transaction: transaction)).AsList();
        var below = all.OrderBy(category => category.Position).ThenBy(category => category.Title, StringComparer.Ordinal).ThenBy(category => category.Slug, StringComparer.Ordinal).ToLookup(category => category.Parent ?? "");
        var ordered = new List<CategoryView>(all.Count);
        Add("");
        return ordered;

        void Add(string parent)
        {
            foreach (var category in below[parent])
            {
                ordered.Add(category);
                Add(category.Slug);
            }
        }
    }

    private async Task<IResult> GetAsync(HttpContext context)
    {
        var known = Versioned.KnownVersion(context.Request);
        if (known > 0 && await CatalogVersion.GetAsync(cache, database, known) == known)
        {
            return Versioned.Unchanged(context, known);
        }

        var kept = await KeptAsync(known);
        return Versioned.Answer(context, kept.Version, kept.Json!);
    }

    private async Task<IResult> PutAsync(string slug, CategoryRequest request)
    {
        if (!Product.IsSlug(slug) || !Names.IsText(request.Title, 100) || (request.Parent is not null && !Product.IsSlug(request.Parent)) || request.Position is < 0 or > PositionMax)
        {
            return Problem.Invalid($"A category has a name of 1 to 64 of a–z 0–9 - in its address, a 'title' (1 to 100 characters), perhaps a 'parent' (such a name) and a 'position' (0 to {PositionMax}).");
        }

        CategoryView? result = null;
        await changes.ChangeAsync(async (transaction, _) =>
        {
            var all = (await ReadAsync(transaction.Connection!, transaction)).ToDictionary(category => category.Slug, StringComparer.Ordinal);
            var before = all.GetValueOrDefault(slug);
            result = new CategoryView(slug, request.Title!, request.Parent, request.Position ?? before?.Position ?? 0, (before?.Version ?? 0) + 1);
            if (before is not null && before with { Version = result.Version } == result)
            {
                result = before;
                return false;
            }

            if (before is null && all.Count >= Max)
            {
                throw new ProblemException(new Problem(409, "too-many-categories", "Too many categories", $"A shop has at most {Max:N0} categories."));
            }

            all[slug] = result;
            if (WhyMisplaced(all, slug) is { } why)
            {
                throw new ProblemException(new Problem(409, "category-misplaced", "Not there", why));
            }

            await transaction.Connection!.ExecuteAsync(
                $"INSERT INTO categories (slug, title, parent, position, version) VALUES (@Slug, @Title, @Parent, @Position, @Version) {Dialect.OrUpdate(transaction, "slug")} title = @Title, parent = @Parent, position = @Position, version = @Version", result, transaction);
            return true;
        });
        return Results.Json(result, CatalogJson.Default.CategoryView);
    }

    private async Task<IResult> DeleteAsync(string slug)
    {
        var isThere = true;
        await changes.ChangeAsync(async (transaction, _) =>
        {
            isThere = Product.IsSlug(slug) && await transaction.Connection!.ExecuteScalarAsync<long>("SELECT COUNT(*) FROM categories WHERE slug = @slug", new { slug }, transaction) > 0;
            if (isThere && await transaction.Connection!.ExecuteScalarAsync<long>(
                "SELECT (SELECT COUNT(*) FROM categories WHERE parent = @slug) + (SELECT COUNT(*) FROM (SELECT sku FROM product_categories WHERE slug = @slug LIMIT 1) some)", new { slug }, transaction) > 0)
            {
                throw new ProblemException(new Problem(409, "category-in-use", "Something is in it", "There are categories or products in this category. Move them first."));
            }

            return isThere && await transaction.Connection!.ExecuteAsync("DELETE FROM categories WHERE slug = @slug", new { slug }, transaction) > 0;
        });
        return isThere ? Results.NoContent() : Problem.NotFound("category");
    }

    // From the category upwards to the top, and the longest way down from it. A circle is longer than every tree may be deep.
    private static string? WhyMisplaced(Dictionary<string, CategoryView> all, string slug)
    {
        var above = 1;
        for (var parent = all[slug].Parent; parent is not null; parent = all[parent].Parent)
        {
            if (!all.ContainsKey(parent))
            {
                return $"There is no category '{parent}' to be in.";
            }

            if (parent == slug || ++above > DepthMax)
            {
                return parent == slug ? "A category cannot be in itself." : $"Categories are at most {DepthMax} deep.";
            }
        }

        return above + Below(slug) > DepthMax ? $"Categories are at most {DepthMax} deep." : null;

        int Below(string of) => all.Values.Where(category => category.Parent == of).Select(category => 1 + Below(category.Slug)).DefaultIfEmpty(0).Max();
    }
}

/// <summary>The catalogue's version: rises with each change of any product or category. Lists and searches are kept under it, so that one change of one number is all that a change has to tell.</summary>
internal static class CatalogVersion
{
    private static readonly byte[] Nothing = "{}"u8.ToArray();

    public static async Task<long> GetAsync(TieredCache cache, Database database, long known) =>
        (await cache.GetAsync(ProductChanges.VersionKey, async () => new CachedAnswer(await ReadAsync(database, ReadFrom.Reader), Nothing), known)).Version;

    public static Task<long> ReadAsync(Database database, ReadFrom from) => database.ReadAsync(connection => connection.QuerySingleAsync<long>(ProductChanges.VersionQuery), from);
}

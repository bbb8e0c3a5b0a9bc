using System.Buffers.Text;
using System.Data.Common;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Catalog;

/// <summary><c>GET /v1/products/{sku}</c>, <c>GET /v1/products</c>, <c>GET /v1/search</c>. A product is kept under its sku, lists and searches under the catalogue's version.</summary>
internal sealed class GetProducts([FromKeyedServices(CatalogModule.Key)] Database database, TieredCache cache, Categories categories)
{
    /// <summary>Products on a page unless the caller asks for another number.</summary>
    public const int PageDefault = 24;

    private const int QuestionCharsMax = 100;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1/products/{sku}", (string sku, HttpContext context, GetProducts products) => products.GetAsync(sku, context)).For(AccessRule.Public).WithTags("Catalog").WithSummary("One product").Produces<ProductView>().IsVersioned();
        Listed(routes.MapGet("/v1/products", (HttpContext context, GetProducts products) => products.ListAsync(context)).For(AccessRule.Public).WithTags("Catalog").WithSummary("Products, newest first"));
        Listed(routes.MapGet("/v1/search", (HttpContext context, GetProducts products) => products.SearchAsync(context)).For(AccessRule.Public).WithTags("Catalog").WithSummary("Products by words, best first")
            .TakesQuery("q", $"1 to {QuestionCharsMax} characters; each word, or its beginning, must be in the title, an attribute, the sku or the description.", "mug"));
    }

    /// <summary>A product as it is sent, or none.</summary>
    public async ValueTask<CachedAnswer> KeptAsync(string sku, long known = 0) =>
        Names.IsSku(sku) ? await cache.GetAsync(ProductChanges.KeyOf(sku), () => LoadAsync(sku), known) : CachedAnswer.None;

    /// <summary>As whoever has just changed it must see it.</summary>
    public Task<ProductView?> FindAtWriterAsync(string sku) => FindAtWriterAsync(database, sku);

    /// <inheritdoc cref="FindAtWriterAsync(string)"/>
    public static async Task<ProductView?> FindAtWriterAsync(Database database, string sku) => (await FindAsync(database, sku, ReadFrom.Writer))?.ToView();

    public async Task<IEnumerable<string>> CategorySlugsAsync() => Categories.Of(await categories.KeptAsync()).Select(category => category.Slug);

    /// <summary>The first page of a list as it is sent. None: there is no such category.</summary>
    public Task<CachedAnswer> KeptListAsync(string? category) => KeptAsync(new ListQuestion(null, category, null, PageDefault), known: 0);

    /// <summary>What a search finds, for a page.</summary>
    public async Task<Page<ProductView>> FoundAsync(string words) =>
        JsonSerializer.Deserialize((await KeptAsync(new ListQuestion(words, null, null, PageDefault), known: 0)).Json, CatalogJson.Default.PageProductView)!;

    private static void Listed(RouteHandlerBuilder route) => route.Produces<Page<ProductView>>()
        .TakesQuery("category", "Only of this category and those below it.", "kitchen").IsPaged(PageDefault, "17.mug").Refuses(404, "not-found").IsVersioned();

    private async Task<IResult> GetAsync(string sku, HttpContext context)
    {
        var known = Versioned.KnownVersion(context.Request);
        if (known > 0 && Names.IsSku(sku) && await cache.IsUnchangedAsync(ProductChanges.KeyOf(sku), known))
        {
            return Versioned.Unchanged(context, known);
        }

        var kept = await KeptAsync(sku, known);
        return kept.Json is { } json ? Versioned.Answer(context, kept.Version, json) : Problem.NotFound("product");
    }

    private Task<IResult> ListAsync(HttpContext context) => AnswerAsync(context, words: null);

    private Task<IResult> SearchAsync(HttpContext context) => context.Request.Query["q"] is [{ } words] && Names.IsText(words, QuestionCharsMax)
        ? AnswerAsync(context, words)
        : Task.FromResult<IResult>(Problem.Invalid($"'q' says what to look for: 1 to {QuestionCharsMax} characters."));

    private async Task<IResult> AnswerAsync(HttpContext context, string? words)
    {
        var query = context.Request.Query;
        var (cursors, slugs) = (query["cursor"], query["category"]);
        if (Paging.LimitOf(context.Request, PageDefault) is not { } limit)
        {
            return Paging.BadLimit;
        }

        ListCursor? cursor = null;
        if (cursors.Count > 1 || (cursors.Count == 1 && !ListCursor.TryParse(cursors[0], out cursor)))
        {
            return Paging.BadCursor;
        }

        if (slugs.Count > 1 || (slugs.Count == 1 && !Product.IsSlug(slugs[0])))
        {
            return Problem.Invalid("'category' is the name of one category.");
        }

        // Who has the newest version of the catalogue already causes no more than a look at it.
        var known = Versioned.KnownVersion(context.Request);
        if (known > 0 && await CatalogVersion.GetAsync(cache, database, known) == known)
        {
            return Versioned.Unchanged(context, known);
        }

        var kept = await KeptAsync(new ListQuestion(words, slugs.Count == 1 ? slugs[0] : null, cursor, limit), known);
        return kept.Json is { } json ? Versioned.Answer(context, kept.Version, json) : Problem.NotFound("category");
    }

    private async Task<CachedAnswer> KeptAsync(ListQuestion question, long known)
    {
        var version = await CatalogVersion.GetAsync(cache, database, known);
        return await cache.GetAsync(CacheKey.Shared("products", $"{version}:{question.Name}"), () => LoadAsync(question, version));
    }

    private async Task<CachedAnswer> LoadAsync(ListQuestion question, long version)
    {
        var page = await database.ReadAsync(
            async connection =>
            {
                var slugs = question.Category is null ? null : Categories.WithThoseBelow(await Categories.ReadAsync(connection), question.Category);
                return slugs is { Count: 0 } ? null : question.Words is null ? await ListAsync(connection, slugs, question) : await SearchAsync(connection, slugs, question);
            },
            ReadFrom.Reader);
        return new CachedAnswer(version, page is null ? null : JsonSerializer.SerializeToUtf8Bytes(page, CatalogJson.Default.PageProductView));
    }

    private static async Task<Page<ProductView>> ListAsync(DbConnection connection, IReadOnlyList<string>? slugs, ListQuestion question)
    {
        var rows = await ReadAsync(connection, slugs, question.Cursor ?? ListCursor.Start, question.Limit + 1);
        return PageOf(rows.Select(row => (row.ToView(), row.Position)).ToList(), question.Limit);
    }

    /// <summary>Listed products from a place on, newest first.</summary>
    /// <param name="slugs">Only of these categories; null: of all and of none.</param>
    public static async Task<IReadOnlyList<ProductRow>> ReadAsync(DbConnection connection, IReadOnlyList<string>? slugs, ListCursor cursor, int count) => (await connection.QueryAsync<ProductRow>(
        $"SELECT {ProductRow.Columns} FROM products WHERE is_listed = 1 AND (position < @Number OR (position = @Number AND sku > @Sku)) " +
        (slugs is null ? "" : "AND sku IN (SELECT sku FROM product_categories WHERE slug IN @slugs) ") + "ORDER BY position DESC, sku LIMIT @count",
        slugs is null ? new { cursor.Number, cursor.Sku, count } : new { cursor.Number, cursor.Sku, count, slugs = SqlList.Of(slugs) })).AsList();

    private static async Task<Page<ProductView>> SearchAsync(DbConnection connection, IReadOnlyList<string>? slugs, ListQuestion question)
    {
        var terms = SearchWords.Terms(question.Words!);
        if (terms.Count == 0)
        {
            return new Page<ProductView>([], null);
        }

        // Each term's products, joined: all terms must be found. What a product weighs is the sum over the terms.
        var cursor = question.Cursor ?? ListCursor.Start;
        var parameters = new DynamicParameters(new { cursor.Number, cursor.Sku, count = question.Limit + 1 });
        var statement = new StringBuilder("SELECT t0.sku AS Sku, ").AppendJoin(" + ", terms.Select((_, i) => $"t{i}.weight")).Append(" AS Weight FROM ");
        for (var i = 0; i < terms.Count; i++)
        {
            statement.Append(CultureInfo.InvariantCulture, $"{(i == 0 ? "" : " JOIN ")}(SELECT sku, MAX(weight) AS weight FROM product_words WHERE word >= @from{i} AND word < @to{i} GROUP BY sku) t{i}{(i == 0 ? "" : $" ON t{i}.sku = t0.sku")}");
            parameters.Add($"from{i}", terms[i].From);
            parameters.Add($"to{i}", terms[i].To);
        }

        var weight = string.Join(" + ", terms.Select((_, i) => $"t{i}.weight"));
        statement.Append(CultureInfo.InvariantCulture, $" WHERE ({weight} < @Number OR ({weight} = @Number AND t0.sku > @Sku))");
        if (slugs is not null)
        {
            statement.Append(" AND t0.sku IN (SELECT sku FROM product_categories WHERE slug IN @slugs)");
            parameters.Add("slugs", SqlList.Of(slugs));
        }

        var found = (await connection.QueryAsync<(string Sku, long Weight)>(statement.Append(" ORDER BY Weight DESC, t0.sku LIMIT @count").ToString(), parameters)).AsList();
        var rows = (await connection.QueryAsync<ProductRow>($"SELECT {ProductRow.Columns} FROM products WHERE sku IN @skus AND is_listed = 1", new { skus = SqlList.Of(found.Select(one => one.Sku)) })).ToDictionary(row => row.Sku, StringComparer.Ordinal);
        return PageOf([.. found.Where(one => rows.ContainsKey(one.Sku)).Select(one => (rows[one.Sku].ToView(), one.Weight))], question.Limit);
    }

    private static Page<ProductView> PageOf(List<(ProductView View, long Number)> found, int limit) =>
        new([.. found.Take(limit).Select(one => one.View)], found.Count > limit ? new ListCursor(found[limit - 1].Number, found[limit - 1].View.Sku).ToString() : null);

    private async Task<CachedAnswer> LoadAsync(string sku) => (await FindAsync(database, sku, ReadFrom.Reader))?.ToView() is { } product
        ? new CachedAnswer(product.Version, JsonSerializer.SerializeToUtf8Bytes(product, CatalogJson.Default.ProductView))
        : CachedAnswer.None;

    private static Task<ProductRow?> FindAsync(Database database, string sku, ReadFrom from) => database.ReadAsync(connection => connection.QuerySingleOrDefaultAsync<ProductRow?>(
        $"SELECT {ProductRow.Columns} FROM products WHERE sku = @sku AND is_gone = 0", new { sku }), from);
}

/// <summary>What a list shows.</summary>
/// <param name="Words">What is looked for, or null for all.</param>
internal sealed record ListQuestion(string? Words, string? Category, ListCursor? Cursor, int Limit)
{
    /// <summary>Short, and another one for each question.</summary>
    public string Name => Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes($"{Words}\n{Category}\n{Cursor}\n{Limit}")).AsSpan(0, 16));
}

/// <summary>Where a list goes on: behind this place (or weight) and sku.</summary>
internal sealed record ListCursor(long Number, string Sku)
{
    /// <summary>Before everything.</summary>
    public static ListCursor Start { get; } = new(long.MaxValue, "");

    public static bool TryParse(string? text, out ListCursor? cursor)
    {
        cursor = text?.Split('.', 2) is [var number, var sku] && number.Length <= 19 && long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var parsed) && Names.IsSku(sku) ? new ListCursor(parsed, sku) : null;
        return cursor is not null;
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Number}.{Sku}");
}

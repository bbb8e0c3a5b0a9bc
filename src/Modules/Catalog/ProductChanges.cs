using System.Data.Common;
using System.Text;
using Dapper;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Cache;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Catalog;

/// <summary>What became of one product.</summary>
internal enum ProductOutcome
{
    Created,
    Changed,
    Unchanged,
}

/// <summary>
/// The one place where the catalogue changes. Each change raises the catalogue's version in its own transaction, under a lock: changes come one after the other, and whoever reads a version reads everything up to it.
/// What stays as it was changes no version, so the same import twice is one.
/// </summary>
internal sealed class ProductChanges([FromKeyedServices(CatalogModule.Key)] Database database, CacheChanges changes)
{
    public const string VersionQuery = "SELECT version FROM catalog_version WHERE id = 1";

    private const int WordsPerStatement = 100;

    /// <summary>The catalogue's version is kept under this key; lists and searches are kept under that version.</summary>
    public static readonly CacheKey VersionKey = CacheKey.Shared("catalog", "version");

    public static CacheKey KeyOf(string sku) => CacheKey.Shared("product", sku);

    /// <summary>Makes the products what they are to be, in one transaction.</summary>
    /// <param name="isDryRun">Says what would become of each, and changes nothing.</param>
    /// <returns>For each what became of it; or the skus whose categories are not all there: then nothing is changed.</returns>
    public async Task<(IReadOnlyList<ProductOutcome> Outcomes, IReadOnlyList<(string Sku, string Category)> Unknown)> PutAsync(IReadOnlyList<Product> products, bool isDryRun = false)
    {
        var keys = new List<CacheKey>();
        var result = await database.WriteAsync<(IReadOnlyList<ProductOutcome>, IReadOnlyList<(string, string)>)>(async transaction =>
        {
            keys.Clear();
            var connection = transaction.Connection!;
            var version = await LockAsync(transaction);
            var known = (await connection.QueryAsync<string>("SELECT slug FROM categories", transaction: transaction)).ToHashSet(StringComparer.Ordinal);
            var unknown = products.SelectMany(product => product.Details.Categories.Where(slug => !known.Contains(slug)).Select(slug => (product.Sku, slug))).ToList();
            if (unknown.Count > 0)
            {
                return ([], unknown);
            }

            var rows = (await connection.QueryAsync<ProductRow>(
                $"SELECT {ProductRow.Columns} FROM products WHERE sku IN @skus AND is_gone = 0", new { skus = SqlList.Of(products.Select(product => product.Sku)) }, transaction)).ToDictionary(row => row.Sku, StringComparer.Ordinal);
            var outcomes = new List<ProductOutcome>();
            foreach (var product in products)
            {
                var before = rows.GetValueOrDefault(product.Sku)?.ToProduct();
                var outcome = before is null ? ProductOutcome.Created : IsSame(before, product) ? ProductOutcome.Unchanged : ProductOutcome.Changed;
                outcomes.Add(outcome);
                if (outcome != ProductOutcome.Unchanged && !isDryRun)
                {
                    await WriteAsync(transaction, product, ++version, isNew: before is null);
                    keys.Add(KeyOf(product.Sku));
                }
            }

            if (keys.Count > 0)
            {
                await RaiseAsync(transaction, version, keys);
            }

            return (outcomes, []);
        });
        await changes.TellAsync(keys);
        return result;
    }

    /// <summary>Takes a product away. Its version stays, for when it comes back. False: there is none.</summary>
    public async Task<bool> RemoveAsync(string sku)
    {
        CacheKey[] keys = [KeyOf(sku), VersionKey];
        var isDone = await database.WriteAsync(async transaction =>
        {
            var version = await LockAsync(transaction);
            if (await transaction.Connection!.ExecuteAsync("UPDATE products SET is_gone = 1, is_listed = 0, version = version + 1 WHERE sku = @sku AND is_gone = 0", new { sku }, transaction) == 0)
            {
                return false;
            }

            await transaction.Connection!.ExecuteAsync("DELETE FROM product_words WHERE sku = @sku", new { sku }, transaction);
            await transaction.Connection!.ExecuteAsync("DELETE FROM product_categories WHERE sku = @sku", new { sku }, transaction);
            await RaiseAsync(transaction, version + 1, [KeyOf(sku)]);
            return true;
        });
        if (isDone)
        {
            await changes.TellAsync(keys);
        }

        return isDone;
    }

    /// <summary>Runs a change of something else that lists show, and raises the version when it says that it changed something.</summary>
    public async Task<bool> ChangeAsync(Func<DbTransaction, long, Task<bool>> work)
    {
        var isChanged = await database.WriteAsync(async transaction =>
        {
            var version = await LockAsync(transaction);
            if (!await work(transaction, version + 1))
            {
                return false;
            }

            await RaiseAsync(transaction, version + 1, []);
            return true;
        });
        if (isChanged)
        {
            await changes.TellAsync([VersionKey]);
        }

        return isChanged;
    }

    private static Task<long> LockAsync(DbTransaction transaction) =>
        transaction.Connection!.QuerySingleAsync<long>(VersionQuery + Dialect.ForUpdate(transaction), transaction: transaction);

    // Keys of what changed; the version itself is one of them.
    private async Task RaiseAsync(DbTransaction transaction, long version, List<CacheKey> keys)
    {
        await transaction.Connection!.ExecuteAsync("UPDATE catalog_version SET version = @version WHERE id = 1", new { version }, transaction);
        keys.Add(VersionKey);
        await changes.AddAsync(transaction, keys);
    }

    private static bool IsSame(Product one, Product other) => one with { Details = ProductDetails.None } == other with { Details = ProductDetails.None } && one.DetailsJson == other.DetailsJson;

    private static async Task WriteAsync(DbTransaction transaction, Product product, long position, bool isNew)
    {
        var connection = transaction.Connection!;
        await connection.ExecuteAsync(
            "INSERT INTO products (sku, title, description, image_url, details, is_listed, is_gone, position, version) VALUES (@Sku, @Title, @Description, @ImageUrl, @details, @isListed, 0, @position, 1) " +
            $"{Dialect.OrUpdate(transaction, "sku")} title = @Title, description = @Description, image_url = @ImageUrl, details = @details, is_listed = @isListed, is_gone = 0, version = products.version + 1" +
            (isNew ? ", position = @position" : ""),
            new { product.Sku, product.Title, product.Description, product.ImageUrl, details = product.DetailsJson, isListed = product.IsListed ? 1 : 0, position },
            transaction);
        await connection.ExecuteAsync("DELETE FROM product_words WHERE sku = @Sku", new { product.Sku }, transaction);
        await connection.ExecuteAsync("DELETE FROM product_categories WHERE sku = @Sku", new { product.Sku }, transaction);
        foreach (var slug in product.Details.Categories)
        {
            await connection.ExecuteAsync("INSERT INTO product_categories (slug, sku) VALUES (@slug, @Sku)", new { slug, product.Sku }, transaction);
        }

        if (product.IsListed)
        {
            foreach (var words in SearchWords.Of(product).Chunk(WordsPerStatement))
            {
                var statement = new StringBuilder("INSERT INTO product_words (word, sku, weight) VALUES ");
                var values = new DynamicParameters();
                values.Add("sku", product.Sku);
                for (var i = 0; i < words.Length; i++)
                {
                    statement.Append(i == 0 ? "" : ",").Append(System.Globalization.CultureInfo.InvariantCulture, $"(@w{i},@sku,{words[i].Value})");
                    values.Add($"w{i}", words[i].Key);
                }

                await connection.ExecuteAsync(statement.ToString(), values, transaction);
            }
        }
    }
}

using System.Data.Common;
using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders.Contracts;

/// <summary>What is bought, at which price, and how long the buyer has to pay: the same for every order of a sale.</summary>
/// <param name="PriceCents">For one unit, in minor units of the currency.</param>
public sealed record OrderTerms(long SaleId, string Sku, string Title, long PriceCents, string Currency, TimeSpan PaymentTimeout);

/// <summary>Places orders for claims, and proves that each claim has its order.</summary>
public sealed class PlacedOrders(Shards shards, CacheChanges changes, TimeProvider time)
{
    private readonly BatchInsert insertOrders = new(
        "orders", "id", "sale_id", "user_id", "sku", "title", "units", "price_cents", "currency", "state", "created_at", "pay_by");

    private readonly BatchInsert insertWaiting = new(
        "order_outbox", "id", "sale_id", "user_id", "sku", "title", "units", "price_cents", "currency", "state", "created_at", "pay_by", "shard");

    /// <summary>One pending order for each claim; its id is the claim's. In the transaction that writes the claims. Where the order's place is a shard, it waits in the outbox for the way there.</summary>
    public async Task PlaceAsync(DbTransaction transaction, OrderTerms terms, IReadOnlyList<Claim> claims)
    {
        if (shards.Others.Count == 0)
        {
            await InsertAsync(insertOrders, transaction, terms, claims);
            return;
        }

        var places = claims.ToLookup(claim => shards.Of(claim.Id).IsMain);
        await InsertAsync(insertOrders, transaction, terms, [.. places[true]]);
        await InsertAsync(insertWaiting, transaction, terms, [.. places[false]]);
    }

    private Task<HashSet<long>> InsertAsync(BatchInsert insert, DbTransaction transaction, OrderTerms terms, IReadOnlyList<Claim> claims)
    {
        var now = time.GetUtcNow().ToUnixTimeMilliseconds();
        var payBy = now + (long)terms.PaymentTimeout.TotalMilliseconds;
        return insert.RunAsync(transaction, claims.Count, (row, column) => column switch
        {
            0 => claims[row].Id,
            1 => terms.SaleId,
            2 => claims[row].UserId,
            3 => terms.Sku,
            4 => terms.Title,
            5 => claims[row].Units,
            6 => terms.PriceCents,
            7 => terms.Currency,
            8 => (int)OrderState.Pending,
            9 => now,
            10 => payBy,
            _ => shards.Of(claims[row].Id).Index,
        });
    }

    /// <summary>These users have new orders, committed: the next look at their list shows them.</summary>
    /// <exception cref="Platform.Hosting.DependencyUnavailableException">Neither the caches nor SQL could be told: call again.</exception>
    public Task ShowAsync(IEnumerable<string> userIds) => changes.TellUnnotedAsync([.. userIds.Distinct(StringComparer.Ordinal).Select(OrderPages.KeyOf)]);

    /// <summary>This user is about to be told of a new order: their next look at the list shows it. Where the caches cannot be told, the worker that wrote it will do so.</summary>
    /// <param name="others">What else shows what is told.</param>
    public async Task ShowNowAsync(string userId, IReadOnlyList<CacheKey> others)
    {
        try
        {
            await changes.DropAsync([OrderPages.KeyOf(userId), .. others]);
        }
        catch (Platform.Hosting.DependencyUnavailableException)
        {
            // Redis is away: there is no page in it to be shown.
        }
    }

    /// <summary>The checks of a sale's orders. The first check's <c>Found</c> is the number of orders.</summary>
    /// <param name="pools">Where the sale's claims are.</param>
    /// <exception cref="Platform.Hosting.DependencyUnavailableException">A shard is away: nothing is said of the sale then.</exception>
    public Task<IReadOnlyList<AuditCheck>> AuditAsync(DbConnection snapshot, long saleId, IReadOnlyList<long> pools) =>
        shards.Others.Count == 0 ? OrderAudit.RunAsync(snapshot, saleId, pools) : new ShardedOrderAudit(shards, time).RunAsync(snapshot, saleId, pools);
}

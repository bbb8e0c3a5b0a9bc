using System.Data.Common;
using Sluice.Platform.Cache;

namespace Sluice.Modules.Orders.Contracts;

/// <summary>What another module does when orders that had a coupon have ended unpaid. It hears of it where both modules run on one node; elsewhere it has to look by itself.</summary>
/// <param name="OfAsync">
/// Gets a transaction of the main database and the orders' ids: the transaction that ends them where the orders are there too, else one after it. Idempotent. Returns what is kept and has changed.
/// </param>
internal sealed record OrderEnding(Func<DbTransaction, IReadOnlyList<long>, Task<IReadOnlyList<CacheKey>>> OfAsync)
{
    /// <summary>Tells all of them.</summary>
    public static async Task<IReadOnlyList<CacheKey>> AllAsync(IEnumerable<OrderEnding> endings, DbTransaction transaction, IReadOnlyList<long> orderIds)
    {
        List<CacheKey> keys = [];
        foreach (var ending in orderIds.Count == 0 ? [] : endings)
        {
            keys.AddRange(await ending.OfAsync(transaction, orderIds));
        }

        return keys;
    }
}

using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json.Serialization;
using Dapper;
using Sluice.Platform.Cache;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Stocks;

/// <summary>A product's stock as others see it.</summary>
/// <param name="PoolId">Null: the product has no stock, and cannot be bought outside of a sale.</param>
/// <param name="State"><c>none</c>, <c>open</c>, <c>paused</c>.</param>
/// <param name="StockUnits">All units that there ever were.</param>
/// <param name="LeftUnits">A fraction of a second old; decides nothing.</param>
/// <param name="UnitsPerOrderMax">Units that one order takes.</param>
public sealed record StockView(string Sku, string? PoolId, string State, long StockUnits, long LeftUnits, bool SoldOut, int UnitsPerOrderMax, string PaymentTimeout, long Version);

/// <summary>What a buyer agreed to: an amount and its currency. It travels with the claim, so the order has the price that was on the button, whatever it is by now.</summary>
internal readonly record struct AgreedPrice(long Cents, string Currency)
{
    /// <summary>As a claim's terms: <c>4900EUR</c>.</summary>
    public string Terms => string.Create(CultureInfo.InvariantCulture, $"{Cents}{Currency}");

    /// <exception cref="FormatException">These are no terms of a stock.</exception>
    public static AgreedPrice Of(Claim claim) => claim.Terms is { Length: > 3 } terms && long.TryParse(terms.AsSpan(0, terms.Length - 3), NumberStyles.None, CultureInfo.InvariantCulture, out var cents)
        ? new(cents, terms[^3..])
        : throw new FormatException($"Claim {claim.Id} does not say at which price it was made.");
}

/// <summary>Stocks by their product, and what this node shows of them: a fraction of a second old, one reading for everybody who looks. Claims never use the figures.</summary>
internal sealed class Stock(Database database, PoolStore pools, LeftUnits leftUnits, StocksOptions options, TimeProvider time)
{
    /// <summary>The kind of pool that a product's stock is.</summary>
    public const string Kind = "stock";

    // Which pool a product's stock is never changes. Bounded by the stocks that exist, and by the products.
    private readonly ConcurrentDictionary<string, long> poolOf = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Snapshot<StockView>> shown = new(StringComparer.Ordinal);

    /// <summary>The pool, or null: there is no stock of this product.</summary>
    public async ValueTask<long?> PoolOfAsync(string sku)
    {
        if (poolOf.TryGetValue(sku, out var known))
        {
            return known;
        }

        var found = await database.ReadAsync(connection => connection.QuerySingleOrDefaultAsync<long?>("SELECT pool_id FROM stocks WHERE sku = @sku", new { sku }));
        return found is { } poolId ? poolOf.GetOrAdd(sku, poolId) : null;
    }

    /// <summary>What to show of a product's stock, also that it has none: one reading for everybody who looks.</summary>
    /// <param name="sku">Of a product that there is: for each that was ever asked for something is kept.</param>
    public ValueTask<StockView> ShowAsync(string sku) => shown.GetOrAdd(sku, _ => new(() => LoadAsync(sku), options.BoardAge, time)).GetAsync();

    /// <summary>Something changed through this node: the next look sees it.</summary>
    public void Invalidate(string sku)
    {
        if (shown.TryGetValue(sku, out var snapshot))
        {
            snapshot.Invalidate();
        }
    }

    private string Timeout => System.Xml.XmlConvert.ToString(options.PaymentTimeout);

    private async Task<StockView> LoadAsync(string sku)
    {
        if (await PoolOfAsync(sku) is not { } poolId)
        {
            return new StockView(sku, null, "none", 0, 0, SoldOut: true, options.UnitsPerOrderMax, Timeout, 0);
        }

        var lanes = await pools.LanesAsync([poolId]);
        var pool = lanes[poolId].Single();
        var left = (await leftUnits.ReadAsync(lanes))[poolId];
        return new StockView(
            sku, Platform.Http.Names.Id(poolId), pool.Gate == Gate.Open ? "open" : "paused", pool.CapacityUnits, left, left == 0, options.UnitsPerOrderMax, Timeout, pool.Version);
    }
}

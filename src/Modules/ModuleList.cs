using Sluice.Platform.Hosting;

namespace Sluice.Modules;

/// <summary>Every module there is. Explicit, so that a reader and a compiler see it; no scanning.</summary>
public static class ModuleList
{
    public static readonly IReadOnlyList<IModule> All =
    [
        new Accounts.AccountsModule(),
        new Catalog.CatalogModule(),
        new Coupons.CouponsModule(),
        new FlashSales.FlashSalesModule(),
        new Orders.OrdersModule(),
        new Rewards.RewardsModule(),
        new Stocks.StocksModule(),
    ];
}

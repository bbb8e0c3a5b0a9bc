using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.Site;

namespace Sluice.Modules.FlashSales;

/// <summary>Flash sales: a product, a price, a stock, an hour.</summary>
public sealed class FlashSalesModule : IModule
{
    public string Name => "FlashSales";

    public IReadOnlyList<string> Needs => ["Catalog", "Orders"];

    public IReadOnlyDictionary<string, Type> Options { get; } = new Dictionary<string, Type>(StringComparer.Ordinal) { ["FlashSales"] = typeof(FlashSalesOptions) };

    public IReadOnlyList<string> TablesApart => [];

    public void AddServices(IServiceCollection services)
    {
        services.AddSingleton<SaleBoard>();
        services.AddSingleton<SaleCalendar>();
        services.AddSingleton<SalePages>();
        services.AddSingleton<GetSalePages>();
        services.AddSingleton<ISitePart, SaleSite>();
    }

    public void AddPoolKinds(IServiceCollection services) => services.AddSingleton<IPoolKind, FlashSaleKind>();

    public void MapEndpoints(IEndpointRouteBuilder routes)
    {
        CreateFlashSale.Map(routes);
        GetFlashSale.Map(routes);
        SaleCalendar.Map(routes);
        GetSalePages.Map(routes);
        OperateFlashSale.Map(routes);
        ClaimUnits.Map(routes);
    }

    public void AddWorkers(IServiceCollection services)
    {
    }
}

public sealed class FlashSalesOptions
{
    /// <summary>How old the figures on a sale's page may be, 10 ms – 10 s. Claims never look at them.</summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "00:00:10")] public TimeSpan BoardAge { get; init; } = TimeSpan.FromMilliseconds(200);
}

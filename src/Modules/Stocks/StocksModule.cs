using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;

namespace Sluice.Modules.Stocks;

/// <summary>Stocks: products that are bought outside of sales.</summary>
public sealed class StocksModule : IModule
{
    public string Name => "Stocks";

    public IReadOnlyList<string> Needs => ["Catalog", "Orders"];

    public IReadOnlyDictionary<string, Type> Options { get; } = new Dictionary<string, Type>(StringComparer.Ordinal) { ["Stocks"] = typeof(StocksOptions) };

    public IReadOnlyList<string> TablesApart => [];

    public void AddServices(IServiceCollection services)
    {
        services.AddSingleton<Stock>();
        services.AddSingleton<BuyProduct>();
    }

    public void AddPoolKinds(IServiceCollection services) => services.AddSingleton<IPoolKind, StockKind>();

    public void MapEndpoints(IEndpointRouteBuilder routes)
    {
        OperateStock.Map(routes);
        GetStock.Map(routes);
        BuyProduct.Map(routes);
    }

    public void AddWorkers(IServiceCollection services)
    {
    }
}

public sealed class StocksOptions
{
    /// <summary>How old the figures on a product's page may be, 10 ms – 10 s. Claims never look at them.</summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "00:00:10")] public TimeSpan BoardAge { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>Units of a product that one order takes, 1–1,000.</summary>
    [Range(1, 1_000)] public int UnitsPerOrderMax { get; init; } = 10;

    /// <summary>How long a buyer has to pay before the units go back, 1 s – 7 days.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "7.00:00:00")] public TimeSpan PaymentTimeout { get; init; } = TimeSpan.FromMinutes(30);
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, NumberHandling = JsonNumberHandling.Strict, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, AllowDuplicateProperties = false)]
[JsonSerializable(typeof(StockView))]
[JsonSerializable(typeof(AddUnitsRequest))]
[JsonSerializable(typeof(BuyRequest))]
public sealed partial class StocksJson : JsonSerializerContext;

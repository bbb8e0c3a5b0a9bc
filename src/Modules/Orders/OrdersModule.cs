using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders;

/// <summary>Orders: the buyer's list, paying, cancelling, and what happens when neither is done in time.</summary>
public sealed class OrdersModule : IModule
{
    public string Name => "Orders";

    public IReadOnlyList<string> Needs => [];

    public IReadOnlyDictionary<string, Type> Options { get; } = new Dictionary<string, Type>(StringComparer.Ordinal) { ["Orders"] = typeof(OrdersOptions) };

    public IReadOnlyList<string> TablesApart => [];

    public void AddServices(IServiceCollection services)
    {
        services.AddSingleton<PlacedOrders>();
        services.AddSingleton<OrderOutbox>();
        services.AddSingleton<OrderBook>();
        services.AddSingleton(provider => new NewestOrders(provider.GetRequiredService<OrderPages>()));
        services.AddSingleton<OrderCoupons>();
        services.AddSingleton<ClaimViews>();
        services.AddSingleton<ClaimAnswers>();
        services.AddSingleton<CloseOrder>();
        services.AddSingleton<OrderPages>();
        services.AddSingleton(provider => new PayOrder(
            provider.GetRequiredService<Shards>(),
            provider.GetRequiredService<OrderBook>(),
            provider.GetRequiredService<OrderOutbox>(),
            provider.GetRequiredService<Platform.Cache.CacheChanges>(),
            KeyFiles.LoadOrCreate(Path.Combine(provider.GetRequiredService<NodeOptions>().Data, "payment.key"), KeyFiles.NewSecret),
            provider.GetRequiredService<TimeProvider>()));
    }

    public void MapEndpoints(IEndpointRouteBuilder routes)
    {
        // Made now, not with the first payment: the provider is given payment.key before it calls.
        routes.ServiceProvider.GetRequiredService<PayOrder>();
        GetClaim.Map(routes);
        GetOrders.Map(routes);
        CancelOrder.Map(routes);
        PayOrder.Map(routes);
    }

    public void AddWorkers(IServiceCollection services)
    {
        services.AddHostedService<ExpireUnpaid>();
        services.AddHostedService(provider => new ForwardOrders(
            provider.GetRequiredService<Shards>(), provider.GetRequiredService<OrderOutbox>(), provider.GetRequiredService<ShardReleases>(), provider.GetRequiredService<Releases>(),
            provider.GetRequiredService<PoolMetrics>(), provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<ForwardOrders>>()));
    }
}

public sealed class OrdersOptions
{
    /// <summary>Lets a buyer play the payment provider for the own order (<c>/test-payment</c>). For demos and tests only: nobody pays.</summary>
    public bool TestPayments { get; init; }

    /// <summary>How often unpaid orders are looked for, 100 ms – 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:01:00")] public TimeSpan ExpiryRound { get; init; } = TimeSpan.FromSeconds(1);
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, NumberHandling = JsonNumberHandling.Strict, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, AllowDuplicateProperties = false)]
[JsonSerializable(typeof(ClaimView))]
[JsonSerializable(typeof(OrderView))]
[JsonSerializable(typeof(Page<OrderView>))]
[JsonSerializable(typeof(PaymentCallback))]
[JsonSerializable(typeof(PaymentAnswer))]
public sealed partial class OrdersJson : JsonSerializerContext;

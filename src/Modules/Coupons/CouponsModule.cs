using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Modules.Coupons.Contracts;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Coupons;

/// <summary>Coupons: issued through a pool, redeemed at an order.</summary>
public sealed class CouponsModule : IModule
{
    public string Name => "Coupons";

    public IReadOnlyList<string> Needs => ["Orders"];

    public IReadOnlyDictionary<string, Type> Options { get; } = new Dictionary<string, Type>(StringComparer.Ordinal) { ["Coupons"] = typeof(CouponsOptions) };

    public IReadOnlyList<string> TablesApart => [];

    public void AddServices(IServiceCollection services)
    {
        services.AddSingleton<CouponTemplates>();
        services.AddSingleton<TemplateBoard>();
        services.AddSingleton<ClaimCoupon>();
        services.AddSingleton<RedeemCoupon>();
        services.AddSingleton(provider => new UsableCoupons(provider.GetRequiredService<Database>(), provider.GetRequiredService<CouponTemplates>(), provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton(new OrderEnding(Coupon.GiveBackAllAsync));
    }

    public void AddPoolKinds(IServiceCollection services) => services.AddSingleton<IPoolKind, CouponKind>();

    public void MapEndpoints(IEndpointRouteBuilder routes)
    {
        CreateCouponTemplate.Map(routes);
        TemplateBoard.Map(routes);
        OperateCouponTemplate.Map(routes);
        ClaimCoupon.Map(routes);
        GetCoupons.Map(routes);
        RedeemCoupon.Map(routes);
    }

    public void AddWorkers(IServiceCollection services) => services.AddHostedService<GiveBackCoupons>();
}

public sealed class CouponsOptions
{
    /// <summary>How old the figures on the list of templates may be, 10 ms – 10 s. Claims never look at them.</summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "00:00:10")] public TimeSpan BoardAge { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>How often coupons are looked after whose order may have ended elsewhere, 100 ms – 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:01:00")] public TimeSpan GiveBackRound { get; init; } = TimeSpan.FromSeconds(5);
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, NumberHandling = JsonNumberHandling.Strict, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, AllowDuplicateProperties = false)]
[JsonSerializable(typeof(CreateCouponTemplateRequest))]
[JsonSerializable(typeof(CouponTemplateView))]
[JsonSerializable(typeof(Page<CouponTemplateView>))]
[JsonSerializable(typeof(IReadOnlyList<CouponView>))]
[JsonSerializable(typeof(Page<CouponView>))]
[JsonSerializable(typeof(RedeemRequest))]
[JsonSerializable(typeof(OrderView))]
public sealed partial class CouponsJson : JsonSerializerContext;

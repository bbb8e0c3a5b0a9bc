using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Modules.Rewards.Contracts;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Rewards;

/// <summary>Rewards: the daily check-in, and the points that users collect and spend.</summary>
public sealed class RewardsModule : IModule
{
    public string Name => "Rewards";

    public IReadOnlyList<string> Needs => [];

    public IReadOnlyDictionary<string, Type> Options { get; } = new Dictionary<string, Type>(StringComparer.Ordinal) { ["Rewards"] = typeof(RewardsOptions) };

    public IReadOnlyList<string> TablesApart => [];

    public void AddServices(IServiceCollection services)
    {
        services.AddSingleton<BusinessCalendar>();
        services.AddSingleton<PointsLedger>();
        services.AddSingleton<PointsPages>();
        services.AddSingleton(provider => new Points(provider.GetRequiredService<Database>()));
        services.AddSingleton<CheckInToday>();
    }

    public void MapEndpoints(IEndpointRouteBuilder routes)
    {
        CheckInToday.Map(routes);
        GetCheckIns.Map(routes);
        GetPoints.Map(routes);
        ChangePoints.Map(routes);
    }

    public void AddWorkers(IServiceCollection services)
    {
    }
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, NumberHandling = JsonNumberHandling.Strict, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, AllowDuplicateProperties = false)]
[JsonSerializable(typeof(CheckInView))]
[JsonSerializable(typeof(MonthView))]
[JsonSerializable(typeof(PointsRequest))]
[JsonSerializable(typeof(PointsEntryView))]
[JsonSerializable(typeof(PointsPage))]
[JsonSerializable(typeof(PointsView))]
public sealed partial class RewardsJson : JsonSerializerContext;

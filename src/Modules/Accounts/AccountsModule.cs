using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Hosting;

namespace Sluice.Modules.Accounts;

/// <summary>Who a user is. For now: tokens that the shop's own servers ask for, and guests.</summary>
public sealed class AccountsModule : IModule
{
    public string Name => "Accounts";

    public IReadOnlyList<string> Needs => [];

    public IReadOnlyDictionary<string, Type> Options { get; } = new Dictionary<string, Type>(StringComparer.Ordinal) { ["Accounts"] = typeof(AccountsOptions) };

    public void AddServices(IServiceCollection services) => services.AddSingleton<GuestRate>();

    public void MapEndpoints(IEndpointRouteBuilder routes)
    {
        CreateTokens.Map(routes);
        GuestSession.Map(routes);
        GetTime.Map(routes);
    }

    public void AddWorkers(IServiceCollection services)
    {
    }
}

public sealed class AccountsOptions
{
    /// <summary>How long a user token is good, 1 min – 30 days. There is no way to take a token back before.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "30.00:00:00")] public TimeSpan TokenLifetime { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Anybody may become a guest with a user id of Sluice's own making. For demos: in a real sale one person would be many guests.</summary>
    public bool GuestSessions { get; init; }

    /// <summary>How long a guest stays the same guest, 1 min – 30 days.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "30.00:00:00")] public TimeSpan GuestLifetime { get; init; } = TimeSpan.FromDays(7);

    /// <summary>Guests made per second by this node at most, 1–10,000.</summary>
    [Range(1, 10_000)] public int GuestsPerSecondMax { get; init; } = 100;

    /// <summary>Guests made per second by this node for one address at most (for IPv6: one /64), 1–10,000. Behind a load balancer name it in <c>KnownProxies</c>, or all callers have its address.</summary>
    [Range(1, 10_000)] public int GuestsPerAddressPerSecondMax { get; init; } = 20;
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, NumberHandling = JsonNumberHandling.Strict, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, AllowDuplicateProperties = false)]
[JsonSerializable(typeof(TokenRequest))]
[JsonSerializable(typeof(TokenAnswer))]
[JsonSerializable(typeof(TokensAnswer))]
[JsonSerializable(typeof(GuestAnswer))]
[JsonSerializable(typeof(TimeAnswer))]
public sealed partial class AccountsJson : JsonSerializerContext;

using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;

namespace Sluice.Modules.Accounts;

/// <summary>Who a user is: accounts with an e-mail and a password, tokens that the shop's own servers ask for, and guests.</summary>
public sealed class AccountsModule : IModule
{
    /// <summary>The key of the services that this module may have of its own: database, idempotency keys, limits. Without it, a service is the main one.</summary>
    internal const string Key = "Accounts";

    public string Name => Key;

    public IReadOnlyList<string> Needs => ["Coupons", "Orders", "Rewards"];

    public IReadOnlyDictionary<string, Type> Options { get; } = new Dictionary<string, Type>(StringComparer.Ordinal) { ["Accounts"] = typeof(AccountsOptions), ["Accounts:Redis"] = typeof(ModuleRedisOptions) };

    public IReadOnlyList<string> TablesApart => ["accounts", "addresses"];

    public void AddServices(IServiceCollection services)
    {
        services.AddSingleton<GuestRate>();
        services.AddSingleton<LogInRate>();
        services.AddSingleton<Passwords>();
        services.AddSingleton<Sessions>();
    }

    public void MapEndpoints(IEndpointRouteBuilder routes)
    {
        Register.Map(routes);
        LogIn.Map(routes);
        ChangePassword.Map(routes);
        GetMe.Map(routes);
        Profile.Map(routes);
        Addresses.Map(routes);
        CreateTokens.Map(routes);
        RotateTokenKeys.Map(routes);
        GuestSession.Map(routes);
        GetTime.Map(routes);
    }

    public void AddWorkers(IServiceCollection services)
    {
    }
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, NumberHandling = JsonNumberHandling.Strict, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, AllowDuplicateProperties = false)]
[JsonSerializable(typeof(TokenKeyView))]
[JsonSerializable(typeof(Page<TokenKeyView>))]
[JsonSerializable(typeof(TokenRequest))]
[JsonSerializable(typeof(TokenAnswer))]
[JsonSerializable(typeof(TokensAnswer))]
[JsonSerializable(typeof(SessionAnswer))]
[JsonSerializable(typeof(ProfileView))]
[JsonSerializable(typeof(AddressRequest))]
[JsonSerializable(typeof(AddressView))]
[JsonSerializable(typeof(Page<AddressView>))]
[JsonSerializable(typeof(TimeAnswer))]
public sealed partial class AccountsJson : JsonSerializerContext;

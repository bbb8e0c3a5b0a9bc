using System.ComponentModel.DataAnnotations;

namespace Sluice.Platform.Redis;

/// <summary>A Redis of a module's own, for what the module itself keeps there; docs/services.md says which module keeps what.</summary>
public sealed class ModuleRedisOptions
{
    /// <summary>
    /// Empty: the Redis of <c>Redis:Connection</c>. Otherwise the connection string of another one, written like that one; the same on every node that runs the module. It may forget: what is kept there are limits,
    /// which begin anew. Its time of a call and its authority are those of <c>Redis:CallTimeMax</c> and <c>Redis:CaFile</c>.
    /// </summary>
    [OwnRedisConnectionString] public string Connection { get; init; } = "";

    /// <summary>How to open it; null where it is the one that all use.</summary>
    public RedisOptions? Beside(RedisOptions main) => Connection.Length == 0 ? null
        : new() { Connection = Connection, AcceptWeakDurability = true, CallTimeMax = main.CallTimeMax, CaFile = main.CaFile, SentinelUser = main.SentinelUser, SentinelPassword = main.SentinelPassword };
}

/// <summary>Nothing, or servers that are not in this process.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class OwnRedisConnectionStringAttribute() : ValidationAttribute("leave it empty, or write host:port,… as in Redis:Connection")
{
    public override bool IsValid(object? value) =>
        value is string text && (text.Length == 0 || (!text.Equals(RedisOptions.Embedded, StringComparison.OrdinalIgnoreCase) && new RedisConnectionStringAttribute().IsValid(text)));
}

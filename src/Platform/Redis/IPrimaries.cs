using System.Net;
using StackExchange.Redis;

namespace Sluice.Platform.Redis;

/// <summary>A server that takes writes, as those say who decide it.</summary>
/// <param name="Epoch">Goes up with each failover: of two answers the one with the higher epoch is the newer.</param>
internal sealed record NamedPrimary(EndPoint Address, long Epoch);

/// <summary>Every primary, and which keys it has.</summary>
/// <param name="OwnerOf">The index in <paramref name="All"/> of the one that has a key, -1 where nobody has it.</param>
internal sealed record Primaries(IReadOnlyList<NamedPrimary> All, Func<RedisKey, int> OwnerOf)
{
    /// <summary>One server has everything.</summary>
    public static readonly Func<RedisKey, int> TheOnlyOne = _ => 0;
}

/// <summary>Those who decide which servers are primaries: <see cref="Sentinels"/>, or the nodes of a Redis Cluster (<see cref="ClusterNodes"/>).</summary>
internal interface IPrimaries : IAsyncDisposable
{
    /// <summary>Why nobody was named at the last <see cref="AskAsync"/>.</summary>
    string Says { get; }

    /// <summary>Null when no majority answered: this node may then be on the wrong side of a broken network. Never an answer older than the last one.</summary>
    Task<Primaries?> AskAsync();
}

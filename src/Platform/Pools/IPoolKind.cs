using System.Data.Common;
using Sluice.Platform.Cache;

namespace Sluice.Platform.Pools;

/// <summary>The meaning that a module gives to a kind of pool: what a claim becomes, and what must hold of it.</summary>
public interface IPoolKind
{
    /// <summary>The value of <see cref="Pool.Kind"/>.</summary>
    string Kind { get; }

    /// <summary>Whether each of its claims becomes an order, with the claim's id.</summary>
    bool MakesOrders => true;

    /// <summary>What is kept for a user and shows what claims of this kind became, beside the user's orders: dropped when the user is told of such a claim.</summary>
    IReadOnlyList<CacheKey> KeysOf(string userId) => [];

    /// <summary>
    /// Writes the module's rows for claims that are new, in the transaction that writes the claims: both or neither. Called once for the whole batch.
    /// </summary>
    /// <param name="poolId">The pool; the claims name the lane that they are in.</param>
    Task WriteAsync(DbTransaction transaction, long poolId, IReadOnlyList<Claim> claims);

    /// <summary>
    /// These claims are committed, now or by somebody before: whoever is told so next must find them in whatever the module shows. Called again until it went well; the queue lets go of the claims after it.
    /// </summary>
    /// <exception cref="Hosting.DependencyUnavailableException">Not now: call again.</exception>
    Task WrittenAsync(IReadOnlyList<Claim> claims);

    /// <summary>The module's own checks for the certificate, on the snapshot that the other checks see.</summary>
    /// <param name="lanes">What the pool's claims are in: its lanes, or the pool itself.</param>
    Task<IReadOnlyList<AuditCheck>> AuditAsync(DbConnection snapshot, long poolId, IReadOnlyList<long> lanes);
}

/// <summary>One thing that must hold of a pool.</summary>
/// <param name="Name">Stable, kebab-case.</param>
/// <param name="Holds">Whether it does.</param>
/// <param name="Expected">The number that should be found.</param>
/// <param name="Found">The number that was found.</param>
/// <param name="Says">The check in one sentence for people.</param>
public sealed record AuditCheck(string Name, bool Holds, long Expected, long Found, string Says)
{
    public static AuditCheck Equal(string name, long expected, long found, string says) => new(name, expected == found, expected, found, says);
}

using System.ComponentModel.DataAnnotations;

namespace Sluice.Platform.Admission;

/// <summary>Who may ask how often, and how much is taken on at once.</summary>
public sealed class AdmissionOptions
{
    /// <summary>Claims a second for one user in the long run, over all nodes together, 1–10,000.</summary>
    [Range(1, 10_000)] public int ClaimsPerUserPerSecond { get; init; } = 10;

    /// <summary>Claims that one user may send at once, over all nodes together, 1–10,000.</summary>
    [Range(1, 10_000)] public int ClaimsPerUserBurst { get; init; } = 20;

    /// <summary>
    /// API requests a second for one address (IPv6: one /64) in the long run, over all nodes together, 1–1,000,000; 0 = no limit. Requests with an API key are not counted.
    /// Off, because many users may share one address (an office, a mobile network): set it to far more than one person needs, and <c>KnownProxies</c> first, or every user has the load balancer's address.
    /// </summary>
    [Range(0, 1_000_000)] public int RequestsPerAddressPerSecond { get; init; }

    /// <summary>API requests that one address may send at once, over all nodes together, 1–1,000,000.</summary>
    [Range(1, 1_000_000)] public int RequestsPerAddressBurst { get; init; } = 100;

    /// <summary>
    /// Claims that take longer than this on average, from their arrival to Redis' answer, mean that this node has taken on too many: it takes on fewer at once, down to <see cref="ClaimsAtOnceMin"/>, and answers the others
    /// <c>503 overloaded</c> at once, 50 ms – 30 s. Everything but claims goes on.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00.05", "00:00:30")] public TimeSpan ClaimTimeMax { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>So many claims this node takes on at once, however long they take, 1–100,000.</summary>
    [Range(1, 100_000)] public int ClaimsAtOnceMin { get; init; } = 64;
}

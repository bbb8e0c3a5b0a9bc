using System.ComponentModel.DataAnnotations;

namespace Sluice.Modules.Accounts;

public sealed class AccountsOptions
{
    /// <summary>How long a token is good that the shop's servers ask for, 1 min – 30 days. There is no way to take a token back before.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "30.00:00:00")] public TimeSpan TokenLifetime { get; init; } = TimeSpan.FromHours(1);

    /// <summary>How long somebody who registered or logged in stays logged in, 1 min – 30 days. There is no way to take a token back before, a new password does not either.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "30.00:00:00")] public TimeSpan SessionLifetime { get; init; } = TimeSpan.FromHours(12);

    /// <summary>Log-ins (and changes of password) of one account at once, over all nodes together, right or wrong, 1–1,000.</summary>
    [Range(1, 1_000)] public int LogInsPerAccountBurst { get; init; } = 5;

    /// <summary>One more log-in of an account in this time in the long run, 100 ms – 1 h.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00")] public TimeSpan LogInPerAccountEvery { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Log-ins and registrations from one address (IPv6: one /64) at once, over all nodes together, 1–100,000. Behind a load balancer name it in <c>KnownProxies</c>, or all callers have its address.</summary>
    [Range(1, 100_000)] public int LogInsPerAddressBurst { get; init; } = 30;

    /// <summary>One more log-in or registration from an address in this time in the long run, 1 ms – 1 h.</summary>
    [Range(typeof(TimeSpan), "00:00:00.001", "01:00:00")] public TimeSpan LogInPerAddressEvery { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Passwords that this node hashes at once, 1–64. Each keeps a core busy for about a tenth of a second, which claims on this node then do without.</summary>
    [Range(1, 64)] public int PasswordsAtOnceMax { get; init; } = 2;

    /// <summary>So many more may wait for that, 0–1,000; who comes beyond them is told <c>503 overloaded</c> at once.</summary>
    [Range(0, 1_000)] public int PasswordsWaitingMax { get; init; } = 16;

    /// <summary>Rounds of PBKDF2 (HMAC-SHA512) for a password, 100,000–10,000,000. When it is raised, each account follows with its next log-in.</summary>
    [Range(100_000, 10_000_000)] public int PasswordIterations { get; init; } = 210_000;

    /// <summary>Anybody may become a guest with a user id of Sluice's own making. For demos: in a real sale one person would be many guests.</summary>
    public bool GuestSessions { get; init; }

    /// <summary>How long a guest stays the same guest, 1 min – 30 days.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "30.00:00:00")] public TimeSpan GuestLifetime { get; init; } = TimeSpan.FromDays(7);

    /// <summary>Guests made per second by this node at most, 1–10,000.</summary>
    [Range(1, 10_000)] public int GuestsPerSecondMax { get; init; } = 100;

    /// <summary>Guests made per second by this node for one address at most (for IPv6: one /64), 1–10,000. Behind a load balancer name it in <c>KnownProxies</c>, or all callers have its address.</summary>
    [Range(1, 10_000)] public int GuestsPerAddressPerSecondMax { get; init; } = 20;
}

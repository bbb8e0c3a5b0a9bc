using System.ComponentModel.DataAnnotations;

namespace Sluice.Platform.Pools;

/// <summary>Whether a pool lets claims through; its opening times narrow <see cref="Open"/> further.</summary>
public enum Gate
{
    Draft = 0,
    Open = 1,
    Paused = 2,
    Closed = 3,
}

/// <summary>A limited number of units that users claim. The row of <c>pools</c>; times in Unix milliseconds.</summary>
/// <param name="Kind">Which module gives the pool its meaning, e.g. <c>flash-sale</c>.</param>
/// <param name="InitialUnits">Units at the start, ≥ 0.</param>
/// <param name="CapacityUnits">Units at the start plus all adjustments.</param>
/// <param name="ClaimedUnits">Units of the confirmed claims in SQL; never above the capacity.</param>
/// <param name="PerUserLimit">Units that one user may hold, ≥ 1.</param>
/// <param name="Version">Goes up by one with each change of gate, times, limit or capacity.</param>
/// <param name="AppliedVersion">The newest version that Redis is known to have.</param>
/// <param name="Generation">Goes up by one with each rebuild, before the rebuild reads the queue and the claims.</param>
/// <param name="SetAsideUnits">Units of the capacity that Redis does not have: <see cref="SqlClaims"/> sells them when Redis is away. 0: claims are then refused.</param>
/// <param name="SoldAsideUnits">How many of these were sold since the last rebuild, 0 – <paramref name="SetAsideUnits"/>.</param>
/// <param name="TakingUnits">Units on their way from Redis' share to those set aside, or to another lane: nobody sells them until <see cref="PoolStore.FinishTakingAsync"/>.</param>
/// <param name="Lanes">1: a pool, or a lane, that is claimed from. More: its units are in as many lanes, each a row of its own, and none in this one. Never changes.</param>
/// <param name="RootId">Of a lane: the pool that it is a lane of. Else null.</param>
/// <param name="TakingFor">The lane that the units on their way are for; null: they are set aside.</param>
[method: Dapper.ExplicitConstructor]
public sealed record Pool(
    long Id,
    string Kind,
    string Title,
    long InitialUnits,
    long CapacityUnits,
    long ClaimedUnits,
    long PerUserLimit,
    Gate Gate,
    long? OpensAt,
    long? ClosesAt,
    long Version,
    long AppliedVersion,
    long Generation,
    long CreatedAt,
    long SetAsideUnits,
    long SoldAsideUnits,
    long TakingUnits,
    long Lanes,
    long? RootId,
    long? TakingFor)
{
    /// <summary>How it stands at a time: <c>draft</c>, <c>scheduled</c>, <c>open</c>, <c>paused</c>, <c>closed</c>. The same reading of gate and times as in Claim.lua, which decides; this one only tells.</summary>
    public string StateAt(DateTimeOffset now)
    {
        var ms = now.ToUnixTimeMilliseconds();
        return Gate switch
        {
            Gate.Draft => "draft",
            Gate.Paused => "paused",
            Gate.Closed => "closed",
            Gate.Open when ClosesAt <= ms => "closed",
            Gate.Open when OpensAt > ms => "scheduled",
            Gate.Open => "open",
        };
    }

    /// <summary>What Redis may sell from, claims included; those that are being taken from it still count.</summary>
    internal long RedisUnits => CapacityUnits - SetAsideUnits;

    internal const string Columns =
        "id AS Id, kind AS Kind, title AS Title, initial_units AS InitialUnits, capacity_units AS CapacityUnits, claimed_units AS ClaimedUnits, " +
        "per_user_limit AS PerUserLimit, gate AS Gate, opens_at AS OpensAt, closes_at AS ClosesAt, version AS Version, " +
        "applied_version AS AppliedVersion, generation AS Generation, created_at AS CreatedAt, " +
        "set_aside_units AS SetAsideUnits, sold_aside_units AS SoldAsideUnits, taking_units AS TakingUnits, lanes AS Lanes, root_id AS RootId, taking_for AS TakingFor";
}

/// <summary>Where a claim stands.</summary>
public enum ClaimState
{
    /// <summary>Accepted and logged, not yet written to SQL.</summary>
    Held = 0,

    /// <summary>Written to SQL.</summary>
    Confirmed = 1,

    /// <summary>Given back: cancelled or not paid in time.</summary>
    Released = 2,

    /// <summary>Accepted, but refused by SQL's own guards. The certificate counts each as a broken promise.</summary>
    Rejected = 3,
}

/// <summary>One user's units of one pool, taken exactly once.</summary>
/// <param name="IdempotencyKey">The caller's key, or null.</param>
/// <param name="Terms">What the buyer was promised beside the units, 1–32 of <c>A–Z a–z 0–9</c>, where that is not the same for everybody: it travels with the claim, and only the pool's kind can read it. Null: nothing.</param>
public sealed record Claim(long Id, long PoolId, string UserId, int Units, string? IdempotencyKey, string? Terms = null);

/// <summary>What became of a request for units. Failures of engines are exceptions, never outcomes.</summary>
public enum ClaimOutcome
{
    /// <summary>Held now; it will not be lost.</summary>
    Accepted,

    /// <summary>The same claim as before: the same key, or a limit of one.</summary>
    AlreadyClaimed,

    /// <summary>The key was used before for another number of units.</summary>
    KeyReused,

    /// <summary>The user would hold more than the pool's limit.</summary>
    LimitReached,

    /// <summary>Fewer units left than asked for. May change when a claim is released.</summary>
    SoldOut,

    /// <summary>Before its time, or a draft.</summary>
    NotOpen,

    /// <summary>For good.</summary>
    Closed,

    /// <summary>For now.</summary>
    Paused,
}

/// <summary>The answer to one request.</summary>
/// <param name="Outcome">What became of it.</param>
/// <param name="ClaimIds">The claim made or found; for <see cref="ClaimOutcome.LimitReached"/> all that the user holds; otherwise empty.</param>
/// <param name="IsReleased">For <see cref="ClaimOutcome.AlreadyClaimed"/>: the claim was released since.</param>
/// <param name="LeftUnits">Units left in the pool at that moment.</param>
public readonly record struct ClaimAnswer(ClaimOutcome Outcome, IReadOnlyList<long> ClaimIds, bool IsReleased, long LeftUnits);

/// <summary>When a claim may be called accepted.</summary>
public enum Durability
{
    /// <summary>
    /// After the claim is logged. Embedded: in Garnet's append-only file and in a file of our own (<see cref="AckFile"/>); survives the death of the process at any moment, not a power cut.
    /// Redis with <c>appendfsync always</c>: survives a power cut too. The loss of its disk, or a failover to a replica that was behind, it survives as long as the node that acknowledged lives
    /// (<see cref="AckJournal"/>); together with that node's death it does not.
    /// </summary>
    Logged,

    /// <summary>
    /// After the claim is on a replica too (<c>WAIT 1</c>, on a primary with <c>min-replicas-to-write 1</c> or more; <c>appendfsync everysec</c> will do). Survives the death, the pause or the isolation
    /// of any one Redis server with its disk, and of the node. Of two at once (the primary, and the replica that had it) only as long as the node lives. Does not survive a power cut of all of them
    /// at once with <c>everysec</c> (up to 1 s); with <c>always</c> it does.
    /// </summary>
    Replicated,

    /// <summary>After the SQL commit (SQLite WAL, synchronous=FULL; MySQL, every commit flushed): survives a power cut and whatever happens to Redis, not the loss of SQL's disk. Slower by one queue passage.</summary>
    Committed,
}

/// <summary>Bounds of the claim path.</summary>
public sealed class PoolsOptions
{
    /// <summary>
    /// When a claim may be called accepted: once it is <c>Logged</c> (survives the server's death; with a Redis of <c>appendfsync always</c> a power cut), <c>Replicated</c> (on a replica too: survives
    /// the loss of any one Redis server; asks for <c>min-replicas-to-write 1</c>), or <c>Committed</c> (in SQL: survives whatever happens to Redis).
    /// </summary>
    public Durability Durability { get; init; } = Durability.Logged;

    /// <summary>Claims in one script call, 1–1,000. Lua's stack bounds it.</summary>
    [Range(1, 1_000)] public int BatchClaimsMax { get; init; } = 256;

    /// <summary>Claims of one pool that may wait for the next call before further ones are answered 503.</summary>
    [Range(1, 1_000_000)] public int WaitingClaimsMax { get; init; } = 20_000;

    /// <summary>Acknowledged claims that this node keeps in memory until SQL has them, 0–10,000,000, about 200 bytes each: should Redis lose them, they come back from here. What does not fit is in Redis only. With the embedded server they are also written down in the data folder, those too that do not fit; 0: neither.</summary>
    [Range(0, 10_000_000)] public int AckJournalClaimsMax { get; init; } = 500_000;

    /// <summary>How long a node believes that a pool is sold out before it asks again, 50 ms – 10 s. A release on the same node ends it at once.</summary>
    [Range(typeof(TimeSpan), "00:00:00.05", "00:00:10")] public TimeSpan SoldOutBelief { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long Redis must be away, as this node sees it, before SQL sells what pools have set aside for that, 1 s – 10 min. Longer than a failover takes.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:10:00")] public TimeSpan DegradeAfter { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Claims that this node takes to SQL in a second while Redis is away, 1–100,000; further ones are answered 503.</summary>
    [Range(1, 100_000)] public int DegradedClaimsPerSecond { get; init; } = 500;

    /// <summary>How long <c>Committed</c> waits for SQL before it answers 503 "unknown", 1–60 s.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:01:00")] public TimeSpan CommitWaitMax { get; init; } = TimeSpan.FromSeconds(10);
}

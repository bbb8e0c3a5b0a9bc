using CsCheck;

namespace Sluice.Tests.Integration.Contract;

/// <summary>One thing that happens to a pool. Numbers that stand for "the n-th" are resolved when it is played, so that shrinking a history keeps it sensible.</summary>
internal abstract record Step;

internal sealed record ClaimStep(bool OtherLife, int LagMax, IReadOnlyList<(int User, int Units, int Key)> Wishes) : Step
{
    public override string ToString() => $"claim {string.Join(' ', Wishes)} lagMax {LagMax}{(OtherLife ? " of another life" : "")}";
}

/// <param name="Claims">The user, and which of the ids that were ever asked with: also refused ones, and those of others.</param>
internal sealed record ReleaseStep(bool OtherLife, IReadOnlyList<(int User, int Nth)> Claims) : Step
{
    public override string ToString() => $"release {string.Join(' ', Claims)}{(OtherLife ? " of another life" : "")}";
}

internal sealed record ConfigureStep(bool OtherLife, int VersionUp, string Gate, string OpensAt, string ClosesAt, int Limit, int MoreUnits) : Step;

/// <summary>A whole rebuild without a crash: freeze, hold what is held, thaw.</summary>
internal sealed record RebuildStep(string Token) : Step;

internal sealed record FreezeStep(string Token, int AfterMs, bool OtherLife, bool TakeOver) : Step;

internal sealed record BeatStep(bool IsStranger, bool GivesUp) : Step;

internal sealed record HoldStep(bool IsStranger, int User, bool Released) : Step;

internal sealed record ThawStep(bool IsStranger) : Step;

/// <param name="IsStale">Another consumer was faster.</param>
/// <param name="IsForked">The batch was peeked on a server that had other entries after the first.</param>
internal sealed record AcknowledgeStep(bool IsStale, bool IsForked, int Entries, int JournalMax) : Step;

internal sealed record HandInStep(bool OtherLife, int Id) : Step;

internal sealed record MoveStep(bool FromDead, bool IsStale, bool Discard, int Max) : Step;

/// <summary>Random histories: few users, few keys and few units, so that everything meets everything.</summary>
internal sealed record PoolHistory(bool IsThere, int Capacity, int Limit, IReadOnlyList<Step> Steps)
{
    /// <summary>Long past and far away in Unix ms: the tests' clock and the servers' agree on which is which.</summary>
    public const string Past = "1000", Future = "9000000000000";

    private static readonly Gen<bool> Seldom = Gen.Int[0, 14].Select(n => n == 0);
    private static readonly Gen<string> Moment = Gen.Frequency((4, ""), (3, Past), (1, Future));
    private static readonly Gen<string> Token = Gen.OneOf("one", "two");

    private static readonly Gen<Step> AnyStep = Gen.Frequency<Step>(
        (12, Gen.Select(Seldom, Gen.Frequency((8, 1_000), (1, 2), (1, 0)), Gen.Select(Gen.Int[0, 3], Gen.Int[1, 3], Gen.Int[0, 3]).List[1, 6], (life, lag, wishes) =>
            (Step)new ClaimStep(life, lag, wishes))),
        (5, Gen.Select(Seldom, Gen.Select(Gen.Int[0, 3], Gen.Int[0, 40]).List[1, 5], (life, claims) => (Step)new ReleaseStep(life, claims))),
        (2, Gen.Select(Seldom, Gen.Int[-1, 2], Gen.Frequency((6, "open"), (1, "paused"), (1, "closed"), (1, "draft")), Moment, Moment.Select(m => m == Past ? "" : m), Gen.Int[1, 4], Gen.Int[-2, 3],
            (life, up, gate, opens, closes, limit, more) => (Step)new ConfigureStep(life, up, gate, opens, closes, limit, more))),
        (1, Gen.Const((Step)new ConfigureStep(OtherLife: false, VersionUp: 1, "open", "", Past, Limit: 2, MoreUnits: 0))),
        (1, Token.Select(token => (Step)new RebuildStep(token))),
        (1, Gen.Select(Token, Gen.Int[-80, 80], Gen.Bool, Gen.Bool, (token, after, otherLife, takeOver) => (Step)new FreezeStep(token, after, otherLife, takeOver))),
        (1, Gen.Select(Seldom, Gen.Bool, (stranger, givesUp) => (Step)new BeatStep(stranger, givesUp))),
        (1, Gen.Select(Seldom, Gen.Int[0, 3], Gen.Bool, (stranger, user, released) => (Step)new HoldStep(stranger, user, released))),
        (3, Seldom.Select(stranger => (Step)new ThawStep(stranger))),
        (3, Gen.Select(Seldom, Seldom, Gen.Int[1, 4], Gen.Int[0, 5], (stale, forked, entries, journal) => (Step)new AcknowledgeStep(stale, forked, entries, journal))),
        (2, Gen.Select(Gen.Bool, Gen.Int[1, 3], (otherLife, id) => (Step)new HandInStep(otherLife, id))),
        (2, Gen.Select(Gen.Bool, Seldom, Seldom, Gen.Int[1, 6], (fromDead, stale, discard, max) => (Step)new MoveStep(fromDead, stale, discard, max))));

    public static Gen<PoolHistory> Any { get; } = Gen.Select(Gen.Int[0, 9], Gen.Int[6, 12], Gen.Int[1, 3], AnyStep.List[5, 45], (there, capacity, limit, steps) =>
        new PoolHistory(there > 0, capacity, limit, steps));

    public override string ToString() =>
        $"{(IsThere ? $"A pool of {Capacity}, {Limit} each" : "No pool")}:{Environment.NewLine}{string.Join(Environment.NewLine, Steps.Select((step, i) => $"{i,3} {step}"))}";
}

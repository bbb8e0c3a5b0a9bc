using System.Globalization;

namespace Sluice.Tests.Integration.Contract;

/// <summary>One claim of one user, as a holder's entry has it.</summary>
internal sealed record HeldClaim(long Id, int Units, string Key, bool Released)
{
    public override string ToString() => $"{(Released ? "-" : "")}{Id},{Units},{Key};";
}

/// <summary>What one caller asks for.</summary>
internal sealed record Wish(string User, int Units, long Id, string Key);

/// <summary>The settings that SQL has of a pool.</summary>
internal sealed record PoolSettings(long Version, string Gate, string OpensAt, string ClosesAt, long Limit, long Capacity);

/// <summary>
/// What the pool's scripts must do, said a second time without Redis, without Lua and without a thought for speed. The scripts are right when they cannot be told
/// from this: the same answers and the same state after every call.
/// </summary>
internal sealed class PoolModel
{
    /// <summary>Claims that a user may have had above the limit, released ones included, before a further one is refused: it bounds a holder's entry.</summary>
    private const int PastClaimsMax = 32;

    public string? Run { get; private set; }

    public PoolSettings? Settings { get; private set; }

    public string? FrozenBy { get; private set; }

    public long FrozenAt { get; private set; }

    public string FrozenIn { get; private set; } = "";

    public long Refills { get; private set; }

    public long? Left { get; private set; }

    public Dictionary<string, List<HeldClaim>> Holders { get; } = [];

    public List<string> Log { get; } = [];

    public List<string> Journal { get; private set; } = [];

    public List<string> Dead { get; } = [];

    public Dictionary<long, string> Handed { get; } = [];

    public long Generation { get; private set; }

    public bool IsFrozen => !string.IsNullOrEmpty(FrozenBy);

    public long ActiveUnits => Holders.Values.Sum(Active);

    private static long Active(List<HeldClaim> claims) => claims.Where(claim => !claim.Released).Sum(claim => (long)claim.Units);

    // ---- Claim.lua --------------------------------------------------------------------------------------------------------

    /// <returns>A letter for each wish, units left, refills, generation, and what the S, K and L callers have.</returns>
    public (string Letters, long Left, long Refills, long Generation, IReadOnlyList<string> Details) Claim(string run, long lagMax, long now, IReadOnlyList<Wish> wishes)
    {
        if (Run != run)
        {
            return (new string('M', wishes.Count), 0, 0, 0, []);
        }

        if (IsFrozen)
        {
            return (new string('F', wishes.Count), 0, 0, 0, []);
        }

        var (letters, details) = ("", new List<string>());
        var room = lagMax - Log.Count;
        var accepted = 0;
        foreach (var wish in wishes)
        {
            var (letter, detail) = Judge(wish, now, hasRoom: accepted < room);
            letters += letter;
            if (detail is not null)
            {
                details.Add(detail);
            }

            if (letter == 'A')
            {
                accepted++;
                Left -= wish.Units;
                Of(wish.User).Add(new(wish.Id, wish.Units, wish.Key, Released: false));
                Log.Add($"1,{wish.User},{wish.Id},{wish.Units},{wish.Key}");
            }
        }

        return (letters, Left ?? 0, Refills, Generation, details);
    }

    // The order of the rules is the contract: a retry finds its claim whatever became of the pool since, and a limit is told before "sold out".
    private (char Letter, string? Detail) Judge(Wish wish, long now, bool hasRoom)
    {
        var had = Holders.GetValueOrDefault(wish.User) ?? [];
        if (wish.Key.Length > 0 && had.Find(claim => claim.Key == wish.Key) is { } same)
        {
            return same.Units == wish.Units ? ('S', $"{same}".TrimEnd(';')) : ('K', $"{(same.Released ? "-" : "")}{same.Id}");
        }

        var active = had.Where(claim => !claim.Released).ToList();
        if (Settings!.Limit == 1 && active.Count > 0)
        {
            return ('S', $"{active[0]}".TrimEnd(';'));
        }

        if (Shut(now) is { } shut)
        {
            return (shut, null);
        }

        if (Active(had) + wish.Units > Settings.Limit || had.Count >= Settings.Limit + PastClaimsMax)
        {
            return ('L', string.Join(',', active.Select(claim => claim.Id)));
        }

        return (wish.Units > Left ? 'X' : hasRoom ? 'A' : 'Q', null);
    }

    private char? Shut(long now) => Settings! switch
    {
        { Gate: "paused" } => 'P',
        { Gate: "closed" } => 'C',
        { ClosesAt: { Length: > 0 } closes } when now >= Number(closes) => 'C',
        { Gate: not "open" } => 'N',
        { OpensAt: { Length: > 0 } opens } when now < Number(opens) => 'N',
        _ => null,
    };

    // ---- Release.lua ------------------------------------------------------------------------------------------------------

    public string Release(string run, IReadOnlyList<(string User, long Id)> claims)
    {
        if (Run != run)
        {
            return "M";
        }

        if (IsFrozen)
        {
            return "F";
        }

        var letters = "";
        foreach (var (user, id) in claims)
        {
            var had = Holders.GetValueOrDefault(user) ?? [];
            var at = had.FindIndex(claim => claim.Id == id);
            letters += at < 0 ? 'U' : had[at].Released ? 'D' : 'R';
            if (letters[^1] == 'R')
            {
                had[at] = had[at] with { Released = true };
                Left += had[at].Units;
            }
        }

        // Once for the call, however many came back.
        Refills += letters.Contains('R', StringComparison.Ordinal) ? 1 : 0;
        return letters;
    }

    // ---- Configure.lua ----------------------------------------------------------------------------------------------------

    public string Configure(string run, PoolSettings settings)
    {
        if (Run != run)
        {
            return "M";
        }

        if (IsFrozen)
        {
            return "F";
        }

        if (settings.Version <= Settings!.Version)
        {
            return "O";
        }

        if (settings.Capacity < Settings.Capacity && Left + settings.Capacity - Settings.Capacity < 0)
        {
            return "L";
        }

        Left += settings.Capacity - Settings.Capacity;
        Settings = settings;
        Refills++;
        return "A";
    }

    // ---- Rebuild.lua ------------------------------------------------------------------------------------------------------

    public int Freeze(string token, long now, long patience, string life, bool takeOver)
    {
        // Who froze it in another life of the server is dead, and is not waited for. A clock that was set back says nothing.
        if (IsFrozen ? FrozenBy != token && FrozenIn == life && Math.Abs(now - FrozenAt) < patience : takeOver)
        {
            return 0;
        }

        (FrozenBy, FrozenAt, FrozenIn) = (token, now, life);
        Holders.Clear();
        return 1;
    }

    public int Beat(string token, long now)
    {
        if (FrozenBy != token)
        {
            return 0;
        }

        FrozenAt = now;
        return 1;
    }

    public int Hold(string token, IReadOnlyDictionary<string, IReadOnlyList<HeldClaim>> users)
    {
        if (FrozenBy != token)
        {
            return 0;
        }

        foreach (var (user, claims) in users)
        {
            Holders[user] = [.. claims];
        }

        return 1;
    }

    public int Thaw(string token, string run, PoolSettings settings, long left, long refillsMin, long generation)
    {
        if (FrozenBy != token)
        {
            return 0;
        }

        (Run, Settings, Left, FrozenBy) = (run, settings, left, "");
        (Refills, Generation) = (Math.Max(Refills + 1, refillsMin), generation);
        Handed.Clear();
        return 1;
    }

    // ---- HandIn.lua -------------------------------------------------------------------------------------------------------

    public int HandIn(string run, long id, string entry)
    {
        if (Run == run && !IsFrozen)
        {
            return 0;
        }

        Handed[id] = entry;
        return 1;
    }

    // ---- Acknowledge.lua and MoveHead.lua ---------------------------------------------------------------------------------

    public int Acknowledge(string first, int count, int journalMax, string last)
    {
        if (Log.Count < count || Log[0] != first || Log[count - 1] != last)
        {
            return 0;
        }

        var batch = Log.Take(count).ToList();
        Log.RemoveRange(0, batch.Count);
        if (journalMax > 0)
        {
            Journal = [.. Journal.Concat(batch).TakeLast(journalMax)];
        }

        return 1;
    }

    public static int MoveHead(List<string> from, List<string> to, string head, string? appended, int max)
    {
        if (from.Count == 0 || from[0] != head)
        {
            return 0;
        }

        if (to.Count >= max)
        {
            return -1;
        }

        from.RemoveAt(0);
        if (appended is not null)
        {
            to.Add(appended);
        }

        return 1;
    }

    // ---- the same state as Redis has it -----------------------------------------------------------------------------------

    /// <summary>Everything that the pool's keys hold, as text.</summary>
    public string State() => PoolState.Write(
        MetaFields(),
        Left is { } left ? $"{left}" : null,
        Holders.Where(user => user.Value.Count > 0).Select(user => KeyValuePair.Create(user.Key, string.Concat(user.Value))),
        Log,
        Journal,
        Dead,
        Handed.Select(claim => KeyValuePair.Create($"{claim.Key}", claim.Value)));

    private IEnumerable<KeyValuePair<string, string>> MetaFields()
    {
        if (FrozenBy is not null)
        {
            yield return new("frozen", FrozenBy);
            yield return new("frozenAt", $"{FrozenAt}");
            yield return new("frozenIn", FrozenIn);
        }

        if (Settings is not null)
        {
            yield return new("run", Run!);
            yield return new("refills", $"{Refills}");
            yield return new("generation", $"{Generation}");
            yield return new("version", $"{Settings.Version}");
            yield return new("gate", Settings.Gate);
            yield return new("opensAt", Settings.OpensAt);
            yield return new("closesAt", Settings.ClosesAt);
            yield return new("limit", $"{Settings.Limit}");
            yield return new("capacity", $"{Settings.Capacity}");
        }
    }

    private List<HeldClaim> Of(string user) => Holders.TryGetValue(user, out var claims) ? claims : Holders[user] = [];

    private static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);
}

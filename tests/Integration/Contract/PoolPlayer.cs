using System.Globalization;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using StackExchange.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>
/// Plays one history on the model and on a server, and compares the answer and the whole state after every call.
/// The model needs no answer of the server, so everything is sent at once and compared afterwards: thousands of histories fit into seconds.
/// </summary>
internal sealed class PoolPlayer(RedisConnection redis, long poolId)
{
    private const string Run = "this-life", OtherRun = "another-life";
    private const long Now = 2_000_000_000_000, Patience = 50;

    private static readonly RedisScript
        ClaimScript = RedisScript.Load("Claim.lua"), ReleaseScript = RedisScript.Load("Release.lua"), ConfigureScript = RedisScript.Load("Configure.lua"),
        RebuildScript = RedisScript.Load("Rebuild.lua"), HandInScript = RedisScript.Load("HandIn.lua"), AcknowledgeScript = RedisScript.Load("Acknowledge.lua"), MoveHeadScript = RedisScript.Load("MoveHead.lua");

    private static readonly string[] Keys = ["", "key-one", "key-two", "key-three"];

    private readonly PoolModel model = new();
    private readonly PoolKeys keys = new(poolId);
    private readonly List<Call> calls = [];
    private readonly List<long> ids = [];
    private long clock = 1_000_000;

    /// <summary>Lets the server learn the scripts: from then on each call is one EVALSHA, sent in the order of the history.</summary>
    public static async Task TeachAsync(RedisConnection redis)
    {
        foreach (var script in new[] { ClaimScript, ReleaseScript, ConfigureScript, RebuildScript, HandInScript, AcknowledgeScript, MoveHeadScript })
        {
            // As many keys as reach every server of a cluster.
            foreach (var db in Enumerable.Range(0, 100).Select(i => redis.DbOf($"any-{i}")).DistinctBy(db => db.Multiplexer))
            {
                await db.ExecuteAsync("SCRIPT", "LOAD", script.Text);
            }
        }
    }

    public async Task PlayAsync(PoolHistory history)
    {
        if (history.IsThere)
        {
            Freeze("maker");
            Thaw("maker", new PoolSettings(1, "open", "", "", history.Limit, history.Capacity));
        }

        foreach (var step in history.Steps)
        {
            Play(step);
            AssertConserved(step);
        }

        for (var i = 0; i < calls.Count; i++)
        {
            var call = calls[i];
            var (answer, state) = (Text(await call.Answer), await call.State);
            Assert.True(
                answer == call.ExpectedAnswer && state == call.ExpectedState,
                $"Call {i}, {call.What}\nexpected {call.ExpectedAnswer}\nanswered {answer}\n-- expected\n{call.ExpectedState}\n-- found\n{state}");
        }

        await redis.DbOf(keys.Meta).KeyDeleteAsync([keys.Meta, keys.Left, keys.Holders, keys.Log, keys.Journal, keys.Dead, keys.Handed]);
    }

    // Whatever happened: every unit is either somebody's or left.
    private void AssertConserved(Step step)
    {
        if (model is { Settings: { } settings, IsFrozen: false, Left: { } left })
        {
            Assert.True(left >= 0 && left + model.ActiveUnits == settings.Capacity, $"The model itself is wrong after {step}: {left} left, {model.ActiveUnits} held of {settings.Capacity}");
        }
    }

    private void Play(Step step)
    {
        switch (step)
        {
            case ClaimStep claim:
                Claim(claim);
                break;
            case ReleaseStep release:
                Release(release);
                break;
            case ConfigureStep configure:
                Configure(configure);
                break;
            case RebuildStep rebuild:
                Rebuild(rebuild.Token);
                break;
            case FreezeStep freeze:
                clock += freeze.AfterMs;
                Freeze(freeze.Token, freeze.OtherLife, freeze.TakeOver);
                break;
            case BeatStep beat:
                Beat(Token(beat.IsStranger), beat.GivesUp ? 0 : clock);
                break;
            case HoldStep hold:
                List<HeldClaim> held = [new(NewId(), 1, "key-two", hold.Released)];
                Hold(Token(hold.IsStranger), new Dictionary<string, IReadOnlyList<HeldClaim>> { [User(hold.User)] = held });
                break;
            case ThawStep thaw:
                Thaw(Token(thaw.IsStranger), model.Settings ?? new PoolSettings(1, "open", "", "", Limit: 2, Capacity: 8));
                break;
            case AcknowledgeStep acknowledge:
                Acknowledge(acknowledge);
                break;
            case HandInStep handIn:
                HandIn(handIn);
                break;
            case MoveStep move:
                Move(move);
                break;
        }
    }

    private void Claim(ClaimStep step)
    {
        var run = step.OtherLife ? OtherRun : Run;
        var wishes = step.Wishes.Select(wish => new Wish(User(wish.User), wish.Units, NewId(), Keys[wish.Key])).ToList();
        var (letters, left, refills, generation, details) = model.Claim(run, step.LagMax, Now, wishes);
        Send(step, string.Join(' ', [letters, $"{left}", $"{refills}", $"{generation}", .. details]), ClaimScript, keys.Claim, [
            run, step.LagMax, .. wishes.SelectMany(wish => new RedisValue[] { wish.User, wish.Units, wish.Id, wish.Key })]);
    }

    private void Release(ReleaseStep step)
    {
        var run = step.OtherLife ? OtherRun : Run;
        var claims = step.Claims.Select(claim => (User: User(claim.User), Id: claim.Nth < ids.Count ? ids[claim.Nth] : 999_999)).ToList();
        Send(step, model.Release(run, claims), ReleaseScript, keys.Release, [run, .. claims.SelectMany(claim => new RedisValue[] { claim.User, claim.Id })]);
    }

    private void Configure(ConfigureStep step)
    {
        var run = step.OtherLife ? OtherRun : Run;
        var settings = new PoolSettings(
            (model.Settings?.Version ?? 1) + step.VersionUp, step.Gate, step.OpensAt, step.ClosesAt, step.Limit, (model.Settings?.Capacity ?? 0) + step.MoreUnits);
        Send(step, model.Configure(run, settings), ConfigureScript, keys.Configure, [
            run, settings.Version, settings.Gate, settings.OpensAt, settings.ClosesAt, settings.Limit, settings.Capacity]);
    }

    private void Rebuild(string token)
    {
        if (model.Settings is not { } settings)
        {
            return;
        }

        var held = model.Holders.ToDictionary(user => user.Key, user => (IReadOnlyList<HeldClaim>)[.. user.Value]);
        clock += Patience;
        Freeze(token);
        if (held.Count > 0)
        {
            Hold(token, held);
        }

        Thaw(token, settings);
    }

    private void Freeze(string token, bool otherLife = false, bool takeOver = false)
    {
        var life = otherLife ? OtherRun : Run;
        var step = takeOver ? "takeover" : "freeze";
        Send($"{step} by {token}", $"{model.Freeze(token, clock, Patience, life, takeOver)}", RebuildScript, keys.Rebuild, [step, token, clock, Patience, life]);
    }

    private void Beat(string token, long at) => Send($"beat of {token} at {at}", $"{model.Beat(token, at)}", RebuildScript, keys.Rebuild, ["beat", token, at]);

    private void Hold(string token, IReadOnlyDictionary<string, IReadOnlyList<HeldClaim>> users) => Send(
        $"hold by {token}", $"{model.Hold(token, users)}", RebuildScript, keys.Rebuild,
        ["hold", token, .. users.SelectMany(user => new RedisValue[] { user.Key, string.Concat(user.Value) })]);

    private void Thaw(string token, PoolSettings settings)
    {
        var left = settings.Capacity - model.ActiveUnits;
        Send($"thaw by {token}", $"{model.Thaw(token, Run, settings, left, refillsMin: clock / 50_000, generation: clock)}", RebuildScript, keys.Rebuild, [
            "thaw", token, Run, settings.Version, settings.Gate, settings.OpensAt, settings.ClosesAt, settings.Limit, settings.Capacity, left, clock / 50_000, clock]);
    }

    private void Acknowledge(AcknowledgeStep step)
    {
        var first = step.IsStale || model.Log.Count == 0 ? "1,somebody,1,1," : model.Log[0];
        var entries = Math.Clamp(model.Log.Count, 1, step.Entries);
        var last = step.IsForked || model.Log.Count == 0 ? "1,somebody,2,1," : model.Log[entries - 1];
        Send(step, $"{model.Acknowledge(first, entries, step.JournalMax, last)}", AcknowledgeScript, [keys.Log, keys.Journal], [first, entries, step.JournalMax, last]);
    }

    private void HandIn(HandInStep step)
    {
        var (run, entry) = (step.OtherLife ? OtherRun : Run, $"1,{User(0)},{step.Id},1,");
        Send(step, $"{model.HandIn(run, step.Id, entry)}", HandInScript, keys.HandIn, [run, step.Id, entry]);
    }

    private void Move(MoveStep step)
    {
        var (from, to) = step.FromDead ? (model.Dead, model.Log) : (model.Log, model.Dead);
        RedisKey[] lists = step.FromDead ? [keys.Dead, keys.Log] : [keys.Log, keys.Dead];
        var head = step.IsStale || from.Count == 0 ? "1,somebody,1,1," : from[0];
        var appended = step.Discard ? null : step.FromDead ? head.Replace("dead:", "", StringComparison.Ordinal) : $"dead:{head}";
        Send(step, $"{PoolModel.MoveHead(from, to, head, appended, step.Max)}", MoveHeadScript, lists, appended is null ? [head, step.Max] : [head, step.Max, appended]);
    }

    private void Send(object what, string expectedAnswer, RedisScript script, RedisKey[] scriptKeys, RedisValue[] arguments) => calls.Add(new Call(
        $"{what}", expectedAnswer, redis.RunScriptAsync(script, scriptKeys, arguments), model.State(), PoolState.ReadAsync(redis.DbOf(keys.Meta), keys)));

    private long NewId()
    {
        var id = 1_000 + ids.Count;
        ids.Add(id);
        return id;
    }

    private string Token(bool isStranger) => isStranger || string.IsNullOrEmpty(model.FrozenBy) ? "stranger" : model.FrozenBy;

    private static string User(int number) => string.Create(CultureInfo.InvariantCulture, $"user-{number}");

    private static string Text(RedisResult answer) => answer.Length < 0 ? answer.ToString() : string.Join(' ', ((RedisResult[])answer!).Select(item => item.ToString()));

    private sealed record Call(string What, string ExpectedAnswer, Task<RedisResult> Answer, string ExpectedState, Task<string> State);
}

using Sluice.LoadTester.Arrivals;
using Sluice.LoadTester.Measurements;

namespace Sluice.LoadTester.Claims;

/// <summary>
/// The buyers. A click goes from the schedule to a worker, over one connection, and its answer decides what the buyer does next:
/// nothing, ask again with the same key, or come back later. Workers never wait for a buyer.
/// </summary>
internal sealed class Crowd(ArrivalPlan plan, BuyerNames names, string[] authorizations, Ledger ledger, Scoreboard board, RunClock clock,
    TimeProvider time) : IDisposable
{
    // A buyer has at most two clicks alive at once.
    private readonly Schedule _schedule = new(time, clock, (plan.Buyers.Count * 2) + 1);
    private readonly CancellationTokenSource _stop = new();
    private TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _open;
    private long _inDoubt;

    /// <summary>Claims whose fate was never learnt.</summary>
    public long InDoubt => Interlocked.Read(ref _inDoubt);

    /// <summary>The latest answer, on the run's clock.</summary>
    public TimeSpan LastAnswerAt { get; private set; }

    public void Dispose() => _stop.Dispose();

    /// <summary>Starts the pacer and the workers. The task ends when <see cref="Stop"/> was called and the last answer is in.</summary>
    public async Task RunAsync(HttpMessageInvoker invoker, Uri claims, int connections)
    {
        var workers = new Task[connections];
        for (var index = 0; index < connections; index++)
        {
            workers[index] = Task.Run(() => WorkAsync(invoker, claims), CancellationToken.None);

            // A worker that fails takes its click with it, and the phase would wait for that click for ever: end the run, and say why.
            _ = workers[index].ContinueWith(_ => Stop(), CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        }

        await _schedule.PaceAsync(_stop.Token);
        await Task.WhenAll(workers);
        foreach (var click in _schedule.Clear())
        {
            Finish(click);
        }
    }

    /// <summary>No further click starts; what is on its way is answered, what waits to be asked again stays in doubt.</summary>
    public void Stop() => _stop.Cancel();

    /// <summary>Early comers knock, then everybody waits. Ends when the last knock was answered.</summary>
    public async Task KnockAsync(TimeSpan opening)
    {
        await AllAsync(plan.Buyers.Where(buyer => buyer.Knock is not null)
            .Select(buyer => new Click(buyer.Index, 0, ClickRole.Knock, opening + buyer.Knock!.Value)));
    }

    /// <summary>The rush itself. Ends when every buyer has a definite answer, or has given up.</summary>
    public async Task RushAsync(TimeSpan opening)
    {
        await AllAsync(plan.Buyers.SelectMany(buyer => Clicks(buyer, opening)));
    }

    private static IEnumerable<Click> Clicks(PlannedBuyer buyer, TimeSpan opening)
    {
        yield return new Click(buyer.Index, 1, ClickRole.Claim, opening + buyer.Arrival);
        if (buyer.Kind == BuyerKind.DoubleClicker)
        {
            yield return new Click(buyer.Index, buyer.SameKey ? 1 : 2, ClickRole.SecondClick, opening + buyer.Arrival);
        }
    }

    private async Task AllAsync(IEnumerable<Click> clicks)
    {
        _idle = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        // One count for this method itself, so that a fast first answer cannot end the phase before the last click is in.
        Interlocked.Increment(ref _open);
        foreach (var click in clicks)
        {
            Interlocked.Increment(ref _open);
            _schedule.Add(click, click.PlannedAt);
        }

        CloseOne();
        await _idle.Task;
    }

    private async Task WorkAsync(HttpMessageInvoker invoker, Uri claims)
    {
        using var connection = new ClaimConnection(invoker, claims, time);
        await foreach (var (click, due) in _schedule.Due.ReadAllAsync(CancellationToken.None))
        {
            if (_stop.IsCancellationRequested)
            {
                Finish(click);
                continue;
            }

            board.Started(clock.Now - due);
            var answer = await connection.ClaimAsync(authorizations[click.Buyer], names.Key(click.Buyer, click.KeyNumber));
            Answered(click, answer);
        }
    }

    private void Answered(Click click, in ClaimAnswer answer)
    {
        var now = clock.Now;
        LastAnswerAt = now;
        click.Attempts++;

        // An earlier attempt in doubt stays in doubt through a refusal that says nothing about it (a 429 comes before the claim is looked at).
        click.IsInDoubt = answer.IsInDoubt || (click.IsInDoubt && answer.Outcome == ClaimOutcome.RateLimited);
        var isNew = answer.ClaimId is { } claimId && ledger.Add(new Acknowledgement(
            names.User(click.Buyer), names.Key(click.Buyer, click.KeyNumber), claimId, answer.Status, now,
            click.Role == ClickRole.Repeat, click.ClaimIdBefore));

        var wait = _stop.IsCancellationRequested
            ? null
            : RetryPolicy.Wait(click.Role, answer, click.Attempts, now - click.PlannedAt, Jitter(click));
        TimeSpan? latency = wait is null && !answer.IsInDoubt ? now - click.PlannedAt : null;
        board.Answered(answer, isNew, now, latency);
        if (wait is { } pause)
        {
            _schedule.Add(click, now + pause);
            return;
        }

        if (click.Role == ClickRole.Repeat && click.ClaimIdBefore is { } before && !answer.IsAcknowledgement && !click.IsInDoubt
            && answer.Outcome != ClaimOutcome.RateLimited)
        {
            ledger.Add(new DeniedRepeat(names.User(click.Buyer), names.Key(click.Buyer, click.KeyNumber), before,
                $"{answer.Status} {answer.Code}".TrimEnd()));
        }

        if (click.Role == ClickRole.Claim && plan.Buyers[click.Buyer].Kind == BuyerKind.Retrier && !click.IsInDoubt
            && !_stop.IsCancellationRequested)
        {
            var again = now + TimeSpan.FromMilliseconds(20 + (400 * Jitter(click)));
            Interlocked.Increment(ref _open);
            _schedule.Add(new Click(click.Buyer, click.KeyNumber, ClickRole.Repeat, again) { ClaimIdBefore = answer.ClaimId }, again);
        }

        Finish(click);
    }

    private void Finish(Click click)
    {
        if (click.IsInDoubt)
        {
            Interlocked.Increment(ref _inDoubt);
        }

        CloseOne();
    }

    private void CloseOne()
    {
        if (Interlocked.Decrement(ref _open) == 0)
        {
            _idle.TrySetResult();
        }
    }

    // Any spread will do; taken from the click itself it needs no shared generator and no lock.
    private static double Jitter(Click click) => (((uint)((click.Buyer * 31) + click.Attempts) * 2654435761u) >> 8) / (double)(1 << 24);
}

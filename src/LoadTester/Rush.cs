using Sluice.LoadTester.Arrivals;
using Sluice.LoadTester.Audit;
using Sluice.LoadTester.Claims;
using Sluice.LoadTester.Measurements;
using Sluice.LoadTester.Screen;

namespace Sluice.LoadTester;

/// <summary>Everything the report draws. Times are on the run's clock.</summary>
internal sealed record RushTimeline(
    TimeSpan Opening, TimeSpan? SoldOutAt, TimeSpan SlotWidth, IReadOnlyList<Slot> Slots, IReadOnlyList<PoolSample> Samples);

/// <summary>
/// One rush from the first token to the verdict. Steps: 1 look at the sale and plan the crowd; 2 make tokens; 3 early comers knock;
/// 4 open; 5 the crowd; 6 wait until the server has written everything; 7 look every acknowledged claim up; 8 judge.
/// </summary>
internal sealed class Rush(RushOptions options, IScreen screen, TimeProvider time)
{
    private readonly RunClock _clock = new(time);
    private readonly Ledger _ledger = new();
    private readonly Scoreboard _board = new(options.Duration <= TimeSpan.FromSeconds(60) ? TimeSpan.FromMilliseconds(250) : TimeSpan.FromSeconds(1));
    private readonly List<string> _notes = [];
    private volatile string _phase = "looking at the sale";

    public Ledger Ledger => _ledger;

    /// <param name="stop">Ends the crowd early; what was acknowledged until then is audited all the same.</param>
    /// <exception cref="CannotRunException">Nothing can be said about the promise.</exception>
    public async Task<(RushResult Result, RushTimeline Timeline)> RunAsync(CancellationToken stop)
    {
        using var shop = new ShopClient(options.Url, options.ApiKey);

        // Step 1: look at the sale and plan the crowd.
        var sale = await shop.GetSaleAsync(options.SaleId, stop);
        var before = await shop.TryGetCertificateAsync(sale.PoolId, stop) is { } received ? Certificate.From(received) : null;
        var acceptedBefore = Math.Max(0, before?.AcceptedClaims ?? 0);
        var shares = options.Shares;
        if (sale.State == "open" && shares.Early > 0)
        {
            _notes.Add("The sale was open already, so nobody could come too early.");
            shares = shares with { Early = 0 };
        }

        var plan = ArrivalPlan.Make(options.Buyers, options.Shape, options.Duration, shares, options.Seed);
        var names = new BuyerNames();
        var sampler = new PoolSampler(shop, sale.PoolId, _clock, time);
        using var ending = new CancellationTokenSource();
        var watching = screen.RunAsync(() => Look(sale, sampler), ending.Token);
        var sampling = Task.CompletedTask;
        try
        {
            // Step 2: make tokens.
            _phase = "making tokens";
            var authorizations = await MakeTokensAsync(shop, names, stop);
            using var crowd = new Crowd(plan, names, authorizations, _ledger, _board, _clock, time);
            var opening = await Opening.FindAsync(sale, options.OpenAtStart, ArrivalPlan.KnockWindow, shop, _clock, time, stop);
            sampling = sampler.RunAsync(ending.Token);
            opening = await SendCrowdAsync(crowd, shop, opening, stop);
            var lastAnswer = crowd.LastAnswerAt;

            // Step 6: wait until the server has written everything. The crowd is home, so an interrupt does not stop the audit.
            _phase = "settling";
            var settling = _clock.Now;
            var collector = new EvidenceCollector(shop, _clock, time);
            var certificate = await collector.WaitUntilSettledAsync(sale.PoolId, options.SettleTimeout, CancellationToken.None);
            var settled = _clock.Now - settling;

            // Step 7: look every acknowledged claim up.
            _phase = "auditing";
            var found = await collector.LookUpAsync(_ledger, options.SettleTimeout, CancellationToken.None);
            var evidence = new AuditEvidence
            {
                Acknowledgements = _ledger.Acknowledgements,
                DeniedRepeats = _ledger.DeniedRepeats,
                Found = found,
                GivenBack = await collector.GivenBackAsync(found, CancellationToken.None),
                Certificate = certificate,
                PoolId = sale.PoolId,
                PerUserLimit = sale.PerUserLimit,
                AcceptedBefore = acceptedBefore,
                Exclusive = options.Exclusive ?? acceptedBefore == 0,
                InDoubt = crowd.InDoubt,
                Unexpected = _board.Score().Counts.Unexpected,
                NotOpenBefore = opening.NotBefore,
            };

            // Step 8: judge.
            var score = _board.Score();
            var timeline = new RushTimeline(opening.At, score.SoldOutAt, _board.SlotWidth, _board.Slots(), sampler.Samples);
            return (Verdict.Make(options, sale, evidence, score, timeline, _clock.StartedAt, lastAnswer, settled,
                stop.IsCancellationRequested, _notes), timeline);
        }
        finally
        {
            await ending.CancelAsync();
            await sampling;
            await watching;
        }
    }

    private async Task<Opening> SendCrowdAsync(Crowd crowd, ShopClient shop, Opening opening, CancellationToken stop)
    {
        using var invoker = ClaimConnection.MakeInvoker(options.Connections);
        var claims = new Uri(options.Url, $"/v1/flash-sales/{Uri.EscapeDataString(options.SaleId)}/claims");
        var running = crowd.RunAsync(invoker, claims, options.Connections);
        await using var stopping = stop.Register(crowd.Stop);
        try
        {
            // Step 3: early comers knock.
            if (!opening.ByTester)
            {
                _board.Anchor(opening.At);
            }

            if (opening.HasBefore)
            {
                _phase = "before the opening";
                var knocking = crowd.KnockAsync(opening.At);
                if (opening.ByTester)
                {
                    await Task.WhenAny(knocking, running);
                }
            }

            // Step 4: open. Arrivals count from the moment the server says it is open.
            if (opening.ByTester && !stop.IsCancellationRequested)
            {
                var asked = _clock.Now;
                await shop.OpenAsync(options.SaleId, CancellationToken.None);
                opening = opening with { At = _clock.Now, NotBefore = asked };
                _board.Anchor(opening.At);
            }

            // Step 5: the crowd.
            if (!stop.IsCancellationRequested)
            {
                _phase = "rush";
                await Task.WhenAny(crowd.RushAsync(opening.At), running);
            }
        }
        finally
        {
            crowd.Stop();
            await running;
        }

        return opening;
    }

    private async Task<string[]> MakeTokensAsync(ShopClient shop, BuyerNames names, CancellationToken stop)
    {
        var authorizations = new string[options.Buyers];
        var next = 0;
        foreach (var batch in Enumerable.Range(0, options.Buyers).Select(names.User).Chunk(ShopClient.BatchMax))
        {
            foreach (var token in await shop.MakeTokensAsync(batch, stop))
            {
                authorizations[next++] = "Bearer " + token;
            }
        }

        return authorizations;
    }

    private Progress Look(Sale sale, PoolSampler sampler) =>
        new(sale.Title, sale.StockUnits, _phase, _clock.Now, options.Buyers, _board.Score(), sampler.Latest);
}

using System.Runtime.InteropServices;
using Sluice.LoadTester.Claims;

namespace Sluice.LoadTester.Measurements;

/// <summary>How many answers of each kind; they add up to the requests sent.</summary>
[StructLayout(LayoutKind.Auto)]
internal record struct OutcomeCounts
{
    public long Accepted { get; set; }
    public long Repeated { get; set; }
    public long SoldOut { get; set; }
    public long Limited { get; set; }
    public long NotOpen { get; set; }
    public long RateLimited { get; set; }
    public long Closed { get; set; }
    public long Paused { get; set; }
    public long Unexpected { get; set; }
    public long Errors5xx { get; set; }
    public long ConnectionErrors { get; set; }

    public readonly long OtherRefusals => Closed + Paused + Unexpected;
    public readonly long Errors => Errors5xx + ConnectionErrors;

    public readonly long Total =>
        Accepted + Repeated + SoldOut + Limited + NotOpen + RateLimited + Closed + Paused + Unexpected + Errors5xx + ConnectionErrors;

    public void Add(in OutcomeCounts other)
    {
        Accepted += other.Accepted;
        Repeated += other.Repeated;
        SoldOut += other.SoldOut;
        Limited += other.Limited;
        NotOpen += other.NotOpen;
        RateLimited += other.RateLimited;
        Closed += other.Closed;
        Paused += other.Paused;
        Unexpected += other.Unexpected;
        Errors5xx += other.Errors5xx;
        ConnectionErrors += other.ConnectionErrors;
    }

    /// <param name="isNew">The first acknowledgement of this claim: it counts as accepted even when it came as 200, because the
    /// answer before it was lost on the way.</param>
    public void Add(ClaimOutcome outcome, bool isNew)
    {
        switch (outcome)
        {
            case ClaimOutcome.Accepted or ClaimOutcome.Repeated when isNew: Accepted++; break;
            case ClaimOutcome.Accepted or ClaimOutcome.Repeated: Repeated++; break;
            case ClaimOutcome.SoldOut: SoldOut++; break;
            case ClaimOutcome.Limited: Limited++; break;
            case ClaimOutcome.NotOpen: NotOpen++; break;
            case ClaimOutcome.RateLimited: RateLimited++; break;
            case ClaimOutcome.Closed: Closed++; break;
            case ClaimOutcome.Paused: Paused++; break;
            case ClaimOutcome.Unexpected: Unexpected++; break;
            case ClaimOutcome.ServerError: Errors5xx++; break;
            case ClaimOutcome.NoAnswer: ConnectionErrors++; break;
        }
    }
}

using Sluice.LoadTester.Claims;

namespace Sluice.LoadTester.Audit;

/// <summary>One thing that must be so. <c>Says</c> is a sentence for people; <c>ClaimIds</c> are offenders, at most <see cref="ClaimIdsMax"/>.</summary>
internal sealed record Check(string Name, bool Holds, long Expected, long Found, string Says, IReadOnlyList<string> ClaimIds)
{
    public const int ClaimIdsMax = 20;
}

/// <summary>What the audit compares. Everything is read before it starts, so the judgement itself is a pure function.</summary>
internal sealed record AuditEvidence
{
    public required IReadOnlyList<Acknowledgement> Acknowledgements { get; init; }
    public required IReadOnlyList<DeniedRepeat> DeniedRepeats { get; init; }

    /// <summary>Lookup's answer by claim id; ids that the server does not know are absent.</summary>
    public required IReadOnlyDictionary<string, FoundClaim> Found { get; init; }

    /// <summary>Released claims whose order says cancelled or expired: the one way an acknowledged claim may end unsold.</summary>
    public required IReadOnlySet<string> GivenBack { get; init; }

    public required Certificate Certificate { get; init; }
    public required string PoolId { get; init; }
    public required int PerUserLimit { get; init; }

    /// <summary>The certificate's <c>acceptedClaims</c> before the run.</summary>
    public required long AcceptedBefore { get; init; }

    /// <summary>Nobody else claimed: the books must agree to the claim.</summary>
    public required bool Exclusive { get; init; }

    /// <summary>Claims whose fate the load tester never learnt.</summary>
    public required long InDoubt { get; init; }

    public required long Unexpected { get; init; }

    /// <summary>The server cannot have opened the sale before this moment of the run's clock; null when it was open from the start.</summary>
    public required TimeSpan? NotOpenBefore { get; init; }
}

/// <summary>
/// Compares the buyers' book with the server's. The server is believed in nothing: every claim that a buyer was told of is looked up.
/// </summary>
internal static class RushAudit
{
    public static IReadOnlyList<Check> Judge(AuditEvidence evidence)
    {
        var claims = evidence.Acknowledgements.Select(a => a.ClaimId).Distinct(StringComparer.Ordinal).ToList();
        return
        [
            CertificateHolds(evidence),
            SoldWithinCapacity(evidence),
            LedgerAgrees(evidence, claims.Count),
            Exist(evidence, claims),
            Owner(evidence),
            Confirmed(evidence, claims),
            LimitPerUser(evidence),
            OneClaimPerKey(evidence),
            OneUserPerClaim(evidence),
            RepeatsAnsweredAlike(evidence),
            NothingBeforeOpening(evidence),
            AnswersAsDocumented(evidence),
        ];
    }

    private static Check CertificateHolds(AuditEvidence evidence)
    {
        var certificate = evidence.Certificate;
        var failing = certificate.Checks.Where(check => !check.Holds).Select(check => check.Name).ToList();
        var holds = certificate.Verdict == "holds" && failing.Count == 0;
        var says = holds ? "The server's certificate holds."
            : certificate.IsSettling ? "The server was still writing claims when the time to settle was over."
            : $"The server's certificate says {certificate.Verdict}{(failing.Count > 0 ? ": " + string.Join(", ", failing.Take(10)) : "")}.";
        return new Check("certificate-holds", holds, certificate.Checks.Count, certificate.Checks.Count - failing.Count, says, []);
    }

    private static Check SoldWithinCapacity(AuditEvidence evidence)
    {
        var mine = evidence.Found.Values.Where(claim => claim.State == "confirmed").Sum(claim => claim.Units);
        var sold = Math.Max(evidence.Certificate.SoldUnits, mine);
        var capacity = evidence.Certificate.CapacityUnits;
        return new Check("sold-within-capacity", capacity >= 0 && evidence.Certificate.SoldUnits >= 0 && sold <= capacity, capacity, sold,
            "No more units sold than there are, by the certificate and by the buyers' own claims.", []);
    }

    private static Check LedgerAgrees(AuditEvidence evidence, int claims)
    {
        var accepted = evidence.Certificate.AcceptedClaims - evidence.AcceptedBefore;
        var holds = evidence.Exclusive ? accepted >= claims && accepted <= claims + evidence.InDoubt : accepted >= claims;
        var says = !evidence.Exclusive ? "The server counts at least the claims that these buyers were told of (others may have bought too)."
            : evidence.InDoubt > 0 ? $"The server counts the claims that the buyers were told of, and at most the {evidence.InDoubt} in doubt beyond them."
            : "The server counts exactly the claims that the buyers were told of.";
        return new Check("ledger-agrees-with-certificate", holds, claims, accepted, says, []);
    }

    private static Check Exist(AuditEvidence evidence, List<string> claims)
    {
        var lost = claims.Where(id => !evidence.Found.ContainsKey(id)).ToList();
        return Of("acknowledged-exist", claims.Count, lost, "Every acknowledged claim can be looked up.");
    }

    private static Check Owner(AuditEvidence evidence)
    {
        var known = evidence.Acknowledgements.Where(a => evidence.Found.ContainsKey(a.ClaimId)).ToList();
        var wrong = known.Where(a => evidence.Found[a.ClaimId] is var found && (found.UserId != a.User || found.PoolId != evidence.PoolId))
            .Select(a => a.ClaimId).ToList();
        return Of("acknowledged-belong-to-their-buyer", known.Count, wrong, "Every acknowledged claim belongs to the buyer who was told, in this pool.");
    }

    private static Check Confirmed(AuditEvidence evidence, List<string> claims)
    {
        var known = claims.Where(evidence.Found.ContainsKey).ToList();
        var open = known.Where(id => evidence.Found[id].State is var state
            && !(state == "confirmed" || (state == "released" && evidence.GivenBack.Contains(id)))).ToList();
        return Of("acknowledged-confirmed", known.Count, open, "Every acknowledged claim became an order, or was given back by a cancelled or expired one.");
    }

    private static Check LimitPerUser(AuditEvidence evidence)
    {
        var holders = evidence.Found.Values.Where(claim => claim.State is "confirmed" or "held").GroupBy(claim => claim.UserId, StringComparer.Ordinal).ToList();
        var over = holders.Where(group => group.Sum(claim => claim.Units) > evidence.PerUserLimit).ToList();
        return Of("limit-per-user", holders.Count, over.SelectMany(group => group.Select(claim => claim.ClaimId)).ToList(),
            $"No buyer has more than {evidence.PerUserLimit} {(evidence.PerUserLimit == 1 ? "unit" : "units")}.", over.Count);
    }

    private static Check OneClaimPerKey(AuditEvidence evidence)
    {
        var keys = evidence.Acknowledgements.GroupBy(a => (a.User, a.Key)).ToList();
        var torn = keys.Where(group => group.Select(a => a.ClaimId).Distinct(StringComparer.Ordinal).Skip(1).Any()).ToList();
        return Of("one-claim-per-key", keys.Count, torn.SelectMany(group => group.Select(a => a.ClaimId)).ToList(),
            "The same buyer with the same key was always told the same claim.", torn.Count);
    }

    private static Check OneUserPerClaim(AuditEvidence evidence)
    {
        var claims = evidence.Acknowledgements.GroupBy(a => a.ClaimId, StringComparer.Ordinal).ToList();
        var shared = claims.Where(group => group.Select(a => a.User).Distinct(StringComparer.Ordinal).Skip(1).Any()).Select(group => group.Key).ToList();
        return Of("one-buyer-per-claim", claims.Count, shared, "No claim was promised to two buyers.");
    }

    private static Check RepeatsAnsweredAlike(AuditEvidence evidence)
    {
        var repeats = evidence.Acknowledgements.Where(a => a.IsRepeat && a.ClaimIdBefore is not null).ToList();
        var unlike = repeats.Where(a => a.Status != 200 || a.ClaimId != a.ClaimIdBefore).Select(a => a.ClaimId)
            .Concat(evidence.DeniedRepeats.Select(denied => denied.ClaimId)).ToList();
        return Of("repeats-answered-alike", repeats.Count + evidence.DeniedRepeats.Count, unlike,
            "Buyers who asked again with the same key got 200 and the claim they had.");
    }

    private static Check NothingBeforeOpening(AuditEvidence evidence)
    {
        var early = evidence.NotOpenBefore is { } opening
            ? evidence.Acknowledgements.Where(a => a.At < opening).Select(a => a.ClaimId).ToList()
            : [];
        return new Check("nothing-before-opening", early.Count == 0, 0, early.Count, "Nobody got a unit before the sale opened.", Bounded(early));
    }

    private static Check AnswersAsDocumented(AuditEvidence evidence) => new(
        "answers-as-documented", evidence.Unexpected == 0, 0, evidence.Unexpected, "Every answer is one that the HTTP contract has.", []);

    private static Check Of(string name, int of, List<string> offenders, string says, int? count = null) =>
        new(name, offenders.Count == 0, of, of - (count ?? offenders.Count), says, Bounded(offenders));

    private static List<string> Bounded(IEnumerable<string> claimIds) =>
        claimIds.Distinct(StringComparer.Ordinal).Take(Check.ClaimIdsMax).ToList();
}

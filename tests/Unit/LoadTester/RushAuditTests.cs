using System.Text.Json;
using Sluice.LoadTester;
using Sluice.LoadTester.Audit;
using Sluice.LoadTester.Claims;
using Xunit;

namespace Sluice.Tests.Unit.LoadTester;

/// <summary>An honest book passes; each kind of fault is caught by the check that is named for it.</summary>
public sealed class RushAuditTests
{
    [Fact]
    public void Judge_HonestBooks_HoldsEverywhere() => Assert.All(RushAudit.Judge(Honest()), check => Assert.True(check.Holds, check.Name));

    [Theory]
    [InlineData("settling")]
    [InlineData("broken")]
    public void Judge_CertificateThatDoesNotHold_Fails(string verdict) =>
        Fails("certificate-holds", Honest() with { Certificate = Certificate(verdict: verdict) });

    [Fact]
    public void Judge_CertificateWithAFailingCheck_Fails() => Fails("certificate-holds", Honest() with { Certificate = Certificate(checkHolds: false) });

    [Fact]
    public void Judge_MoreSoldThanThereAre_Fails() => Fails("sold-within-capacity", Honest() with { Certificate = Certificate(sold: 6) });

    [Fact]
    public void Judge_LookupsShowMoreThanThereAre_FailsEvenIfTheCertificateIsSilent() =>
        Fails("sold-within-capacity", Honest() with { Certificate = Certificate(capacity: 2, sold: 2) });

    [Fact]
    public void Judge_CertificateWithoutFigures_Fails() =>
        Fails("sold-within-capacity", Honest() with { Certificate = Certificate(capacity: -1, sold: -1) });

    [Theory]
    [InlineData(2, 0, true, false)]
    [InlineData(4, 0, true, false)]
    [InlineData(4, 1, true, true)]
    [InlineData(5, 1, true, false)]
    [InlineData(4, 0, false, true)]
    [InlineData(2, 0, false, false)]
    public void Judge_AcceptedByTheServer_MustBeTheLedgersThree(long accepted, long inDoubt, bool exclusive, bool holds)
    {
        var evidence = Honest() with { Certificate = Certificate(accepted: accepted), InDoubt = inDoubt, Exclusive = exclusive };
        Assert.Equal(holds, Check("ledger-agrees-with-certificate", evidence).Holds);
    }

    [Fact]
    public void Judge_ClaimsFromBeforeTheRun_AreNotCounted() => Assert.True(Check("ledger-agrees-with-certificate",
        Honest() with { Certificate = Certificate(accepted: 13), AcceptedBefore = 10 }).Holds);

    [Fact]
    public void Judge_LostClaim_FailsAndIsNamed()
    {
        var check = Fails("acknowledged-exist", Honest() with { Found = Found(("101", "u-1", "confirmed"), ("103", "u-3", "confirmed")) });
        Assert.Equal(["102"], check.ClaimIds);
        Assert.Equal((3, 2), (check.Expected, check.Found));
    }

    [Fact]
    public void Judge_ClaimOfSomebodyElse_Fails() => Fails("acknowledged-belong-to-their-buyer",
        Honest() with { Found = Found(("101", "u-1", "confirmed"), ("102", "u-9", "confirmed"), ("103", "u-3", "confirmed")) });

    [Fact]
    public void Judge_ClaimOfAnotherPool_Fails() => Fails("acknowledged-belong-to-their-buyer", Honest() with { PoolId = "8" });

    [Theory]
    [InlineData("held")]
    [InlineData("rejected")]
    [InlineData("released")]
    public void Judge_AcknowledgedButNotSold_Fails(string state) => Fails("acknowledged-confirmed",
        Honest() with { Found = Found(("101", "u-1", "confirmed"), ("102", "u-2", state), ("103", "u-3", "confirmed")) });

    [Fact]
    public void Judge_ReleasedByACancelledOrder_Holds() => Assert.True(Check("acknowledged-confirmed", Honest() with
    {
        Found = Found(("101", "u-1", "confirmed"), ("102", "u-2", "released"), ("103", "u-3", "confirmed")),
        GivenBack = new HashSet<string>(StringComparer.Ordinal) { "102" },
    }).Holds);

    [Fact]
    public void Judge_TwoUnitsForOneUser_FailsAndNamesBoth()
    {
        var evidence = Honest() with
        {
            Acknowledgements = [Ack("u-1", "k1", "101"), Ack("u-1", "k2", "102")],
            Found = Found(("101", "u-1", "confirmed"), ("102", "u-1", "confirmed")),
        };
        Assert.Equal(["101", "102"], Fails("limit-per-user", evidence).ClaimIds);
        Assert.True(Check("limit-per-user", evidence with { PerUserLimit = 2 }).Holds);
    }

    [Fact]
    public void Judge_TwoClaimsForOneKey_Fails() => Fails("one-claim-per-key",
        Honest() with { Acknowledgements = [Ack("u-1", "k1", "101"), Ack("u-1", "k1", "102")] });

    [Fact]
    public void Judge_OneClaimForTwoUsers_Fails() => Fails("one-buyer-per-claim",
        Honest() with { Acknowledgements = [Ack("u-1", "k1", "101"), Ack("u-2", "k2", "101")] });

    [Theory]
    [InlineData("101", 202)]
    [InlineData("102", 200)]
    public void Judge_RepeatAnsweredOtherwise_Fails(string claimId, int status) => Fails("repeats-answered-alike",
        Honest() with { Acknowledgements = [Ack("u-1", "k1", "101"), Ack("u-1", "k1", claimId, status, repeatOf: "101")] });

    [Fact]
    public void Judge_RepeatThatWasRefused_Fails() => Fails("repeats-answered-alike",
        Honest() with { DeniedRepeats = [new DeniedRepeat("u-1", "k1", "101", "409 sold-out")] });

    [Fact]
    public void Judge_SoldBeforeTheOpening_Fails()
    {
        Fails("nothing-before-opening", Honest() with { NotOpenBefore = TimeSpan.FromSeconds(2) });
        Assert.True(Check("nothing-before-opening", Honest() with { NotOpenBefore = TimeSpan.FromSeconds(1) }).Holds);
    }

    [Fact]
    public void Judge_AnswerOutsideTheContract_Fails() => Fails("answers-as-documented", Honest() with { Unexpected = 1 });

    [Fact]
    public void Judge_ManyOffenders_NamesABoundedNumber()
    {
        var many = Enumerable.Range(0, 500).Select(i => Ack($"u-{i}", "k", $"{i}")).ToList();
        Assert.Equal(20, Fails("acknowledged-exist", Honest() with { Acknowledgements = many }).ClaimIds.Count);
    }

    internal static AuditEvidence Honest() => new()
    {
        Acknowledgements =
        [
            Ack("u-1", "k1", "101"), Ack("u-2", "k2", "102"), Ack("u-2", "k2", "102", 200, repeatOf: "102"), Ack("u-3", "k3", "103"),
            Ack("u-3", "k3b", "103", 200),
        ],
        DeniedRepeats = [],
        Found = Found(("101", "u-1", "confirmed"), ("102", "u-2", "confirmed"), ("103", "u-3", "confirmed")),
        GivenBack = new HashSet<string>(StringComparer.Ordinal),
        Certificate = Certificate(),
        PoolId = "7",
        PerUserLimit = 1,
        AcceptedBefore = 0,
        Exclusive = true,
        InDoubt = 0,
        Unexpected = 0,
        NotOpenBefore = TimeSpan.FromSeconds(0.5),
    };

    private static Check Check(string name, AuditEvidence evidence) => Assert.Single(RushAudit.Judge(evidence), check => check.Name == name);

    private static Check Fails(string name, AuditEvidence evidence)
    {
        var check = Check(name, evidence);
        Assert.False(check.Holds);
        Assert.NotEmpty(check.Says);
        return check;
    }

    private static Acknowledgement Ack(string user, string key, string claimId, int status = 202, string? repeatOf = null) =>
        new(user, key, claimId, status, TimeSpan.FromSeconds(1), repeatOf is not null, repeatOf);

    private static Dictionary<string, FoundClaim> Found(params (string Id, string User, string State)[] claims) =>
        claims.ToDictionary(c => c.Id, c => new FoundClaim(c.Id, c.User, "7", 1, c.State, c.Id), StringComparer.Ordinal);

    private static Certificate Certificate(string verdict = "holds", long capacity = 5, long sold = 3, long accepted = 3, bool checkHolds = true)
    {
        var json = JsonSerializer.SerializeToElement(new
        {
            certificate = new
            {
                verdict, capacityUnits = capacity, soldUnits = sold, leftUnits = capacity - sold, releasedUnits = 0, acceptedClaims = accepted,
                deadLetters = 0, checks = new[] { new { name = "units-balance", holds = checkHolds } },
            },
            jws = "a.b.c",
        });
        return Sluice.LoadTester.Audit.Certificate.From(json)!;
    }
}

using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;

namespace Sluice.Tests.Unit.Platform;

/// <summary>What was acknowledged beside the embedded server: the next process finds it, and what SQL has takes no room.</summary>
public sealed class AckFileTests : IDisposable
{
    private const long Pool = 7;

    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("sluice-acks-");

    private string Files => Path.Combine(folder.FullName, "acknowledged");

    public void Dispose() => folder.Delete(recursive: true);

    [Fact]
    public void Claims_WrittenDown_AreKeptByTheNextProcessAsTheyWere()
    {
        using (var died = Open())
        {
            died.Of(Pool).Keep(1, "jürgen|ü", 2, "key-1", "p4900", generation: 3);
            died.Of(8).Keep(2, "u-2", 1, "", null, generation: 3);
            died.Of(Pool).WriteDown();
            died.Of(8).WriteDown();
        }

        using var journal = Open();
        Assert.Equal(new Claim(1, Pool, "jürgen|ü", 2, "key-1", "p4900"), Assert.Single(journal.Claims(Pool)));
        Assert.Equal(new Claim(2, 8, "u-2", 1, null), Assert.Single(journal.Claims(8)));
    }

    [Fact]
    public void Claim_KeptButNotWrittenDown_WasToldToNobodyAndIsNotThere()
    {
        using (var died = Open())
        {
            Keep(died, 1);
            died.Of(Pool).WriteDown();
            Keep(died, 2);
        }

        using var journal = Open();
        Assert.Equal([1], Ids(journal));
    }

    [Theory]
    [InlineData("7,1,u-9,9,1,ke")]
    [InlineData("7,1,u-9,9,1,whole-but-for-its-end")]
    [InlineData("nonsense\n\n7\n7,\n,\n7,1,u-9,99999999999999999999,1,k\n")]
    public void Line_ThatIsNoWholeClaim_IsPassedOver(string torn)
    {
        using (var died = Open())
        {
            Keep(died, 1, 2);
            died.Of(Pool).WriteDown();
        }

        File.AppendAllText(Assert.Single(Directory.GetFiles(Files)), torn);
        using var journal = Open();
        Assert.Equal([1, 2], Ids(journal));
    }

    [Fact]
    public void Files_OfWhichSqlHasEverything_AreDeletedAndNoOthers()
    {
        using var journal = Open();
        var first = FillFile(journal, from: 1);
        var second = FillFile(journal, from: first + 1);
        Keep(journal, second + 2);
        journal.Of(Pool).WriteDown();
        Assert.Equal(3, Directory.GetFiles(Files).Length);

        // Of the first file one claim is left, of the second none; files go in their order.
        journal.Forget(Pool, Range(2, second + 1));
        journal.DeleteSettled();
        Assert.Equal(3, Directory.GetFiles(Files).Length);

        journal.Forget(Pool, [1]);
        journal.DeleteSettled();
        Assert.Single(Directory.GetFiles(Files));

        journal.Forget(Pool, [second + 2]);
        journal.DeleteSettled();
        Assert.Empty(Directory.GetFiles(Files));

        Keep(journal, second + 3);
        journal.Of(Pool).WriteDown();
        journal.DeleteSettled();
        using var next = Open();
        Assert.Equal([second + 3], Ids(next));
    }

    [Fact]
    public void Claims_ThatMemoryHasNoPlaceFor_AreReadFromTheirFileWhenItHas()
    {
        using var journal = Open(claimsMax: 4);
        Keep(journal, 1, 2, 3, 4, 5, 6);
        journal.Of(Pool).WriteDown();
        var last = FillFile(journal, from: 100) + 1;
        Assert.Equal([1, 2, 3, 4], Ids(journal));

        journal.Forget(Pool, [1, 2, 3, 4]);
        journal.DeleteSettled();
        Assert.Contains(5, Ids(journal));
        Assert.Contains(6, Ids(journal));
        HashSet<long> seen = [];
        for (var files = 0; files < 4; files++)
        {
            seen.UnionWith(Ids(journal));
            journal.Forget(Pool, Ids(journal));
            journal.DeleteSettled();
        }

        Assert.Empty(Directory.GetFiles(Files));
        Assert.Superset(Range(100, last).ToHashSet(), seen);
    }

    [Fact]
    public void Claims_ThatCannotBeWrittenDown_AreRefusedAndGoDownWithTheNext()
    {
        using (var journal = Open())
        {
            Directory.Delete(Files);
            Keep(journal, 1);
            Assert.Equal("disk", Assert.Throws<DependencyUnavailableException>(journal.Of(Pool).WriteDown).Dependency);
            Directory.CreateDirectory(Files);

            // Its owner asks again: the claim is known, and still has no line.
            Keep(journal, 1);
            journal.Of(Pool).WriteDown();
        }

        using var next = Open();
        Assert.Equal([1], Ids(next));
    }

    [Theory]
    [InlineData(500_000, false)]
    [InlineData(0, true)]
    public void Journal_ThatNeedNotWriteDown_MakesNoFolderAndStillReadsWhatIsThere(int claimsMax, bool writesDown)
    {
        using (var none = new AckJournal(new PoolsOptions { AckJournalClaimsMax = claimsMax }, Files, writesDown))
        {
            Keep(none, 1);
            none.Of(Pool).WriteDown();
            none.DeleteSettled();
            Assert.False(Directory.Exists(Files));
        }

        using (var died = Open())
        {
            Keep(died, 2);
            died.Of(Pool).WriteDown();
        }

        using var other = new AckJournal(new PoolsOptions(), Files);
        Assert.Equal([2], Ids(other));
        other.Forget(Pool, [2]);
        other.DeleteSettled();
        Assert.Empty(Directory.GetFiles(Files));
    }

    private AckJournal Open(int claimsMax = 500_000) => new(new PoolsOptions { AckJournalClaimsMax = claimsMax }, Files, writesDown: true);

    private static void Keep(AckJournal journal, params IEnumerable<long> ids)
    {
        foreach (var id in ids)
        {
            journal.Of(Pool).Keep(id, $"u-{id}", 1, $"key-{id}", null, generation: 1);
        }
    }

    /// <summary>Writes claims down until the next file begins. Returns the last that is in the one before.</summary>
    private long FillFile(AckJournal journal, long from)
    {
        var before = Directory.Exists(Files) ? Directory.GetFiles(Files).Length : 0;
        for (var id = from; ; id++)
        {
            Keep(journal, id);
            journal.Of(Pool).WriteDown();
            if (Directory.GetFiles(Files).Length > Math.Max(before, 1))
            {
                return id - 1;
            }
        }
    }

    private static IEnumerable<long> Range(long from, long to) => Enumerable.Range((int)from, (int)(to - from + 1)).Select(id => (long)id);

    private static long[] Ids(AckJournal journal) => [.. journal.Claims(Pool).Select(claim => claim.Id).Order()];
}

using System.Security.Cryptography;
using System.Text;
using Sluice.Operations.Publishing;
using Sluice.Platform.Site;

namespace Sluice.Tests.Integration.Publishing;

/// <summary>A published folder is whole at every moment, whoever writes it and however often.</summary>
public sealed class FolderTargetTests : IDisposable
{
    private readonly TempFolder folder = new();
    private readonly Part part = new();

    private string Current => folder.File("current");

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task Publish_OfOneChange_TellsThatOneAndKeepsTheOtherFiles()
    {
        part.Put("/products/mug", "mug 1");
        part.Put("/products/lamp", new string('l', 5_000));
        var target = Target();
        Assert.Equal(["/products/lamp", "/products/mug"], (await PublishAsync(target)).ChangedUrls);
        var lampWritten = File.GetLastWriteTimeUtc(Path.Combine(Current, "products/lamp.html.br"));

        part.Put("/products/mug", "mug 2");
        part.Put("/products/kettle", "kettle");
        part.Remove("/products/lamp");
        part.Put("/products/chair", new string('l', 5_000));

        Assert.Equal(["/products/chair", "/products/kettle", "/products/lamp", "/products/mug"], (await PublishAsync(target)).ChangedUrls.Order(StringComparer.Ordinal));
        Assert.Equal("mug 2", Read("products/mug.html"));
        Assert.False(File.Exists(Path.Combine(Current, "products/lamp.html")));

        part.Put("/products/lamp", new string('l', 5_000));
        await PublishAsync(target);
        var chairWritten = File.GetLastWriteTimeUtc(Path.Combine(Current, "products/chair.html.br"));
        part.Put("/products/mug", "mug 3");
        await PublishAsync(target);
        Assert.Equal(chairWritten, File.GetLastWriteTimeUtc(Path.Combine(Current, "products/chair.html.br")));
        Assert.NotEqual(lampWritten, File.GetLastWriteTimeUtc(Path.Combine(Current, "products/lamp.html.br")));
    }

    [Fact]
    public async Task Publish_WithoutAChange_ShowsTheSameRelease()
    {
        part.Put("/", "home");
        var target = Target();
        await PublishAsync(target);
        var shown = new FileInfo(Current).LinkTarget;

        Assert.Empty((await PublishAsync(target)).ChangedUrls);

        Assert.Equal(shown, new FileInfo(Current).LinkTarget);
    }

    [Fact]
    public async Task Publish_ByManyAtOnce_IsWholeAtEveryMomentAndNeverGoesBack()
    {
        for (var i = 0; i < 20; i++)
        {
            part.Put($"/products/p{i}", $"{i} in 0");
        }

        await PublishAsync(Target());
        using var done = new CancellationTokenSource();
        var looks = 0;
        var looking = Task.Run(() =>
        {
            var newest = 0L;
            while (!done.IsCancellationRequested)
            {
                newest = Look(newest);
                looks++;
            }
        });
        var writing = Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            var target = Target();
            for (var round = 0; round < 15; round++)
            {
                part.Put($"/products/p{Random.Shared.Next(20)}", $"round {Guid.NewGuid()}");
                await target.PublishAsync(new Site([part]), CancellationToken.None);
            }
        }));
        await Task.WhenAll(writing);
        await done.CancelAsync();
        await looking;

        await PublishAsync(Target());
        Assert.True(looks > 0);
        Assert.Equal(part.Version, Look(0));
        Assert.InRange(Directory.GetDirectories(folder.File("releases")).Length, 1, 3);
        Assert.Equal([".lock"], Directory.GetFileSystemEntries(folder.Path, ".*").Select(Path.GetFileName));
    }

    [Fact]
    public async Task Publish_OfSomebodyWhoDied_IsClearedAway()
    {
        part.Put("/", "home");
        Directory.CreateDirectory(folder.File("releases/.draft-dead/products"));
        File.CreateSymbolicLink(folder.File(".current-dead"), "releases/.draft-dead");

        await PublishAsync(Target());

        Assert.Empty(Directory.GetDirectories(folder.File("releases"), ".*"));
        Assert.Equal([".lock"], Directory.GetFileSystemEntries(folder.Path, ".*").Select(Path.GetFileName));
    }

    [Fact]
    public async Task Publish_WhileSomebodyElseDoes_IsLeftToThem()
    {
        using var theirs = new FileStream(folder.File(".lock"), FileMode.Create, FileAccess.ReadWrite, FileShare.None);

        Assert.Null(await Target().PublishAsync(new Site([part]), CancellationToken.None));
    }

    [Fact]
    public async Task File_ThatWasCutShort_IsPutAnewByTheNextProcess()
    {
        part.Put("/products/mug", new string('m', 5_000));
        await PublishAsync(Target());
        File.WriteAllText(Path.Combine(Current, "products/mug.html"), "");

        await PublishAsync(Target());

        Assert.Equal(5_000, Read("products/mug.html").Length);
    }

    [Theory]
    [InlineData("/../secret")]
    [InlineData("/products/..")]
    [InlineData("/products/./mug")]
    [InlineData("//etc/passwd")]
    [InlineData("/products//mug")]
    [InlineData("products/mug")]
    [InlineData("/products/mug\\..\\x")]
    [InlineData("/products/mug\0")]
    [InlineData("/products/m%2e%2e")]
    [InlineData("/products/mug?x=1")]
    [InlineData("")]
    public async Task Address_ThatLeadsElsewhere_StopsPublishingAndLeavesTheOldSite(string url)
    {
        part.Put("/", "home");
        await PublishAsync(Target());
        part.Put("/", "home 2");
        part.Put(url, "x");

        await Assert.ThrowsAsync<InvalidDataException>(() => Target().PublishAsync(new Site([part]), CancellationToken.None));

        Assert.Equal("home", Read("index.html"));
        Assert.Empty(Directory.GetDirectories(folder.File("releases"), ".*"));
    }

    [Fact]
    public async Task Scripts_OfTheBuildBefore_AreStillThere()
    {
        part.Put("/assets/0000/a.js", "one");
        await PublishAsync(Target());
        part.Remove("/assets/0000/a.js");
        part.Put("/assets/1111/a.js", "two");

        await PublishAsync(Target());

        Assert.Equal(("one", "two"), (Read("assets/0000/a.js"), Read("assets/1111/a.js")));
    }

    private FolderTarget Target() => new(folder.Path, TimeProvider.System);

    private async Task<SiteChange> PublishAsync(FolderTarget target) => (await target.PublishAsync(new Site([part]), CancellationToken.None))!;

    private string Read(string file) => File.ReadAllText(Path.Combine(Current, file));

    // One release, seen through one look at the link: each file is what the manifest says, and the version is no older than before.
    private long Look(long newest)
    {
        var release = Path.Combine(folder.Path, new FileInfo(Current).LinkTarget!);
        SiteManifest manifest;
        try
        {
            manifest = SiteManifest.FromBytes(File.ReadAllBytes(Path.Combine(release, SiteManifest.FileName)))!;
            foreach (var (url, file) in manifest.Files)
            {
                Assert.Equal(file.Hash, Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(Path.Combine(release, FolderTarget.PathOf(url, file.ContentType))))));
            }
        }
        catch (Exception e) when (e is DirectoryNotFoundException or FileNotFoundException)
        {
            // Three newer ones have come while it was read.
            Assert.NotEqual(release, Path.Combine(folder.Path, new FileInfo(Current).LinkTarget!));
            return newest;
        }

        Assert.True(manifest.Version >= newest, $"{manifest.Version} after {newest}");
        return manifest.Version;
    }

    private sealed class Part : ISitePart
    {
        private readonly Lock filesLock = new();
        private readonly Dictionary<string, string> files = [];

        public long Version { get; private set; }

        public void Put(string url, string content)
        {
            lock (filesLock)
            {
                files[url] = content;
                Version++;
            }
        }

        public void Remove(string url)
        {
            lock (filesLock)
            {
                files.Remove(url);
                Version++;
            }
        }

        public Task<long> VersionAsync() => Task.FromResult(Version);

        public async IAsyncEnumerable<SiteFile> FilesAsync()
        {
            await Task.Yield();
            List<KeyValuePair<string, string>> now;
            lock (filesLock)
            {
                now = [.. files];
            }

            foreach (var (url, content) in now)
            {
                yield return new SiteFile(url, "text/html; charset=utf-8", Encoding.UTF8.GetBytes(content));
            }
        }
    }
}

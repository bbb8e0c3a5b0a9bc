using Sluice.Platform.Cache;

namespace Sluice.Tests.Unit.Platform;

/// <summary>Where nodes share answers: which addresses are taken, and which server of several has a key.</summary>
public sealed class SharedServersTests
{
    [Theory]
    [InlineData("", true)]
    [InlineData("none", true)]
    [InlineData("redis.internal:6379", true)]
    [InlineData("a:1,b:2,c:3", true)]
    [InlineData("embedded", false)]
    [InlineData("memcached://cache.internal", true)]
    [InlineData("memcached://cache.internal:11211", true)]
    [InlineData("memcached://10.0.0.1:11211,10.0.0.2:11211,[::1]:11212", true)]
    [InlineData("Memcached://cache:11211/", true)]
    [InlineData("memcached://", false)]
    [InlineData("memcached://a:11211,", false)]
    [InlineData("memcached://a:11211,a:11211", false)]
    [InlineData("memcached://a:0", false)]
    [InlineData("memcached://a:70000", false)]
    [InlineData("memcached://user:word@a:11211", false)]
    [InlineData("memcached://a:11211/path", false)]
    [InlineData("memcached://a:11211?weight=2", false)]
    [InlineData("mongodb://mongo.internal", true)]
    [InlineData("mongodb://shop:word@m1:27017,m2:27017/shop?replicaSet=rs0", true)]
    [InlineData("mongodb://", false)]
    [InlineData("mongodb://m1:port", false)]
    [InlineData("mongodb+srv://mongo.internal", false)]
    [InlineData("redis://a:6379", false)]
    [InlineData("couchbase://a", false)]
    public void Connection_OfTheCache_IsTakenOrRefused(string text, bool isTaken) => Assert.Equal(isTaken, new SharedElsewhereAttribute().IsValid(text));

    [Fact]
    public void Server_OfAKey_IsTheSameInWhateverOrderTheyAreNamed()
    {
        var (some, turned) = (Servers("a:1,b:1,c:1"), Servers("C:1,a:1,b:1"));
        Assert.All(Keys, key => Assert.Equal(some.All[some.IndexOf(key)], turned.All[turned.IndexOf(key)], (x, y) => x.Host.Equals(y.Host, StringComparison.OrdinalIgnoreCase)));
    }

    [Fact]
    public void Keys_OverSeveralServers_AreSpreadEvenlyAndAServerMoreMovesOnlyItsShare()
    {
        var (three, four) = (Servers("a:11211,b:11211,c:11211"), Servers("a:11211,b:11211,c:11211,a:11212"));
        var counts = Keys.CountBy(three.IndexOf).ToDictionary();
        Assert.All(Enumerable.Range(0, 3), i => Assert.InRange(counts[i], 2_700, 4_000));
        var moved = Keys.Where(key => three.IndexOf(key) != four.IndexOf(key)).ToList();
        Assert.InRange(moved.Count, 2_000, 3_000);
        Assert.All(moved, key => Assert.Equal(3, four.IndexOf(key)));
    }

    // Another hash would be another server for each key: nodes of two releases would drop and keep at different ones.
    [Fact]
    public void Server_OfAKey_StaysTheSameInEveryRelease()
    {
        var servers = Servers("cache-1:11211,cache-2:11211,cache-3:11211");
        Assert.Equal("0,1,2", string.Join(',', new[] { "{c:product:kettle}", "{u:alice}:orders", "{c:list:1}" }.Select(servers.IndexOf)));
    }

    [Fact]
    public void Keys_OfOneUser_AreAtOneServer()
    {
        var servers = Servers("a:1,b:1,c:1,d:1");
        Assert.All(Enumerable.Range(0, 100), i => Assert.Single(new[] { "orders", "me", "addresses" }.Select(what => servers.IndexOf(CacheKey.OfUser($"u-{i}", what).Name)).Distinct()));
    }

    [Fact]
    public void Key_AsMemcachedTakesIt_IsShortVisibleAndOfOneKeyOnly()
    {
        Assert.Equal("{c:product:kettle}", MemcachedServers.KeyOf("{c:product:kettle}"));
        string[] odd = ["", " ", "a b", "a\tb", "a\r\nflush_all", "caf\u00e9", "a\u007f", new string('k', 251), new string('k', 252), MemcachedServers.KeyOf(new string('k', 251))];
        var taken = odd.Select(MemcachedServers.KeyOf).ToList();
        Assert.All(taken, key => Assert.Matches("^sha256:[0-9a-f]{64}$", key));
        Assert.Equal(odd.Length, taken.Distinct(StringComparer.Ordinal).Count());
    }

    private static IReadOnlyList<string> Keys { get; } = [.. Enumerable.Range(0, 10_000).Select(i => $"{{c:product:sku-{i}}}")];

    private static MemcachedServers Servers(string text) => MemcachedServers.TryParse("memcached://" + text)!;
}

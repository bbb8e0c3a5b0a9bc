using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>What memcached has of its own: servers that forget, that are several, that hang, that take nothing large, and that are something else.</summary>
public sealed class MemcachedTests
{
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1), Patient = TimeSpan.FromSeconds(20);

    // A server that was started again counts its items from one: the numbers of before come again, for other leases.
    [Fact]
    public async Task Lease_FromBeforeTheServerWasStartedAgain_IsWorthNothing()
    {
        await using var server = await MemcachedServer.StartAsync();
        await using var old = await OpenAsync(server.Connection);
        var before = await old.TakeAsync("{k}", Minute);
        Assert.Null(before.Bytes);
        await server.KillAsync();
        await server.BeginAsync();

        await using var other = await OpenAsync(server.Connection);
        var after = await other.TakeAsync("{k}", Minute);
        Assert.Null(after.Bytes);
        Assert.Equal(before.Lease.Split(':')[1], after.Lease.Split(':')[1]);
        await Eventually.TrueAsync(async () => await TryAsync(() => old.FindAsync(["{k}"])), "it is connected again");
        Assert.False(await old.KeepAsync("{k}", before.Lease, new CachedAnswer(1, [1]), Minute));
        Assert.Null(await old.TakeOverAsync("{k}", before, Minute));
        Assert.True(await other.KeepAsync("{k}", after.Lease, new CachedAnswer(2, [2]), Minute));
    }

    // The first is more than the client sends, the second more than this server takes; of each, nobody else waits for the lease.
    [Theory]
    [InlineData("1m", MemcachedStore.ValueBytesMax + 1)]
    [InlineData("512k", 700_000)]
    public async Task Answer_ThatIsTooLarge_IsNotKeptAndItsLeaseGoes(string itemMax, int bytes)
    {
        await using var server = await MemcachedServer.StartAsync("-I", itemMax);
        await using var store = await OpenAsync(server.Connection);
        var taken = await store.TakeAsync("{large}", Minute);
        Assert.False(await store.KeepAsync("{large}", taken.Lease, new CachedAnswer(1, new byte[bytes]), Minute));
        Assert.Equal(1, store.TooLarge);
        Assert.Null((await store.TakeAsync("{large}", Minute)).Bytes);

        // And the connection goes on.
        var small = await store.TakeAsync("{small}", Minute);
        Assert.True(await store.KeepAsync("{small}", small.Lease, new CachedAnswer(1, [1]), Minute));
    }

    [Fact]
    public async Task Answer_AsLargeAsItMayBe_IsReadBackWhole()
    {
        await using var server = await MemcachedServer.StartAsync();
        await using var store = await OpenAsync(server.Connection);
        var json = new byte[MemcachedStore.ValueBytesMax - CachedAnswer.HeadBytes];
        Random.Shared.NextBytes(json);
        var taken = await store.TakeAsync("{large}", Minute);
        Assert.True(await store.KeepAsync("{large}", taken.Lease, new CachedAnswer(7, json), Minute));
        Assert.All(await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => store.FindAsync(["{large}"]))), found => Assert.Equal(json, found[0]!.Json));
    }

    [Fact]
    public async Task TwoServers_OneDead_TheOtherSharesItsKeysAndDropsThem()
    {
        await using var dead = await MemcachedServer.StartAsync();
        await using var alive = await MemcachedServer.StartAsync();
        var text = $"{alive.Connection},127.0.0.1:{dead.Port}";
        var servers = MemcachedServers.TryParse(text)!;
        var keys = Enumerable.Range(0, 20).Select(i => $"{{c:fact:{i}}}").ToLookup(key => servers.All[servers.IndexOf(key)].Port);
        var (there, gone) = (keys[alive.Port].First(), keys[dead.Port].First());
        await using var store = await OpenAsync(text);
        foreach (var key in new[] { there, gone })
        {
            Assert.True(await store.KeepAsync(key, (await store.TakeAsync(key, Minute)).Lease, new CachedAnswer(1, [1]), Minute));
        }

        await dead.KillAsync();
        await Assert.ThrowsAsync<DependencyUnavailableException>(() => store.TakeAsync(gone, Minute));
        Assert.NotNull((await store.TakeAsync(there, Minute)).Bytes);

        // Not all are dropped, and the caller is told so; those that can be are.
        await Assert.ThrowsAsync<DependencyUnavailableException>(() => store.DropAsync([gone, there]));
        Assert.Null((await store.TakeAsync(there, Minute)).Bytes);

        // A node starts all the same, and the dead server is asked again when it is back.
        await using var late = await OpenAsync(text);
        Assert.Null((await late.FindAsync([there]))[0]);
        await dead.BeginAsync();
        await Eventually.TrueAsync(async () => await TryAsync(() => store.TakeAsync(gone, Minute)), "the dead one is back");
    }

    [Fact]
    public async Task Server_ThatHangs_IsAwayAndThenBack()
    {
        await using var server = await MemcachedServer.StartAsync();
        await using var store = await OpenAsync(server.Connection, TimeSpan.FromMilliseconds(500));
        Taken before = default;
        await Eventually.TrueAsync(async () => await TryAsync(async () => before = await store.TakeAsync("{k}", Minute)), "it answers");
        server.Process.Stop();
        await Eventually.TrueAsync(() => server.Process.IsFrozenAsync(), "it hangs");
        var refused = await Assert.ThrowsAsync<DependencyUnavailableException>(() => store.TakeAsync("{other}", Minute));
        Assert.Equal("memcached", refused.Dependency);
        server.Process.Continue();
        await Eventually.TrueAsync(async () => await TryAsync(() => store.FindAsync(["{k}"])), "it is back");

        // Over another connection, so the lease is worth nothing, though it is the same server.
        Assert.False(await store.KeepAsync("{k}", before.Lease, new CachedAnswer(1, [1]), Minute));
        Assert.Empty((await store.TakeAsync("{k}", Minute)).Bytes!);
    }

    // Thousands at once go over one connection; each gets the answer to its own question.
    [Fact]
    public async Task Answers_ToManyAtOnce_AreEachOnesOwn()
    {
        await using var server = await MemcachedServer.StartAsync();
        await using var store = await OpenAsync(server.Connection);
        await Task.WhenAll(Enumerable.Range(1, 5_000).Select(async i =>
        {
            var taken = await store.TakeAsync($"{{{i}}}", Minute);
            Assert.True(await store.KeepAsync($"{{{i}}}", taken.Lease, new CachedAnswer(i, Encoding.ASCII.GetBytes($"{i}")), Minute));
            var found = await store.TakeAsync($"{{{i}}}", Minute);
            Assert.Equal(i, CachedAnswer.FromBytes(found.Bytes)!.Version);
        }));
        await store.DropAsync([.. Enumerable.Range(1, 5_000).Select(i => $"{{{i}}}")]);
        Assert.All(await store.FindAsync([.. Enumerable.Range(1, 5_000).Select(i => $"{{{i}}}")]), Assert.Null);
    }

    [Theory]
    [InlineData("HD O77\r\n", "out of step")]
    [InlineData("HD\r\n", "out of step")]
    [InlineData("HD O1\r\nHD O3\r\n", "out of step")]
    [InlineData("VA 99999999 O1\r\n", "99999999")]
    [InlineData("VA 1 O1\r\nabc\r\n", "longer than it said")]
    [InlineData("-ERR unknown command\r\n", "needs memcached 1.6")]
    [InlineData("+", "too long")]
    [InlineData("", "closed")]
    public async Task Connection_ThatAnswersWrongly_IsGivenUpWithAllWhoWait(string answer, string says)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var connection = await MemcachedConnection.OpenAsync("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port, 1_000, TestContext.Current.CancellationToken);
        using (var peer = await listener.AcceptTcpClientAsync(TestContext.Current.CancellationToken))
        {
            var asked = connection.AskAsync([new("mg a"), new("mg b"), new("mg c")]);
            await peer.GetStream().ReadExactlyAsync(new byte[3], TestContext.Current.CancellationToken);
            if (answer.Length > 0)
            {
                await peer.GetStream().WriteAsync(Encoding.ASCII.GetBytes(answer == "+" ? new string('+', 3_000) : answer), TestContext.Current.CancellationToken);
                await connection.Ended.WaitAsync(Minute, TestContext.Current.CancellationToken);
            }
            else
            {
                peer.Client.Shutdown(SocketShutdown.Both);
            }

            Assert.True(await Record.ExceptionAsync(() => asked) is IOException or InvalidDataException);
        }

        await connection.Ended.WaitAsync(Minute, TestContext.Current.CancellationToken);
        Assert.False(connection.IsUp);
        Assert.Contains(says, connection.Failure, StringComparison.Ordinal);
        Assert.Contains(says, (await Record.ExceptionAsync(() => connection.AskAsync([new("mg d")])))!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_AtSomethingElseThanMemcached_IsRefused_AndAtNothingIsNot()
    {
        await using var redis = await RedisServer.StartAsync();
        var refused = await Assert.ThrowsAsync<DependencyUnavailableException>(() => OpenAsync($"memcached://{redis.Connection}"));
        Assert.Contains("memcached 1.6", refused.Message, StringComparison.Ordinal);

        // Without numbers every lease would be as good as every other.
        await using var unnumbered = await MemcachedServer.StartAsync("-C");
        refused = await Assert.ThrowsAsync<DependencyUnavailableException>(() => OpenAsync(unnumbered.Connection));
        Assert.Contains("without -C", refused.Message, StringComparison.Ordinal);

        await using var away = await OpenAsync($"memcached://127.0.0.1:{FreePort.Next()}");
        await Assert.ThrowsAsync<DependencyUnavailableException>(() => away.TakeAsync("{k}", Minute));
    }

    private static Task<MemcachedStore> OpenAsync(string connection, TimeSpan? callTimeMax = null) =>
        MemcachedStore.OpenAsync(MemcachedServers.TryParse(connection)!, callTimeMax ?? Patient, TimeProvider.System, NullLogger.Instance);

    private static async Task<bool> TryAsync(Func<Task> call)
    {
        try
        {
            await call();
            return true;
        }
        catch (DependencyUnavailableException)
        {
            return false;
        }
    }
}

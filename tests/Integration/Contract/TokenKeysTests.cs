using Dapper;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Platform.Http;
using Sluice.Platform.Sql;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Keys of tokens that several nodes find in one database.</summary>
public sealed class TokenKeysTests(Engines engines)
{
    private readonly FakeTimeProvider time = new(TimeProvider.System.GetUtcNow());

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.MariaDb)]
    public async Task Key_MadeAtOneNode_SignsAtEveryNodeAndOldTokensAreGoodUntilTheyExpire(Engine engine)
    {
        using var folder = new TempFolder();
        using var database = await OpenAsync(engine, folder);
        using KeysNode one = new(database, "the secret of both", time), other = new(database, "the secret of both", time);
        var old = one.Make("u-old");

        var made = await one.Keys.RotateAsync(endOthers: false);
        await other.Keys.LoadAsync();
        Assert.Equal(old.Split('.')[0], other.Make("u-1").Split('.')[0]); // It does not sign before every node has it.

        time.Advance(TimeSpan.FromSeconds(30));
        var next = other.Make("u-1");
        Assert.Equal(made!.Id, new Microsoft.IdentityModel.JsonWebTokens.JsonWebToken(next).Kid);
        Assert.Equal(("u-1", "u-old"), (one.Tokens.UserOf(next), one.Tokens.UserOf(old)));

        // A node that starts now has the same keys; by then the tokens of the first one have expired, and its key checks no more.
        time.Advance(UserTokens.LifetimeMax - TimeSpan.FromSeconds(1));
        var late = one.Make("u-late", TimeSpan.FromMinutes(1));
        using var fresh = new KeysNode(database, "the secret of both", time);
        await fresh.Keys.LoadAsync();
        Assert.Equal("u-late", fresh.Tokens.UserOf(late));
        var forgedWithTheOldKey = new UserTokens("the secret of both", time).Make("u-forged", time.GetUtcNow().AddDays(1));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(fresh.Tokens.UserOf(forgedWithTheOldKey));
        Assert.Equal([made.Id], (await one.Keys.ListAsync()).Select(key => key.Id));
    }

    [Fact]
    public async Task Key_ThatEndsTheOthers_EndsThemWhenItBeginsToSign()
    {
        using var folder = new TempFolder();
        using var database = await OpenAsync(Engine.Garnet, folder);
        using var node = new KeysNode(database, "secret", time);
        var (old, _) = (node.Make("u-1"), await node.Keys.RotateAsync(endOthers: false));
        time.Advance(TimeSpan.FromSeconds(30));
        var second = node.Make("u-2");
        Assert.Equal(("u-1", "u-2"), (node.Tokens.UserOf(old), node.Tokens.UserOf(second)));

        await node.Keys.RotateAsync(endOthers: true);
        Assert.Equal(("u-1", "u-2"), (node.Tokens.UserOf(old), node.Tokens.UserOf(second)));
        time.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal((null, null, "u-3"), (node.Tokens.UserOf(old), node.Tokens.UserOf(second), node.Tokens.UserOf(node.Make("u-3"))));
        Assert.Single(await node.Keys.ListAsync());
    }

    [Fact]
    public async Task Keys_AreBounded_AndEndingTheOthersMakesRoom()
    {
        using var folder = new TempFolder();
        using var database = await OpenAsync(Engine.Garnet, folder);
        using var node = new KeysNode(database, "secret", time);
        for (var i = 1; i < TokenKeys.KeysMax; i++)
        {
            Assert.NotNull(await node.Keys.RotateAsync(endOthers: false));
        }

        Assert.Null(await node.Keys.RotateAsync(endOthers: false));
        Assert.Equal(TokenKeys.KeysMax, (await node.Keys.ListAsync()).Count);
        Assert.NotNull(await node.Keys.RotateAsync(endOthers: true));
        time.Advance(TimeSpan.FromSeconds(30));
        Assert.NotNull(await node.Keys.RotateAsync(endOthers: false));
        Assert.Equal(2, (await node.Keys.ListAsync()).Count);
    }

    // SQL and the file are both needed: neither a backup of the one nor a copy of the other makes tokens.
    [Fact]
    public async Task Key_InSql_IsOfNoUseWithoutTheFile()
    {
        using var folder = new TempFolder();
        using var database = await OpenAsync(Engine.Garnet, folder);
        using KeysNode node = new(database, "secret", time), stranger = new(database, "another secret", time);
        await node.Keys.RotateAsync(endOthers: false);
        time.Advance(TimeSpan.FromSeconds(30));
        var token = node.Make("u-1");
        await stranger.Keys.LoadAsync();

        Assert.Null(stranger.Tokens.UserOf(token));

        // And a node whose token.key was replaced signs with that: what SQL says of the one before is not about it.
        var own = stranger.Make("u-2");
        Assert.Equal("u-2", stranger.Tokens.UserOf(own));
        Assert.Null(node.Tokens.UserOf(own));
        Assert.DoesNotContain("secret", string.Concat(await database.ReadAsync(connection => connection.QueryAsync<string>("SELECT sealed FROM token_keys"))), StringComparison.Ordinal);
    }

    private async Task<Database> OpenAsync(Engine engine, TempFolder folder)
    {
        var database = new Database((await engines.OpenAsync(engine)).Sql, folder.Path);
        Migrations.Run(database, typeof(Database).Assembly);
        return database;
    }

    /// <summary>What a node knows of keys.</summary>
    private sealed class KeysNode : IDisposable
    {
        private readonly TimeProvider time;

        public KeysNode(Database database, string secret, TimeProvider time)
        {
            this.time = time;
            Tokens = new UserTokens(secret, time);
            Keys = new TokenKeys(secret, Tokens, database, time, NullLogger<TokenKeys>.Instance);
        }

        public UserTokens Tokens { get; }

        public TokenKeys Keys { get; }

        public string Make(string user, TimeSpan? lifetime = null) => Tokens.Make(user, time.GetUtcNow() + (lifetime ?? TimeSpan.FromDays(30)));

        public void Dispose()
        {
            Keys.Dispose();
            Tokens.Dispose();
        }
    }
}

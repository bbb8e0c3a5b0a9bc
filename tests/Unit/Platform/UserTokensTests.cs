using System.Security.Cryptography;
using System.Text;
using CsCheck;
using Microsoft.Extensions.Time.Testing;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Sluice.Platform.Http;
using Xunit;

namespace Sluice.Tests.Unit.Platform;

public sealed class UserTokensTests : IDisposable
{
    private const string Secret = "a secret of at least thirty-two bytes";

    private readonly FakeTimeProvider time = new(new DateTimeOffset(2026, 7, 1, 12, 0, 0, TimeSpan.Zero));
    private readonly UserTokens tokens;

    public UserTokensTests() => tokens = new UserTokens(Secret, time);

    public void Dispose() => tokens.Dispose();

    [Fact]
    public void UserOf_ItsOwnToken_IsTheUser() => Gen.Char["abzABZ019_-.@"].Array[1, 64].Sample(chars =>
    {
        var user = new string(chars);
        Assert.Equal(user, tokens.UserOf(Make(user)));
    });

    [Fact]
    public async Task Make_IsATokenForEveryLibrary()
    {
        var result = await new JsonWebTokenHandler().ValidateTokenAsync(Make("u-1"), new TokenValidationParameters
        {
            ValidIssuer = "sluice", ValidAudience = "sluice", IssuerSigningKey = new SymmetricSecurityKey(Encoding.UTF8.GetBytes(Secret)),
            LifetimeValidator = (_, expires, _, _) => expires == time.GetUtcNow().AddHours(1).UtcDateTime,
        });
        Assert.True(result.IsValid, result.Exception?.Message);
        Assert.Equal("u-1", result.Claims["sub"]);
    }

    [Fact]
    public void UserOf_AnExpiredToken_IsNobody()
    {
        var token = Make("u-1");
        time.Advance(TimeSpan.FromHours(1));
        Assert.Null(tokens.UserOf(token));
    }

    // The verdict is remembered; it must not be for longer than the token lives.
    [Fact]
    public void UserOf_ATokenSeenBefore_IsNobodyOnceItExpires()
    {
        var token = Make("u-1");
        Assert.Equal("u-1", tokens.UserOf(token));
        time.Advance(TimeSpan.FromHours(1) - TimeSpan.FromSeconds(1));
        Assert.Equal("u-1", tokens.UserOf(token));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(tokens.UserOf(token));
    }

    [Fact]
    public void UserOf_AfterMoreTokensThanAreRemembered_StillReadsEach()
    {
        var many = Enumerable.Range(0, 60_000).Select(user => Make($"u-{user}")).ToList();
        for (var visit = 1; visit <= 3; visit++)
        {
            Assert.All(many, (token, i) => Assert.Equal($"u-{i}", tokens.UserOf(token)));
        }

        Assert.Equal("u-0", tokens.UserOf(many[0]));
    }

    [Fact]
    public void UserOf_ATokenWithOneCharacterChanged_IsNobody()
    {
        var token = Make("u-1");
        Gen.Select(Gen.Int[0, token.Length - 2], Gen.Char.AlphaNumeric).Sample((at, c) =>
        {
            // Not the last one: some of its bits are padding that every decoder drops.
            var changed = token.Remove(at, 1).Insert(at, $"{c}");
            Assert.Equal(changed == token ? "u-1" : null, tokens.UserOf(changed));
        });
    }

    [Theory]
    [InlineData("""{"alg":"none","typ":"JWT"}""")]
    [InlineData("""{"typ":"JWT","alg":"HS256"}""")]
    [InlineData("""{"alg":"HS512","typ":"JWT"}""")]
    [InlineData("""{"alg":"RS256","typ":"JWT"}""")]
    public void UserOf_AnyHeaderButOurs_IsNobody(string header)
    {
        var payload = Make("u-1").Split('.')[1];
        Assert.Null(tokens.UserOf(Sign($"{Base64UrlEncoder.Encode(header)}.{payload}", Secret)));
        Assert.Null(tokens.UserOf($"{Base64UrlEncoder.Encode(header)}.{payload}."));
    }

    [Fact]
    public void UserOf_ATokenOfAnotherKey_IsNobody()
    {
        using var other = new UserTokens("another secret of thirty-two bytes!", time);
        Assert.Null(tokens.UserOf(other.Make("u-1", time.GetUtcNow().AddHours(1))));
    }

    [Theory]
    [InlineData("""{"iss":"sluice","aud":"sluice","sub":"u-1"}""")]
    [InlineData("""{"iss":"sluice","aud":"sluice","exp":9999999999}""")]
    [InlineData("""{"iss":"other","aud":"sluice","sub":"u-1","exp":9999999999}""")]
    [InlineData("""{"iss":"sluice","aud":"other","sub":"u-1","exp":9999999999}""")]
    [InlineData("""{"iss":"sluice","aud":"sluice","sub":"u-1","exp":9999999999,"nbf":9999999999}""")]
    public void UserOf_ASignedTokenThatIsNotForUs_IsNobody(string payload) =>
        Assert.Null(tokens.UserOf(Sign($"{Make("u-1").Split('.')[0]}.{Base64UrlEncoder.Encode(payload)}", Secret)));

    [Fact]
    public void UserOf_ATokenTooLong_IsNobody()
    {
        var payload = $$"""{"iss":"sluice","aud":"sluice","sub":"u-1","exp":9999999999,"more":"{{new string('x', 400)}}"}""";
        Assert.Null(tokens.UserOf(Sign($"{Make("u-1").Split('.')[0]}.{Base64UrlEncoder.Encode(payload)}", Secret)));
    }

    [Fact]
    public void UserOf_AnyGarbage_IsNobody() => Gen.String.Sample(text => Assert.Null(tokens.UserOf(text)));

    [Theory]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData(".e30.")]
    [InlineData(".e30.!!!")]
    [InlineData(".e30.ü")]
    [InlineData(".!.AAAA")]
    [InlineData(".e30.AAAAA")]
    public void UserOf_GarbageAfterOurHeader_IsNobody(string rest) => Assert.Null(tokens.UserOf(Make("u-1").Split('.')[0] + rest));

    [Fact]
    public void UserOf_AnyAsciiAfterOurHeader_IsNobody()
    {
        var header = Make("u-1").Split('.')[0];
        Gen.Char[' ', '~'].Array[0, 200].Sample(rest => Assert.Null(tokens.UserOf($"{header}.{new string(rest)}")));
    }

    [Fact]
    public void Keys_OneAfterTheOther_SignFromTheirTimeAndCheckUntilTheirs()
    {
        var (first, before) = (Make("u-0"), time.GetUtcNow());
        TokenKey key1 = Key("k1", before.AddSeconds(30), before.AddMinutes(40)), key2 = Key("k2", before.AddMinutes(20), DateTimeOffset.MaxValue);
        tokens.Use([key2, key1], ownChecksUntil: before.AddMinutes(30));
        Assert.Equal(first.Split('.')[0], Make("u-0").Split('.')[0]); // k1 does not sign yet

        time.Advance(TimeSpan.FromSeconds(30));
        var second = Make("u-1");
        Assert.Equal("k1", new JsonWebToken(second).Kid);
        time.Advance(TimeSpan.FromMinutes(20));
        var third = Make("u-2");
        Assert.Equal("k2", new JsonWebToken(third).Kid);
        AssertUsers("u-0", "u-1", "u-2");

        time.Advance(TimeSpan.FromMinutes(10));
        AssertUsers(null, "u-1", "u-2");
        time.Advance(TimeSpan.FromMinutes(10));
        AssertUsers(null, null, "u-2");

        // Three times: the second visit is remembered, the third one finds it.
        void AssertUsers(params string?[] users)
        {
            for (var visit = 1; visit <= 3; visit++)
            {
                Assert.Equal(users, new[] { first, second, third }.Select(token => tokens.UserOf(token)));
            }
        }
    }

    [Fact]
    public void Key_ThatIsEnded_EndsWhatWasRememberedOfItsTokens()
    {
        var key = Key("k1", time.GetUtcNow(), DateTimeOffset.MaxValue);
        tokens.Use([key], DateTimeOffset.MaxValue);
        var token = Make("u-1");
        Assert.All(Enumerable.Range(0, 3), _ => Assert.Equal("u-1", tokens.UserOf(token)));

        tokens.Use([key with { ChecksUntil = time.GetUtcNow().AddSeconds(30) }], DateTimeOffset.MaxValue);
        Assert.All(Enumerable.Range(0, 3), _ => Assert.Equal("u-1", tokens.UserOf(token)));
        time.Advance(TimeSpan.FromSeconds(30));
        Assert.Null(tokens.UserOf(token));
        tokens.Use([], DateTimeOffset.MaxValue);
        Assert.Null(tokens.UserOf(token));
    }

    [Fact]
    public void UserOf_ATokenThatNamesAnotherKeyThanItsOwn_IsNobody()
    {
        TokenKey one = Key("k1", time.GetUtcNow(), DateTimeOffset.MaxValue), other = Key("k2", time.GetUtcNow(), DateTimeOffset.MaxValue);
        tokens.Use([one, other], DateTimeOffset.MaxValue);
        var payload = Make("u-1").Split('.')[1];
        foreach (var (id, key) in new[] { ("k1", other), ("k2", one), ("k3", one), ("", one) })
        {
            var header = id.Length == 0 ? """{"alg":"HS256","typ":"JWT"}""" : $$"""{"alg":"HS256","typ":"JWT","kid":"{{id}}"}""";
            Assert.Null(tokens.UserOf(Sign($"{Base64UrlEncoder.Encode(header)}.{payload}", key.Secret)));
        }
    }

    private static TokenKey Key(string id, DateTimeOffset signsFrom, DateTimeOffset checksUntil) => new(id, SHA256.HashData(Encoding.ASCII.GetBytes(id)), signsFrom, checksUntil);

    private static string Sign(string signed, byte[] secret) => $"{signed}.{Base64UrlEncoder.Encode(HMACSHA256.HashData(secret, Encoding.ASCII.GetBytes(signed)))}";

    private static string Sign(string signed, string secret) =>
        $"{signed}.{Base64UrlEncoder.Encode(HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), Encoding.ASCII.GetBytes(signed)))}";

    private string Make(string user) => tokens.Make(user, time.GetUtcNow().AddHours(1));
}

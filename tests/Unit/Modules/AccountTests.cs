using Sluice.Modules.Accounts;
using Sluice.Platform.Http;

namespace Sluice.Tests.Unit.Modules;

public sealed class AccountTests
{
    private static readonly AccountsOptions Cheap = new() { PasswordIterations = 100_000, PasswordsAtOnceMax = 1, PasswordsWaitingMax = 0 };

    [Theory]
    [InlineData("a@b", "a@b")]
    [InlineData("  Ann.B+sale@Example.ORG ", "ann.b+sale@example.org")]
    [InlineData("o'hara@xn--bcher-kva.example", "o'hara@xn--bcher-kva.example")]
    public void Email_OfTheUsualForm_IsFoundInSmallLetters(string text, string expected)
    {
        Assert.True(Account.TryEmail(text, out var email, out var key));
        Assert.Equal((text.Trim(), expected), (email, key));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("@")]
    [InlineData("a@")]
    [InlineData("@b")]
    [InlineData("ab")]
    [InlineData("a@b@c")]
    [InlineData("a b@c")]
    [InlineData("a@b c")]
    [InlineData("a\n@b")]
    [InlineData("a@b\u0000")]
    [InlineData(".a@b")]
    [InlineData("a.@b")]
    [InlineData("a..b@c")]
    [InlineData("a@.b")]
    [InlineData("a@b.")]
    [InlineData("a@b..c")]
    [InlineData("a@b_c")]
    [InlineData("ä@b")]
    [InlineData("a@Ä")]
    [InlineData("\"a b\"@c")]
    [InlineData("\u212A@b")] // the Kelvin sign, which is a k in small letters
    public void Email_OfAnotherForm_IsNone(string? text) => Assert.False(Account.TryEmail(text, out _, out _));

    [Fact]
    public void Email_IsBounded()
    {
        Assert.True(Account.TryEmail($"{new string('a', 64)}@{new string('b', 189)}", out _, out _));
        Assert.False(Account.TryEmail($"{new string('a', 64)}@{new string('b', 190)}", out _, out _));
        Assert.False(Account.TryEmail($"{new string('a', 65)}@b", out _, out _));
    }

    [Theory]
    [InlineData("de", true)]
    [InlineData("zh-Hant-TW", true)]
    [InlineData("d", false)]
    [InlineData("german", false)]
    [InlineData("de_DE", false)]
    [InlineData("de-", false)]
    [InlineData("-de", false)]
    [InlineData("de-toolongtobe", false)]
    public void Locale_IsATagByItsForm(string text, bool isOne) => Assert.Equal(isOne, Account.IsLocale(text));

    [Fact]
    public async Task Check_OfAHashWithFewerRounds_GivesTheOneToKeepInstead()
    {
        using var before = new Passwords(Cheap);
        using var now = new Passwords(new AccountsOptions { PasswordIterations = 110_000 });
        var old = await before.HashAsync("a password");

        Assert.Equal((true, null), await before.CheckAsync(old, "a password"));
        Assert.Equal((false, null), await now.CheckAsync(old, "another one"));
        var (isRight, newHash) = await now.CheckAsync(old, "a password");
        Assert.True(isRight);
        Assert.Equal((true, null), await now.CheckAsync(newHash, "a password"));
    }

    // One that is begun at once with it finds the place taken: the work is really done, also where there is nothing to compare with.
    [Fact]
    public async Task Check_OfNobody_TakesAPlaceAmongThoseThatAreHashed()
    {
        using var passwords = new Passwords(Cheap);
        var first = passwords.CheckAsync(hash: null, "a password");

        var refused = await Assert.ThrowsAsync<ProblemException>(() => passwords.CheckAsync(hash: null, "a password"));

        Assert.Equal((503, "overloaded"), (refused.Problem.Status, refused.Problem.Code));
        Assert.NotNull(refused.Problem.RetryAfter);
        Assert.Equal((false, null), await first);
        Assert.Equal((false, null), await passwords.CheckAsync(hash: null, "a password"));
    }

    [Fact]
    public async Task Hash_OfMoreThanMayWait_IsRefusedAndTheOthersAreDone()
    {
        using var passwords = new Passwords(new AccountsOptions { PasswordIterations = 100_000, PasswordsAtOnceMax = 1, PasswordsWaitingMax = 3 });
        var asked = Enumerable.Range(0, 10).Select(i => passwords.HashAsync($"password {i}")).ToList();

        await Assert.ThrowsAsync<ProblemException>(() => Task.WhenAll(asked));

        Assert.Equal([.. Enumerable.Repeat(true, 4), .. Enumerable.Repeat(false, 6)], asked.Select(task => task.IsCompletedSuccessfully));
    }
}

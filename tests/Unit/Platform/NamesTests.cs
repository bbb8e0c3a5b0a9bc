using CsCheck;
using Sluice.Platform.Http;
using Xunit;

namespace Sluice.Tests.Unit.Platform;

public sealed class NamesTests
{
    private const string Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    // The characters that mean something in keys, scripts, queue entries, headers, paths and logs.
    private static readonly Gen<char> Separator = Gen.Char[",;:{}[]()*?\\/'\"`$%&|<>!#+=~^ \t\r\n\0\u00e4\u0130\u202e"];

    [Fact]
    public void IsUserId_OfItsAlphabet_IsTrue() => Gen.Char[Letters + "_-.@"].Array[1, 64].Sample(chars => Assert.True(Names.IsUserId(new string(chars))));

    [Fact]
    public void IsUserId_WithOneSeparator_IsFalse() => WithOneSeparator(Letters + "_-.@", 0, 63, text => Assert.False(Names.IsUserId(text)));

    [Fact]
    public void IsUserId_OfTheWrongLength_IsFalse() => Assert.All([null, "", new string('a', 65)], text => Assert.False(Names.IsUserId(text)));

    [Fact]
    public void IsIdempotencyKey_OfItsAlphabet_IsTrue() => Gen.Char[Letters + "_-"].Array[16, 64].Sample(chars => Assert.True(Names.IsIdempotencyKey(new string(chars))));

    [Fact]
    public void IsIdempotencyKey_WithOneSeparator_IsFalse() => WithOneSeparator(Letters, 16, 63, text => Assert.False(Names.IsIdempotencyKey(text)));

    [Fact]
    public void IsIdempotencyKey_OfTheWrongLength_IsFalse() => Assert.All([null, "", new string('a', 15), new string('a', 65)], text => Assert.False(Names.IsIdempotencyKey(text)));

    [Fact]
    public void IsSku_AsAPath_IsFalse() => Assert.All([".", "..", ".hidden", "a/b", "a\\b", "a@b", ""], text => Assert.False(Names.IsSku(text)));

    [Fact]
    public void IsSku_OfItsAlphabet_IsTrue() => Assert.All(["kettle", "kettle-2.0_XL", "7"], text => Assert.True(Names.IsSku(text)));

    [Fact]
    public void TryId_AnyPositiveNumber_ComesBack() => Gen.Long[1, long.MaxValue].Sample(id =>
    {
        Assert.True(Names.TryId(Names.Id(id), out var back));
        Assert.Equal(id, back);
    });

    [Fact]
    public void TryId_AnythingElse_IsRefused() => Assert.All(
        [null, "", "0", "01", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "9223372036854775808", "99999999999999999999", "\u0661"], text => Assert.False(Names.TryId(text, out _)));

    [Fact]
    public void TryTime_WithItsOffset_IsThatMoment() => Gen.Select(Gen.Long[1_577_836_800, 2_840_140_799], Gen.Int[-12, 12]).Sample((seconds, hours) =>
    {
        var moment = DateTimeOffset.FromUnixTimeSeconds(seconds).ToOffset(TimeSpan.FromHours(hours));
        if (moment.Year is >= 2020 and < 2060)
        {
            Assert.True(Names.TryTime(moment.ToString("yyyy-MM-dd'T'HH:mm:sszzz"), out var back));
            Assert.Equal(moment, back);
        }
    });

    [Theory]
    [InlineData("2026-07-01T12:00:00")]
    [InlineData("2026-07-01T12:00:00.000")]
    [InlineData("2026-07-01 12:00:00Z")]
    [InlineData("2026-07-01")]
    [InlineData("1999-07-01T12:00:00Z")]
    [InlineData("2060-01-01T00:00:00Z")]
    [InlineData("2026-13-01T12:00:00Z")]
    [InlineData("2026-02-30T12:00:00Z")]
    [InlineData("tomorrow, at about noonZ")]
    [InlineData(null)]
    public void TryTime_WithoutOffsetOrOutOfReason_IsRefused(string? text) => Assert.False(Names.TryTime(text, out _));

    [Theory]
    [InlineData("PT15M", true)]
    [InlineData("PT1M", true)]
    [InlineData("PT1H", true)]
    [InlineData("PT59S", false)]
    [InlineData("PT61M", false)]
    [InlineData("-PT15M", false)]
    [InlineData("15", false)]
    [InlineData("P", false)]
    [InlineData("P99999999999D", false)]
    [InlineData(null, false)]
    public void TryDuration_WithinItsBounds_IsTaken(string? text, bool isTaken) => Assert.Equal(isTaken, Names.TryDuration(text, TimeSpan.FromMinutes(1), TimeSpan.FromHours(1), out _));

    [Theory]
    [InlineData("Kettle, 1 l", true)]
    [InlineData("电热水壶 🫖", true)]
    [InlineData("", false)]
    [InlineData("   ", false)]
    [InlineData("one\nline", false)]
    [InlineData("left\u202eright", false)]
    [InlineData("iso\u2066late", false)]
    [InlineData("more than twenty characters", false)]
    public void IsText_ThatPeopleCanRead_IsTrue(string text, bool isText) => Assert.Equal(isText, Names.IsText(text, charsMax: 20));

    // Not as test data: half a character does not survive the way through the runner.
    [Fact]
    public void IsText_WithHalfACharacter_IsFalse() => Assert.All(["a\ud83e", "\uded6a", "\uded6\ud83e"], text => Assert.False(Names.IsText(text, 20)));

    [Fact]
    public void IsCurrency_OnlyByItsForm() => Assert.All(
        new Dictionary<string, bool> { ["EUR"] = true, ["eur"] = false, ["EU"] = false, ["EURO"] = false, ["E\u00dcR"] = false }, pair => Assert.Equal(pair.Value, Names.IsCurrency(pair.Key)));

    private static void WithOneSeparator(string alphabet, int min, int max, Action<string> check) =>
        Gen.Select(Gen.Char[alphabet].Array[min, max], Separator, Gen.Int[0, max]).Sample((chars, separator, at) =>
            check(new string(chars).Insert(Math.Min(at, chars.Length), $"{separator}")));
}

using CsCheck;
using Sluice.Platform.Pools;
using Xunit;

namespace Sluice.Tests.Unit.Platform;

public sealed class ClaimEntryTests
{
    private const string UserChars = "ABCXYZabcxyz0189_-.@", KeyChars = "ABCXYZabcxyz0189_-";

    private static readonly Gen<Claim> AnyClaim = Gen.Select(
        Gen.Long[0, long.MaxValue], Gen.Char[UserChars].Array[1, 64], Gen.Int[1, int.MaxValue], Gen.Char[KeyChars].Array[1, 64].Null(), Gen.Char["AZaz09"].Array[1, 32].Null(),
        (id, user, units, key, terms) => new Claim(id, 7, new string(user), units, key is null ? null : new string(key), terms is null ? null : new string(terms)));

    [Fact]
    public void Queue_AnyClaim_ComesBackAsItWas() => AnyClaim.Sample(claim =>
    {
        Assert.True(ClaimEntry.TryFromQueue(7, ClaimEntry.ToQueue(claim), out var back));
        Assert.Equal(claim, back);
    });

    [Fact]
    public void Holder_AnyClaims_ComeBackInOrder() => Gen.Select(AnyClaim, Gen.Bool).Array[0, 5].Sample(claims =>
    {
        var text = string.Concat(claims.Select(held => ClaimEntry.ToHolder(held.Item1.Id, held.Item1.Units, held.Item1.IdempotencyKey, held.Item2, held.Item1.Terms)));
        Assert.Equal(claims.Select(held => (held.Item1.Id, held.Item1.Units, held.Item1.IdempotencyKey ?? "", held.Item2)), ClaimEntry.FromHolder(text));
    });

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("1")]
    [InlineData("1,u-1,5,1")]
    [InlineData("1,u-1,5,1,key,more")]
    [InlineData("2,u-1,5,1,key")]
    [InlineData("2,u-1,5,1,key,")]
    [InlineData("2,u-1,5,1,key,4900;EUR")]
    [InlineData("2,u-1,5,1,key,4900EUR4900EUR4900EUR4900EUR12345")]
    [InlineData("2,u-1,5,1,key,4900EUR,more")]
    [InlineData("3,u-1,5,1,key,4900EUR")]
    [InlineData("1,,5,1,key")]
    [InlineData("1,u-1,-5,1,key")]
    [InlineData("1,u-1, 5,1,key")]
    [InlineData("1,u-1,five,1,key")]
    [InlineData("1,u-1,5,0,key")]
    [InlineData("1,u-1,5,-1,key")]
    [InlineData("1,u-1,5,1.5,key")]
    [InlineData("1,u-1,5,99999999999,key")]
    [InlineData("1,u-1,99999999999999999999,1,key")]
    public void Queue_WhatNoScriptCanHaveWritten_IsRefused(string? entry) => Assert.False(ClaimEntry.TryFromQueue(7, entry, out _));

    [Fact]
    public void Queue_UserOrKeyTooLong_IsRefused()
    {
        Assert.False(ClaimEntry.TryFromQueue(7, $"1,{new string('u', 65)},5,1,", out _));
        Assert.False(ClaimEntry.TryFromQueue(7, $"1,u,5,1,{new string('k', 65)}", out _));
    }

    [Fact]
    public void Queue_AnyGarbage_IsRefusedWithoutAnException() => Gen.String.Where(text => text.Count(c => c == ',') is not (4 or 5)).Sample(text => Assert.False(ClaimEntry.TryFromQueue(7, text, out _)));
}

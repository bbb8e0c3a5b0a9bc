using System.Reflection;
using System.Text.RegularExpressions;
using Sluice.Platform.Redis;

namespace Sluice.Tests.Integration.Contract;

/// <summary>What must be true of the scripts' text: both rules cost lost or doubled units, or a hanging server, when they were broken in trials.</summary>
public sealed partial class ScriptSourceTests
{
    public static TheoryData<string> Scripts =>
        [.. typeof(RedisScript).Assembly.GetManifestResourceNames().Where(name => name.EndsWith(".lua", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];

    [Fact]
    public void Scripts_AreAllFound() =>
        Assert.Equal(["Acknowledge.lua", "Admit.lua", "Claim.lua", "Configure.lua", "HandIn.lua", "Keep.lua", "Lease.lua", "MoveHead.lua", "Rebuild.lua", "Release.lua", "SetAside.lua"], Scripts.Select(script => script.Data));

    // An undeclared key is not locked by Garnet: a trial sold 607 units of 500. In a cluster it may live on another node.
    [Theory]
    [MemberData(nameof(Scripts))]
    public void Script_EveryCall_TouchesADeclaredKeyOnly(string script)
    {
        var code = Comment.Replace(RedisScript.Load(script).Text, "");
        var calls = Call.Matches(code);
        Assert.Equal(Regex.Count(code, @"redis\s*\.\s*p?call"), calls.Count);
        Assert.All(calls, call => Assert.True(
            call.Groups["command"].Value == "TIME" || call.Groups["key"].Success, $"{script}: {call.Value} … does not name KEYS[n] as its key."));
    }

    // A second name for redis.call, or code made at run time, would pass by the check above.
    [Theory]
    [MemberData(nameof(Scripts))]
    public void Script_HasNoOtherWayToTheServer(string script) =>
        Assert.DoesNotMatch(@"loadstring|\bload\s*\(|\b_G\b|getfenv|redis\s*\[|=\s*redis\b(?!\.call\()|redis\.call\s*[^(\s]", Comment.Replace(RedisScript.Load(script).Text, ""));

    // EVAL inside MULTI hangs Garnet's session and its keys for good. StackExchange.Redis sends MULTI only for these two.
    [Fact]
    public void Source_NeverOpensATransaction_SoNoScriptRunsInsideMulti()
    {
        var sources = Directory.EnumerateFiles(Path.Combine(Programs.Root, "src"), "*.cs", SearchOption.AllDirectories).ToList();
        Assert.NotEmpty(sources);
        Assert.All(sources, source => Assert.DoesNotMatch(@"\.CreateTransaction\s*\(|""MULTI""", File.ReadAllText(source)));
    }

    [GeneratedRegex("--.*")]
    private static partial Regex Comment { get; }

    [GeneratedRegex(@"redis\.call\('(?<command>[A-Z]+)'(, (?<key>KEYS\[\d\]))?[,)]")]
    private static partial Regex Call { get; }
}

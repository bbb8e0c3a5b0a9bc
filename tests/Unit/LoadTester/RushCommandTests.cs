using Sluice.LoadTester;
using Xunit;

namespace Sluice.Tests.Unit.LoadTester;

public sealed class RushCommandTests
{
    private const string Minimal = "--url http://127.0.0.1:8080 --sale 7301 --api-key abc";

    [Fact]
    public void Read_MinimalCommand_HasTheDocumentedDefaults()
    {
        var options = Read(Minimal).Options!;
        Assert.Equal((20_000, RushShape.Burst, TimeSpan.FromSeconds(10), 64), (options.Buyers, options.Shape, options.Duration, options.Connections));
        Assert.Null(options.Exclusive);
        Assert.False(options.OpenAtStart);
    }

    [Theory]
    [InlineData("--buyers 1000 --rate 500", 1_000, 2)]
    [InlineData("--rate 500 --duration 60", 30_000, 60)]
    [InlineData("--buyers 1000 --duration 4", 1_000, 4)]
    [InlineData("--rate 4000", 20_000, 5)]
    [InlineData("--duration 3", 20_000, 3)]
    public void Read_TwoOfBuyersRateDuration_GiveTheThird(string more, int buyers, double seconds)
    {
        var options = Read($"{Minimal} {more}").Options!;
        Assert.Equal((buyers, TimeSpan.FromSeconds(seconds)), (options.Buyers, options.Duration));
    }

    [Theory]
    [InlineData("--buyers 10 --rate 5 --duration 2", "Give two")]
    [InlineData("--buyers 0", "1 to 200,000")]
    [InlineData("--buyers 200001", "1 to 200,000")]
    [InlineData("--rate 50000 --duration 100", "1 to 200,000")]
    [InlineData("--rate 0", "--rate")]
    [InlineData("--rate NaN", "--rate")]
    [InlineData("--rate 50001", "--rate")]
    [InlineData("--duration 0", "last 0 s")]
    [InlineData("--duration NaN", "last")]
    [InlineData("--duration 3601", "3,600")]
    [InlineData("--connections 0", "--connections")]
    [InlineData("--connections 1025", "--connections")]
    [InlineData("--early -0.1", "shares")]
    [InlineData("--early 0.6 --late 0.6", "together at most 1")]
    [InlineData("--late NaN", "shares")]
    [InlineData("--settle-timeout 0", "--settle-timeout")]
    [InlineData("--settle-timeout 601", "--settle-timeout")]
    [InlineData("--report /no-such-folder/report.html", "does not exist")]
    [InlineData("--api-key-file x", "not both")]
    public void Read_OutOfBounds_SaysWhich(string more, string expected)
    {
        var (options, error) = Read($"{Minimal} {more}");
        Assert.Null(options);
        Assert.Contains(expected, error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--url ftp://127.0.0.1 --sale 1 --api-key a", "--url")]
    [InlineData("--url http://127.0.0.1/shop --sale 1 --api-key a", "--url")]
    [InlineData("--url nowhere --sale 1 --api-key a", "--url")]
    [InlineData("--url http://127.0.0.1 --sale a/b --api-key a", "--sale")]
    [InlineData("--url http://127.0.0.1 --sale 1", "SLUICE_API_KEY")]
    [InlineData("--url http://127.0.0.1 --sale 1 --api-key-file no-such.key", "cannot be read")]
    public void Read_WrongTarget_SaysWhatIsWrong(string line, string expected) => Assert.Contains(expected, Read(line).Error, StringComparison.Ordinal);

    [Fact]
    public void Read_KeyFromTheEnvironment_IsUsedWhenNoneIsGiven()
    {
        Assert.Equal("fromenv", Read("--url http://127.0.0.1 --sale 1", "fromenv\n").Options!.ApiKey);
        Assert.Equal("abc", Read(Minimal, "fromenv").Options!.ApiKey);
    }

    [Fact]
    public void Read_CommandLineForTheReport_DoesNotShowTheKey()
    {
        var options = Read(Minimal.Replace("abc", "very-secret", StringComparison.Ordinal)).Options!;
        Assert.DoesNotContain("very-secret", options.CommandLine, StringComparison.Ordinal);
        Assert.Contains("--sale 7301", options.CommandLine, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--sale 7301 --api-key a")]
    [InlineData("--url http://127.0.0.1 --sale 1 --api-key a --shape wave")]
    [InlineData("--url http://127.0.0.1 --sale 1 --api-key a --no-such-option")]
    [InlineData("--url http://127.0.0.1 --sale 1 --api-key a --buyers many")]
    public void Parse_UnknownOrMissing_IsAnError(string line) => Assert.NotEmpty(Parse(new RushCommand(), line).Errors);

    private static (RushOptions? Options, string? Error) Read(string line, string? environmentKey = null)
    {
        var command = new RushCommand();
        return command.Read(Parse(command, line), environmentKey);
    }

    private static System.CommandLine.ParseResult Parse(RushCommand command, string line) =>
        command.Build(_ => Task.FromResult(0)).Parse(line.Split(' '));
}

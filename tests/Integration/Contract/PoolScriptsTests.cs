using System.Globalization;
using CsCheck;

namespace Sluice.Tests.Integration.Contract;

/// <summary>
/// Every script against the plain model, on every engine. More histories: <c>SLUICE_TEST_HISTORIES=100000</c>. A failure prints the smallest history that
/// was found and the seed; <c>CsCheck_Seed</c> plays it again.
/// </summary>
public sealed class PoolScriptsTests(Engines engines)
{
    private static readonly int Histories = int.TryParse(Environment.GetEnvironmentVariable("SLUICE_TEST_HISTORIES"), CultureInfo.InvariantCulture, out var more) ? more : 2_000;

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    public async Task Scripts_OnRandomHistories_AgreeWithTheModel(Engine engine)
    {
        var redis = await engines.OpenAsync(engine);
        await PoolPlayer.TeachAsync(redis);
        await PoolHistory.Any.SampleAsync(history => new PoolPlayer(redis, Engines.NextPoolId()).PlayAsync(history), iter: Histories, threads: 8);
    }
}

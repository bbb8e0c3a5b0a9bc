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

    // A holder's entry is read by every claim of that user: it must not grow without end. Random histories are too short to get there.
    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    public async Task Scripts_WhenAUserClaimsAndCancelsWithoutEnd_AgreeOnWhereItEnds(Engine engine)
    {
        var redis = (await engines.OpenAsync(engine)).Redis;
        await PoolPlayer.TeachAsync(redis);
        var steps = Enumerable.Range(0, 36).SelectMany(n => new Step[]
        {
            new ClaimStep(OtherLife: false, LagMax: 1_000, [(User: 0, Units: 1, Key: 0)]),
            new ReleaseStep(OtherLife: false, [(User: 0, Nth: n)]),
        });
        await new PoolPlayer(redis, Engines.NextPoolId()).PlayAsync(new PoolHistory(IsThere: true, Capacity: 6, Limit: 1, [.. steps]));
    }

    [Theory]
    [InlineData(Engine.Garnet)]
    [InlineData(Engine.Redis)]
    [InlineData(Engine.Sentinel)]
    [InlineData(Engine.RedisCluster)]
    public async Task Scripts_OnRandomHistories_AgreeWithTheModel(Engine engine)
    {
        var redis = (await engines.OpenAsync(engine)).Redis;
        await PoolPlayer.TeachAsync(redis);
        await PoolHistory.Any.SampleAsync(history => new PoolPlayer(redis, Engines.NextPoolId()).PlayAsync(history), iter: Histories, threads: 8);
    }
}

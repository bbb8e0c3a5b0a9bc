using System.Globalization;

namespace Sluice.Tests.Integration.Failure;

/// <summary>Drills that load the machine while they kill, stop or starve real processes: one at a time, and nothing else beside them. The others bear neighbours.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class Drills
{
    public const string Name = "Drills";

    /// <summary>Buyers of a drill double-click far faster than people; the rate limit has its own tests.</summary>
    public static readonly IReadOnlyList<string> NoRateLimit = ["Admission:ClaimsPerUserPerSecond=10000", "Admission:ClaimsPerUserBurst=10000"];

    /// <summary>The seed of this run: SLUICE_TEST_SEED, or a new one. Each drill prints it.</summary>
    public static int Seed { get; } =
        int.TryParse(Environment.GetEnvironmentVariable("SLUICE_TEST_SEED"), NumberStyles.None, CultureInfo.InvariantCulture, out var seed) ? seed : Random.Shared.Next(1, 1_000_000);

    /// <summary>SLUICE_TEST_ALL=1: every case of the longest drills. Else each thing that a case differs in once.</summary>
    public static bool RunsAll { get; } = Environment.GetEnvironmentVariable("SLUICE_TEST_ALL") == "1";

    /// <summary>Rounds of the random kills: SLUICE_TEST_KILL_ROUNDS, at least <paramref name="atLeast"/>.</summary>
    public static int KillRounds(int atLeast) =>
        int.TryParse(Environment.GetEnvironmentVariable("SLUICE_TEST_KILL_ROUNDS"), NumberStyles.None, CultureInfo.InvariantCulture, out var rounds) ? Math.Max(rounds, atLeast) : atLeast;

    /// <summary>The environment that arms one fault point of a server.</summary>
    public static IReadOnlyDictionary<string, string> Fault(string point, string what, int at) =>
        new Dictionary<string, string>(StringComparer.Ordinal) { ["SLUICE_FAULT"] = string.Create(CultureInfo.InvariantCulture, $"{point}:{what}:{at}") };

    /// <summary>A moment chosen by chance: when to kill, never how long to wait for something.</summary>
    public static Task MomentAsync(Random random, int msMax) => Task.Delay(TimeSpan.FromMilliseconds(random.Next(msMax)), TimeProvider.System);
}

namespace Sluice.Bench.Runner;

/// <summary>Where the programs are, seen from the root of the repository.</summary>
internal sealed class Layout
{
    public Layout(string root)
    {
        Root = root;
        // Another build can be measured with the same bench.
        Server = Environment.GetEnvironmentVariable("SLUICE_BENCH_SERVER") ?? Path.Combine(root, "artifacts/bin/Sluice.Host/release/sluice.dll");
        Rush = Path.Combine(root, "artifacts/bin/Sluice.LoadTester/release/sluice-rush.dll");
        Baseline = Path.Combine(root, "artifacts/bin/Sluice.Bench.Baseline/release/sluice-baseline.dll");
        Scripts = Path.Combine(root, "bench/wrk");
        Results = Path.Combine(root, "bench/results");
    }

    public string Root { get; }
    public string Server { get; }
    public string Rush { get; }
    public string Baseline { get; }
    public string Scripts { get; }
    public string Results { get; }

    public static Layout Find() => new(Programs.Root);
}

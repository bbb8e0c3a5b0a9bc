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

    public static Layout Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Sluice.slnx"))) return new Layout(folder.FullName);
        }

        throw new BenchException("Sluice.slnx was not found above this program: run it from its repository.");
    }
}

/// <summary>A folder for one server's data or one run's files; gone at the end.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("sluice-bench-").FullName;

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

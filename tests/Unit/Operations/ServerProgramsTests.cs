using Sluice.Operations.Clusters;
using Sluice.Platform.Hosting;

namespace Sluice.Tests.Unit.Operations;

public sealed class ServerProgramsTests
{
    [Fact]
    public void Demand_WhenServersAreMissing_NamesTheOneLineThatInstallsThem()
    {
        using var folder = new Folder();
        File.WriteAllText(Path.Combine(folder.Path, "redis-server"), "");
        File.WriteAllText(Path.Combine(folder.Path, "setsid"), "");
        var error = Assert.Throws<DependencyUnavailableException>(() => ServerPrograms.Demand(ClusterSql.Single, [folder.Path]));
        Assert.Contains("mariadbd, mariadb-install-db, nginx are not installed. Nothing was started.", error.Message, StringComparison.Ordinal);
        Assert.Contains("sudo apt-get install --no-install-recommends mariadb-server nginx-light", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("haproxy", error.Message, StringComparison.Ordinal);
        error = Assert.Throws<DependencyUnavailableException>(() => ServerPrograms.Demand(ClusterSql.Galera, [folder.Path]));
        Assert.Contains("mariadb-backup socat haproxy", error.Message, StringComparison.Ordinal);
    }

    private sealed class Folder : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("sluice-test-").FullName;

        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}

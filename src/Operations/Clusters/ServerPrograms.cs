using Sluice.Platform.Hosting;

namespace Sluice.Operations.Clusters;

/// <summary>The programs of other people that a cluster runs. Sluice installs none of them.</summary>
internal static class ServerPrograms
{
    // Debian puts servers where no ordinary user's PATH leads.
    private static readonly string[] Folders = [.. (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries), "/usr/local/sbin", "/usr/sbin", "/sbin"];

    private static readonly (string Program, string Package)[] Needed =
        [("redis-server", "redis-server"), ("mariadbd", "mariadb-server"), ("mariadb-install-db", "mariadb-server"), ("nginx", "nginx-light"), ("setsid", "util-linux")];

    // Galera itself, the copy that a node takes from another one, and the proxy that knows the writer.
    private static readonly (string Program, string Package)[] NeededForGalera =
        [("/usr/lib/galera/libgalera_smm.so", "galera-4"), ("mariadb-backup", "mariadb-backup"), ("socat", "socat"), ("haproxy", "haproxy")];

    /// <exception cref="DependencyUnavailableException">Some are missing; it names the one line that installs them.</exception>
    public static void Demand(ClusterSql sql) => Demand(sql, Folders);

    internal static void Demand(ClusterSql sql, IReadOnlyList<string> folders)
    {
        if (!OperatingSystem.IsLinux())
        {
            throw new DependencyUnavailableException("cluster", "needs Linux: it knows its processes by /proc.");
        }

        var missing = Needed.Concat(sql == ClusterSql.Galera ? NeededForGalera : []).Where(each => TryFind(each.Program, folders) is null).ToList();
        if (missing.Count > 0)
        {
            throw new DependencyUnavailableException(
                "cluster",
                $"{string.Join(", ", missing.Select(each => Path.GetFileName(each.Program)))} {(missing.Count == 1 ? "is" : "are")} not installed. Nothing was started. On Debian and Ubuntu:{Environment.NewLine}" +
                $"  sudo apt-get install --no-install-recommends {string.Join(' ', missing.Select(each => each.Package).Distinct(StringComparer.Ordinal))}");
        }
    }

    public static string Find(string program) => TryFind(program, Folders) ?? throw new DependencyUnavailableException("cluster", $"{program} is not installed.");

    private static string? TryFind(string program, IReadOnlyList<string> folders) => folders.Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists);
}

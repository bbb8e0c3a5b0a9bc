using System.Diagnostics;
using System.Globalization;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;

namespace Sluice.Operations.Clusters;

/// <summary>A MariaDB of the cluster. Each commit is flushed, and with replicas also on the disk of one of them before it returns.</summary>
internal static class MariaDbMember
{
    public const string Database = "sluice";

    private const string AdminUser = "sluice_admin", ReplicationUser = "sluice_replication", AppUser = "sluice";

    public static ReplicatedServer Server(ClusterFolder folder, Member member) => new("127.0.0.1", member.Port, AdminUser, folder.Secret("sql-admin"));

    /// <summary>Where the nodes write: of a Galera cluster by way of HAProxy.</summary>
    public static int WriterPort(ClusterState state) => state.Find(state.Sql == ClusterSql.Galera ? "haproxy" : state.Writer)!.Port;

    /// <summary>Those beside the writer: the nodes read there, and what is dead or behind they pass by. Of a Galera cluster one of them may be written for a while; it is read all the same.</summary>
    public static IEnumerable<Member> Others(ClusterState state) => state.InOrder.Where(member => member.Kind == MemberKind.MariaDb && member.Name != state.Writer);

    public static string Connection(ClusterFolder folder, int port) =>
        string.Create(CultureInfo.InvariantCulture, $"Server=127.0.0.1;Port={port};User ID={AppUser};Password={folder.Secret("sql")};Database={Database}");

    /// <summary>Makes its data folder if it has none.</summary>
    public static async Task InstallAsync(ClusterFolder folder, Member member, CancellationToken cancel)
    {
        var home = folder.Of(member);
        await MakeDataAsync(folder, member, cancel);

        // Not in the log that replicas replay: each server has them from its own start, a replica also before it follows anybody.
        await File.WriteAllLinesAsync(Path.Combine(home, "users.sql"), [
            "SET SESSION sql_log_bin = 0;",
            .. Users(folder),
            $"CREATE USER IF NOT EXISTS '{ReplicationUser}'@'127.0.0.1' IDENTIFIED BY '{folder.Secret("sql-replication")}';",
            $"GRANT REPLICATION SLAVE ON *.* TO '{ReplicationUser}'@'127.0.0.1';",
        ], cancel);
    }

    /// <summary>The shop's user with no right outside its database, and one for the cluster's own commands.</summary>
    internal static IEnumerable<string> Users(ClusterFolder folder) => [
        $"CREATE DATABASE IF NOT EXISTS {Database} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;",
        $"CREATE USER IF NOT EXISTS '{AppUser}'@'127.0.0.1' IDENTIFIED BY '{folder.Secret("sql")}';",
        $"GRANT ALL ON {Database}.* TO '{AppUser}'@'127.0.0.1';",
        $"CREATE USER IF NOT EXISTS '{AdminUser}'@'127.0.0.1' IDENTIFIED BY '{folder.Secret("sql-admin")}';",
        $"GRANT ALL ON *.* TO '{AdminUser}'@'127.0.0.1';",
    ];

    /// <summary>The folders of a server, and the tables that it needs for itself, if it has none.</summary>
    internal static async Task MakeDataAsync(ClusterFolder folder, Member member, CancellationToken cancel, params IEnumerable<string> more)
    {
        var home = folder.Of(member);
        var data = Path.Combine(home, "data");
        ClusterFolder.MakeFolder(home);
        ClusterFolder.MakeFolder(Path.Combine(home, "tmp"));
        if (!Directory.Exists(Path.Combine(data, "mysql")))
        {
            // A folder of its own for temporary tables: in a shared one, another server that starts deletes them.
            await RunAsync(folder.LogOf(member), [
                ServerPrograms.Find("mariadb-install-db"), "--no-defaults", $"--datadir={data}", $"--tmpdir={home}/tmp", $"--user={Environment.UserName}",
                "--auth-root-authentication-method=socket", $"--auth-root-socket-user={Environment.UserName}", "--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=64M", .. more], cancel);
        }
    }

    /// <summary>Runs a program to its end. What it says goes to the end of <paramref name="log"/>.</summary>
    /// <exception cref="DependencyUnavailableException">It ended with another code than 0.</exception>
    internal static async Task RunAsync(string log, IReadOnlyList<string> command, CancellationToken cancel)
    {
        using var process = Process.Start(new ProcessStartInfo("sh", ["-c", "exec \"$@\" >>\"$0\" 2>&1 </dev/null", log, .. command])) ?? throw new InvalidOperationException($"{command[0]} did not start.");
        await process.WaitForExitAsync(cancel);
        if (process.ExitCode != 0)
        {
            throw new DependencyUnavailableException("sql", $"{Path.GetFileName(command[0])} ended with {process.ExitCode}; see {log}");
        }
    }

    /// <param name="isWriter">It is the primary. A server that no longer is one drops what no replica has when it recovers, and follows.</param>
    public static OwnProcess Start(ClusterFolder folder, Member member, ClusterSql sql, bool isWriter)
    {
        var home = folder.Of(member);
        string[] replication = sql == ClusterSql.Single ? [] :
        [
            "--gtid-strict-mode=ON", "--log-slave-updates=ON", "--relay-log=relay", "--relay-log-recovery=ON", "--sync-relay-log=1", "--slave-parallel-threads=2",
            "--slave-parallel-mode=optimistic", "--rpl-semi-sync-master-enabled=OFF", "--rpl-semi-sync-slave-enabled=ON", "--rpl-semi-sync-master-wait-point=AFTER_SYNC",

            // 24 days: without a replica a commit waits, it is never answered on the strength of one disk.
            "--rpl-semi-sync-master-timeout=2073600000",
            .. isWriter ? Array.Empty<string>() : ["--read-only=ON", "--init-rpl-role=SLAVE", "--skip-slave-start"],
        ];
        return OwnProcess.Start(
            ServerPrograms.Find("mariadbd"),
            [
                // The socket is named from the data folder: a full path may be longer than a socket's name can be.
                "--no-defaults", $"--datadir={home}/data", $"--tmpdir={home}/tmp", $"--user={Environment.UserName}", "--bind-address=127.0.0.1",
                string.Create(CultureInfo.InvariantCulture, $"--port={member.Port}"), "--socket=mariadb.sock", $"--pid-file={home}/mariadb.pid", $"--init-file={home}/users.sql",
                string.Create(CultureInfo.InvariantCulture, $"--server-id={member.NodeId}"), "--skip-name-resolve", "--max-connections=500", "--innodb-buffer-pool-size=96M", "--innodb-log-file-size=64M",
                "--innodb-flush-log-at-trx-commit=1", "--log-bin=bin", "--binlog-format=ROW", "--sync-binlog=1", "--expire-logs-days=7", .. replication,
            ],
            new Dictionary<string, string>(StringComparer.Ordinal), home, folder.LogOf(member));
    }

    public static Task FollowAsync(ClusterFolder folder, Member replica, Member writer, CancellationToken cancel) =>
        Server(folder, replica).FollowAsync(Server(folder, writer), ReplicationUser, folder.Secret("sql-replication"), cancel);

    public static Task<ReplicatedServer> PromoteAsync(ClusterFolder folder, IEnumerable<Member> replicas, Member? wanted, CancellationToken cancel)
    {
        var servers = replicas.ToDictionary(member => member.Name, member => Server(folder, member), StringComparer.Ordinal);
        return ReplicatedServer.PromoteAsync([.. servers.Values], wanted is null ? null : servers[wanted.Name], ReplicationUser, folder.Secret("sql-replication"), cancel);
    }
}

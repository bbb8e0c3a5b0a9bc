using System.Globalization;
using MySqlConnector;

namespace Sluice.Tests.Integration.Servers;

/// <summary>A real mariadbd that flushes every commit and writes a binary log, on a free port, in a folder of its own.</summary>
public sealed class MariaDbServer : IAsyncDisposable
{
    /// <summary>Of the user whose connection strings <see cref="Connection"/> gives out: no log and no problem may show it.</summary>
    public const string Password = "not-to-be-shown";

    private static readonly string User = Environment.UserName;

    // Debian's place for it is in no ordinary user's path.
    private static readonly string Program = File.Exists("/usr/sbin/mariadbd") ? "/usr/sbin/mariadbd" : "mariadbd";

    private readonly TempFolder folder = new();
    private readonly int port = FreePort.Next();
    private readonly string[] own;
    private int databases;
    private ChildProcess? process;

    private MariaDbServer(string[] own) => this.own = own;

    public ChildProcess Process => process ?? throw new InvalidOperationException("Not started.");

    /// <param name="own">Arguments of each of its starts.</param>
    public static async Task<MariaDbServer> StartAsync(params string[] own)
    {
        var server = new MariaDbServer(own);
        try
        {
            // A missing mariadb-install-db is a failure, never a skip: ./test installs it.
            // With a folder of its own for temporary tables: a server that starts clears those of all others out of a common one.
            Directory.CreateDirectory(server.folder.File("tmp"));
            await using var install = ChildProcess.Start("mariadb-install-db", [
                "--no-defaults", $"--datadir={server.folder.File("data")}", $"--tmpdir={server.folder.File("tmp")}", $"--user={User}", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
            Assert.True(await install.WaitAsync(TimeSpan.FromMinutes(2)) == 0, install.Output);
            await File.WriteAllTextAsync(
                server.folder.File("users.sql"),
                $"CREATE USER IF NOT EXISTS 'sluice'@'%' IDENTIFIED BY '{Password}';\nGRANT ALL ON *.* TO 'sluice'@'%' WITH GRANT OPTION;\n");
            await server.BeginAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts it (again) on what its folder holds, and returns when it answers.</summary>
    public async Task BeginAsync(params string[] more)
    {
        Launch(more);
        await Eventually.TrueAsync(
            async () =>
            {
                Assert.False(Process.HasExited, $"mariadbd ended: {Process.Output}");
                try
                {
                    await using var probe = await OpenAsync("mysql");
                    return true;
                }
                catch (MySqlException)
                {
                    return false;
                }
            },
            "mariadbd answers");
    }

    /// <summary>Starts it (again) and does not wait.</summary>
    public void Launch(params string[] more) => process = ChildProcess.Start(Program, [
        "--no-defaults", $"--datadir={folder.File("data")}", $"--tmpdir={folder.File("tmp")}", $"--user={User}", "--bind-address=127.0.0.1", string.Create(CultureInfo.InvariantCulture, $"--port={port}"),
        $"--socket={folder.File("s")}", $"--pid-file={folder.File("pid")}", $"--init-file={folder.File("users.sql")}", "--skip-name-resolve", "--max-connections=400",
        "--innodb-buffer-pool-size=96M", "--innodb-log-file-size=64M", "--innodb-flush-log-at-trx-commit=1", "--log-bin=bin", "--binlog-format=ROW", "--sync-binlog=1", .. own, .. more]);

    /// <summary>A replica of another one, which has what that one had and gets what it gets.</summary>
    public static async Task<MariaDbServer> StartReplicaAsync(MariaDbServer primary)
    {
        var replica = await StartAsync("--server-id=2", "--skip-log-bin", "--relay-log=relay", "--slave-parallel-threads=4", "--slave-parallel-mode=optimistic");
        await replica.DoAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={primary.port}, MASTER_USER='sluice', MASTER_PASSWORD='{Password}', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1; START SLAVE"));
        return replica;
    }

    /// <summary>As the operator.</summary>
    public async Task DoAsync(string statements)
    {
        await using var connection = await OpenAsync("mysql");
        await using var command = new MySqlCommand(statements, connection);
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>The same database of another server.</summary>
    public string SameAs(string connection) => Connection(new MySqlConnectionStringBuilder(connection).Database);

    /// <summary>A connection string for a database that nobody else has and that is empty.</summary>
    public async Task<string> NewDatabaseAsync()
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"test_{Interlocked.Increment(ref databases)}");
        await using var connection = await OpenAsync("mysql");
        await using var create = new MySqlCommand($"CREATE DATABASE {name}", connection);
        await create.ExecuteNonQueryAsync();
        return Connection(name);
    }

    public string Connection(string database) => string.Create(CultureInfo.InvariantCulture, $"Server=127.0.0.1;Port={port};User ID=sluice;Password={Password};Database={database}");

    /// <summary>kill -9.</summary>
    public Task KillAsync() => Process.KillAsync();

    public async ValueTask DisposeAsync()
    {
        if (process is not null)
        {
            // Its folder goes with it, so nobody needs an orderly end.
            await process.DisposeAsync();
        }

        folder.Dispose();
    }

    private async Task<MySqlConnection> OpenAsync(string database)
    {
        var connection = new MySqlConnection(Connection(database) + ";Pooling=False;ConnectionTimeout=2");
        await connection.OpenAsync();
        return connection;
    }
}

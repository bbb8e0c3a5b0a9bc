using System.Globalization;
using System.Text.RegularExpressions;
using Dapper;
using MySqlConnector;

namespace Sluice.Tests.Integration.Servers;

/// <summary>
/// Three real mariadbd that are one Galera cluster, each with its <c>sluice check-sql</c>, and HAProxy in front that knows the writer: deploy/mariadb/galera.cnf and deploy/haproxy/haproxy.cfg,
/// with addresses, ports and folders of a test.
/// </summary>
public sealed class GaleraCluster : IAsyncLifetime
{
    /// <summary>Of every user here: no log and no problem may show it.</summary>
    public const string Password = MariaDbServer.Password;

    private static readonly string Program = File.Exists("/usr/sbin/mariadbd") ? "/usr/sbin/mariadbd" : "mariadbd";
    private static readonly string HaProxy = File.Exists("/usr/sbin/haproxy") ? "/usr/sbin/haproxy" : "haproxy";

    private readonly TempFolder folder = new();
    private readonly int writerPort = FreePort.Next();
    private readonly List<ChildProcess> checks = [];
    private ChildProcess? proxy;
    private int databases;

    public GaleraCluster() => Nodes = [.. Enumerable.Range(1, 3).Select(number => new GaleraNode(number))];

    /// <summary>The first one is the writer as long as it may be.</summary>
    public IReadOnlyList<GaleraNode> Nodes { get; }

    public async ValueTask InitializeAsync()
    {
        foreach (var node in Nodes)
        {
            Directory.CreateDirectory(folder.File($"{node.Name}/tmp"));
            await File.WriteAllTextAsync(folder.File($"{node.Name}/my.cnf"), ConfigurationOf(node, await File.ReadAllTextAsync(Path.Combine(Programs.Root, "deploy/mariadb/galera.cnf"))));
        }

        var first = Nodes[0];
        await RunAsync("mariadb-install-db", [
            "--no-defaults", $"--datadir={DataOf(first)}", $"--tmpdir={folder.File($"{first.Name}/tmp")}", $"--user={Environment.UserName}", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
        await File.WriteAllTextAsync(
            folder.File("users.sql"),
            $"CREATE USER 'sluice'@'%' IDENTIFIED BY '{Password}';\nGRANT ALL ON *.* TO 'sluice'@'%';\n" +
            $"CREATE USER 'shop'@'%' IDENTIFIED BY '{Password}';\nGRANT ALL ON `test\\_%`.* TO 'shop'@'%';\n" +
            $"CREATE USER 'check'@'%' IDENTIFIED BY '{Password}';\n" +
            $"CREATE USER 'sst'@'localhost' IDENTIFIED BY '{Password}';\nGRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICA MONITOR ON *.* TO 'sst'@'localhost';\n");

        // The users are made by a server on its own. The cluster is begun once, and its folder copied: a node that has all of it already needs no copy over the network.
        await BeginAsync(first, alone: true, "--wsrep-on=OFF", "--wsrep-provider=none", $"--init-file={folder.File("users.sql")}");
        await first.Process.TerminateAsync();
        await BeginAsync(first, alone: true, "--wsrep-new-cluster");
        await WhenSyncedAsync(first);
        await first.Process.TerminateAsync();
        foreach (var node in Nodes.Skip(1))
        {
            await RunAsync("cp", ["-a", DataOf(first), DataOf(node)]);
        }

        await BeginAsync(first, alone: true, "--wsrep-new-cluster");
        await Task.WhenAll(Nodes.Skip(1).Select(node => BeginAsync(node, alone: true)));
        await Task.WhenAll(Nodes.Select(WhenSyncedAsync));
        foreach (var node in Nodes)
        {
            checks.Add(ChildProcess.Start("dotnet", [Programs.Server, "check-sql", "--urls", $"http://127.0.0.1:{node.CheckPort}"], new Dictionary<string, string>(StringComparer.Ordinal)
            {
                ["SLUICE__SQL__CONNECTION"] = $"Server=127.0.0.1;Port={node.Port};User ID=check;Password={Password};Database=information_schema",
            }));
        }

        var settings = await File.ReadAllTextAsync(Path.Combine(Programs.Root, "deploy/haproxy/haproxy.cfg"));
        settings = settings.Replace("127.0.0.1:3307", $"127.0.0.1:{writerPort}", StringComparison.Ordinal);
        foreach (var node in Nodes)
        {
            settings = settings.Replace($"10.0.0.2{node.Number}:3306 check addr 10.0.0.2{node.Number} port 9201", $"127.0.0.1:{node.Port} check addr 127.0.0.1 port {node.CheckPort}", StringComparison.Ordinal);
        }

        await File.WriteAllTextAsync(folder.File("haproxy.cfg"), settings);
        proxy = ChildProcess.Start(HaProxy, ["-db", "-f", folder.File("haproxy.cfg")]);
        await WhenWriterIsAsync(first);
    }

    /// <summary>A connection string to whichever node is the writer, for a database that nobody else has.</summary>
    public async Task<string> NewDatabaseAsync()
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"test_{Interlocked.Increment(ref databases)}");
        await using var connection = new MySqlConnection(Connection("sluice", writerPort, "mysql"));
        await connection.ExecuteAsync($"CREATE DATABASE {name}");
        return Connection("shop", writerPort, name).Replace(";Pooling=False", "", StringComparison.Ordinal);
    }

    /// <summary>The same database at one node, past the proxy.</summary>
    public static string At(GaleraNode node, string connection) => new MySqlConnectionStringBuilder(connection) { Port = (uint)node.Port }.ConnectionString;

    /// <summary>An operator at one node. It may write where it is read-only, and set everything.</summary>
    public static MySqlConnection OperatorOf(GaleraNode node) => new(Connection("sluice", node.Port, "mysql"));

    /// <summary>Waits until new connections lead to a node.</summary>
    public Task WhenWriterIsAsync(GaleraNode node) => Eventually.TrueAsync(async () => await WriterAsync() == node.Name, $"{node.Name} is the writer; {proxy?.Output}; {checks.LastOrDefault()?.Output}");

    /// <summary>The node to which a new connection leads now, or null.</summary>
    public async Task<string?> WriterAsync()
    {
        Assert.False(proxy!.HasExited, proxy.Output);
        try
        {
            await using var connection = new MySqlConnection(Connection("sluice", writerPort, "mysql"));
            return await connection.QuerySingleAsync<string>("SELECT @@wsrep_node_name");
        }
        catch (MySqlException)
        {
            return null;
        }
    }

    /// <summary>What the check of a node answers.</summary>
    public static async Task<(int Status, string Says)> CheckAsync(GaleraNode node)
    {
        using var http = new HttpClient();
        using var answer = await http.GetAsync(new Uri($"http://127.0.0.1:{node.CheckPort}/"));
        return ((int)answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    /// <summary>Starts a node that died: it finds out how far it is, and takes from the others what it missed.</summary>
    public async Task RejoinAsync(GaleraNode node)
    {
        var says = await RunAsync(Program, [$"--defaults-file={folder.File($"{node.Name}/my.cnf")}", "--wsrep-recover"]);
        var position = Regex.Match(says, @"(?<=Recovered position: *)\S+", RegexOptions.None, TimeSpan.FromSeconds(1)).Value;
        Assert.NotEmpty(position);
        await BeginAsync(node, alone: false, $"--wsrep-start-position={position}");
        await WhenSyncedAsync(node);
    }

    /// <summary>Waits until a node is a full member again.</summary>
    public static Task WhenSyncedAsync(GaleraNode node) => WhenStatusIsAsync(node, "wsrep_local_state", "4");

    public static Task WhenStatusIsAsync(GaleraNode node, string name, string value) => Eventually.TrueAsync(
        async () =>
        {
            Assert.False(node.Process.HasExited, node.Process.Output);
            try
            {
                await using var connection = OperatorOf(node);
                return (await connection.QuerySingleAsync<(string, string)>($"SHOW GLOBAL STATUS LIKE '{name}'")).Item2 == value;
            }
            catch (MySqlException)
            {
                return false;
            }
        },
        $"{name} of {node.Name} is {value}");

    public async ValueTask DisposeAsync()
    {
        foreach (var process in checks.Append(proxy).Concat(Nodes.Select(node => node.Running)))
        {
            if (process is not null)
            {
                await process.DisposeAsync();
            }
        }

        folder.Dispose();
    }

    private static string Connection(string user, int port, string database) =>
        string.Create(CultureInfo.InvariantCulture, $"Server=127.0.0.1;Port={port};User ID={user};Password={Password};Database={database};Connection Timeout=2;Pooling=False");

    private static async Task<string> RunAsync(string program, IReadOnlyList<string> arguments)
    {
        // A missing program is a failure, never a skip: ./test installs it.
        await using var process = ChildProcess.Start(program, arguments);
        Assert.True(await process.WaitAsync(TimeSpan.FromMinutes(2)) == 0, process.Output);
        return process.Output;
    }

    private async Task BeginAsync(GaleraNode node, bool alone, params string[] more)
    {
        await node.LaunchAsync(Program, [$"--defaults-file={folder.File($"{node.Name}/my.cnf")}", .. more]);
        if (alone)
        {
            await Eventually.TrueAsync(
                async () =>
                {
                    Assert.False(node.Process.HasExited, node.Process.Output);
                    try
                    {
                        await using var connection = OperatorOf(node);
                        await connection.OpenAsync();
                        return true;
                    }
                    catch (MySqlException)
                    {
                        return false;
                    }
                },
                $"{node.Name} answers");
        }
    }

    private string DataOf(GaleraNode node) => folder.File($"{node.Name}/data");

    private string ConfigurationOf(GaleraNode node, string text)
    {
        var own = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["bind-address"] = "127.0.0.1",
            ["wsrep-node-address"] = $"127.0.0.1:{node.ClusterPort}",
            ["wsrep-node-name"] = node.Name,
            ["wsrep-cluster-address"] = $"gcomm://{string.Join(',', Nodes.Select(each => $"127.0.0.1:{each.ClusterPort}"))}",
            ["wsrep-sst-auth"] = $"sst:{Password}",
        };
        foreach (var (name, value) in own)
        {
            var line = new Regex($@"^{name} = .*$", RegexOptions.Multiline, TimeSpan.FromSeconds(1));
            Assert.Single(line.Matches(text));
            text = line.Replace(text, $"{name} = {value}");
        }

        return text
            .Replace("gcache.size=512M", $"gcache.size=64M; gmcast.listen_addr=tcp://127.0.0.1:{node.ClusterPort}; ist.recv_addr=127.0.0.1:{FreePort.Next()}", StringComparison.Ordinal)
            .Replace(
                "[sst]",
                $"wsrep-sst-receive-address = 127.0.0.1:{FreePort.Next()}\nport = {node.Port}\ndatadir = {DataOf(node)}\ntmpdir = {folder.File($"{node.Name}/tmp")}\n" +
                $"socket = {folder.File($"{node.Name}/s")}\npid-file = {folder.File($"{node.Name}/pid")}\nuser = {Environment.UserName}\ninnodb-buffer-pool-size = 64M\ninnodb-log-file-size = 48M\n\n[sst]",
                StringComparison.Ordinal);
    }
}

/// <summary>One node of a <see cref="GaleraCluster"/>.</summary>
public sealed class GaleraNode(int number)
{
    public int Number => number;

    public string Name => string.Create(CultureInfo.InvariantCulture, $"g{number}");

    public int Port { get; } = FreePort.Next();

    public int ClusterPort { get; } = FreePort.Next();

    public int CheckPort { get; } = FreePort.Next();

    public ChildProcess? Running { get; private set; }

    public ChildProcess Process => Running ?? throw new InvalidOperationException("Not started.");

    public async Task LaunchAsync(string program, IEnumerable<string> arguments)
    {
        await (Running?.DisposeAsync() ?? ValueTask.CompletedTask);
        Running = ChildProcess.Start(program, arguments);
    }
}

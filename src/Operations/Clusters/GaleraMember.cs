using System.Globalization;
using System.Text.RegularExpressions;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;

namespace Sluice.Operations.Clusters;

/// <summary>
/// A MariaDB of the cluster that is a Galera node: the configuration that is shipped for teams (deploy/mariadb/galera.cnf) with other addresses.
/// Who begins the cluster after all have stopped is never guessed: all positions are read, and the node that has most begins it.
/// </summary>
internal static partial class GaleraMember
{
    private static readonly TimeSpan AnswerTimeMax = TimeSpan.FromSeconds(2), FirstStartTimeMax = TimeSpan.FromSeconds(90), Look = TimeSpan.FromMilliseconds(50), LastWordsMax = TimeSpan.FromSeconds(10);

    public static IEnumerable<Member> Nodes(ClusterState state) => state.InOrder.Where(member => member.Kind == MemberKind.MariaDb);

    /// <summary>Null when it is a full member that may be written.</summary>
    public static Task<string?> WhyNotAsync(ClusterFolder folder, Member member) => WritableCheck.WhyNotAsync(MariaDbMember.Connection(folder, member.Port), AnswerTimeMax);

    /// <summary>Name of the node that has to start first, because none runs: the one that has most. Null when one runs, which the others join.</summary>
    public static async Task<string?> FirstAsync(ClusterFolder folder, ClusterState state, CancellationToken cancel)
    {
        if (Nodes(state).Any(node => node.IsAlive))
        {
            return null;
        }

        var positions = new List<(string Name, long Position)>();
        foreach (var node in Nodes(state).Where(node => HasData(folder, node)))
        {
            positions.Add((node.Name, NumberOf(await PositionAsync(folder, state, node, cancel))));
        }

        // Of equals the first, which is to be the writer.
        return positions.Count == 0 ? state.Writer : positions.MaxBy(each => each.Position).Name;
    }

    public static async Task<OwnProcess> StartAsync(ClusterFolder folder, ClusterState state, Member member, CancellationToken cancel)
    {
        foreach (var node in Nodes(state))
        {
            ClusterFolder.MakeFolder(folder.Of(node));
            ClusterFolder.MakeFolder(Path.Combine(folder.Of(node), "tmp"));
            await File.WriteAllTextAsync(FileOf(folder, node), Configuration(folder, state, node), cancel);
        }

        if (await FirstAsync(folder, state, cancel) is not { } first)
        {
            // What it missed, another gives it; for that it has to know how far it is. One without data takes a whole copy.
            ClusterFolder.MakeFolder(DataOf(folder, member));
            return Launch(folder, member, HasData(folder, member) ? [$"--wsrep-start-position={await PositionAsync(folder, state, member, cancel)}"] : []);
        }

        if (first != member.Name)
        {
            throw new DependencyUnavailableException("cluster", $"no Galera node runs, and {first} has more than {member.Name}: 'sluice cluster start {first}' first, or 'sluice cluster up'.");
        }

        if (!HasData(folder, member))
        {
            await MakeClusterAsync(folder, state, member, cancel);
        }

        // Galera's own guard against beginning at a node that lacks something. It was answered just now, by looking at all of them.
        var saved = StateFile(folder, member);
        if (File.Exists(saved))
        {
            await File.WriteAllTextAsync(saved, (await File.ReadAllTextAsync(saved, cancel)).Replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1", StringComparison.Ordinal), cancel);
        }

        return Launch(folder, member, "--wsrep-new-cluster");
    }

    // The cluster is begun once, and its folder copied while it stands: nodes that have all of it need no copy over the network.
    private static async Task MakeClusterAsync(ClusterFolder folder, ClusterState state, Member member, CancellationToken cancel)
    {
        var users = Path.Combine(folder.Of(member), "users.sql");
        await File.WriteAllLinesAsync(users, [
            "FLUSH PRIVILEGES;",
            .. MariaDbMember.Users(folder),
            $"CREATE USER IF NOT EXISTS 'sst'@'localhost' IDENTIFIED BY '{folder.Secret("sql-copy")}';",
            "GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICA MONITOR ON *.* TO 'sst'@'localhost';",
        ], cancel);
        await MariaDbMember.MakeDataAsync(folder, member, cancel, $"--extra-file={users}");
        var process = Launch(folder, member, "--wsrep-new-cluster");
        var started = TimeProvider.System.GetTimestamp();
        while (await WhyNotAsync(folder, member) is { } whyNot)
        {
            if (!process.IsAlive || TimeProvider.System.GetElapsedTime(started) > FirstStartTimeMax)
            {
                await process.KillAsync(cancel);
                throw new DependencyUnavailableException("sql", $"{member.Name} did not begin a cluster: {whyNot}; see {folder.LogOf(member)}");
            }

            await Task.Delay(Look, TimeProvider.System, cancel);
        }

        await process.EndAsync(Signals.Term, FirstStartTimeMax, cancel);
        foreach (var other in Nodes(state).Where(node => node.Name != member.Name && !HasData(folder, node)))
        {
            await MariaDbMember.RunAsync(folder.LogOf(other), ["cp", "-a", DataOf(folder, member), DataOf(folder, other)], cancel);
        }
    }

    /// <summary>How far a node that does not run is, as <c>uuid:number</c>: what it wrote down when it ended, or after a crash what its tables say.</summary>
    private static async Task<string> PositionAsync(ClusterFolder folder, ClusterState state, Member member, CancellationToken cancel)
    {
        if (File.Exists(StateFile(folder, member)) && SavedPosition().Match(await File.ReadAllTextAsync(StateFile(folder, member), cancel)) is { Success: true } saved)
        {
            return $"{saved.Groups["uuid"].Value}:{saved.Groups["number"].Value}";
        }

        var log = Path.Combine(folder.Of(member), "recover.log");
        File.Delete(log);
        await File.WriteAllTextAsync(FileOf(folder, member), Configuration(folder, state, member), cancel);
        var process = Launch(folder, member, "--wsrep-recover", $"--log-error={log}");
        long? said = null;
        try
        {
            while (process.IsAlive && (said is not { } at || TimeProvider.System.GetElapsedTime(at) < LastWordsMax))
            {
                await Task.Delay(Look, TimeProvider.System, cancel);
                said ??= await RecoveredAsync(log) is null ? null : TimeProvider.System.GetTimestamp();
            }
        }
        finally
        {
            // MariaDB 10.11 was seen to say how far it is and not to end, for a quarter of an hour; nobody else can begin the cluster meanwhile.
            await process.KillAsync(CancellationToken.None);
        }

        return await RecoveredAsync(log) ?? throw new DependencyUnavailableException("sql", $"{member.Name} does not say how far it is; see {log}");
    }

    private static async Task<string?> RecoveredAsync(string log) => File.Exists(log) && RecoveredPosition().Matches(await File.ReadAllTextAsync(log)) is [.., var last] ? last.Groups["position"].Value : null;

    private static long NumberOf(string position) => long.Parse(position.Split(':')[1].Split(',')[0], CultureInfo.InvariantCulture);

    private static bool HasData(ClusterFolder folder, Member member) => Directory.Exists(Path.Combine(DataOf(folder, member), "mysql"));

    private static string DataOf(ClusterFolder folder, Member member) => Path.Combine(folder.Of(member), "data");

    private static string FileOf(ClusterFolder folder, Member member) => Path.Combine(folder.Of(member), "my.cnf");

    private static string StateFile(ClusterFolder folder, Member member) => Path.Combine(DataOf(folder, member), "grastate.dat");

    private static OwnProcess Launch(ClusterFolder folder, Member member, params string[] more) => OwnProcess.Start(
        ServerPrograms.Find("mariadbd"), [$"--defaults-file={FileOf(folder, member)}", .. more], new Dictionary<string, string>(StringComparer.Ordinal), folder.Of(member), folder.LogOf(member));

    private static string Configuration(ClusterFolder folder, ClusterState state, Member member)
    {
        var home = folder.Of(member);
        return ShippedFile.With(
            "galera.cnf",
            ("bind-address = 10.0.0.21  ", "bind-address = 127.0.0.1  "),
            ("wsrep-node-address = 10.0.0.21  ", string.Create(CultureInfo.InvariantCulture, $"wsrep-node-address = 127.0.0.1:{member.GroupPort}  ")),
            ("wsrep-node-name = g1  ", $"wsrep-node-name = {member.Name}  "),
            ("gcomm://10.0.0.21,10.0.0.22,10.0.0.23", $"gcomm://{string.Join(',', Nodes(state).Select(node => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{node.GroupPort}")))}"),
            ("sst:change-me", $"sst:{folder.Secret("sql-copy")}"),
            ("wsrep-sst-donor = g3,g2,", "wsrep-sst-donor = mariadb-3,mariadb-2,"),
            ("gcache.size=512M", string.Create(CultureInfo.InvariantCulture, $"gcache.size=64M; gmcast.listen_addr=tcp://127.0.0.1:{member.GroupPort}; ist.recv_addr=127.0.0.1:{member.GroupPort + 1}")),

            // The socket is named from the data folder: a full path may be longer than a socket's name can be.
            ("[sst]", string.Create(CultureInfo.InvariantCulture, $"wsrep-sst-receive-address = 127.0.0.1:{member.GroupPort + 2}\nport = {member.Port}\ndatadir = {home}/data\ntmpdir = {home}/tmp\n") +
                $"socket = mariadb.sock\npid-file = {home}/mariadb.pid\nuser = {Environment.UserName}\ninnodb-buffer-pool-size = 96M\ninnodb-log-file-size = 64M\n\n[sst]"));
    }

    [GeneratedRegex(@"uuid:\s*(?<uuid>\S+)\s+seqno:\s*(?<number>\d+)", RegexOptions.None, 1_000)]
    private static partial Regex SavedPosition();

    [GeneratedRegex(@"Recovered position: *(?<position>\S+)", RegexOptions.None, 1_000)]
    private static partial Regex RecoveredPosition();
}

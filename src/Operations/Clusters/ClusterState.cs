using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.Platform.Hosting;

namespace Sluice.Operations.Clusters;

/// <summary>What a process of the cluster is.</summary>
internal enum MemberKind
{
    MariaDb,
    SqlCheck,
    HaProxy,
    Redis,
    Sentinel,
    Worker,
    Api,
    Ops,
    Nginx,
}

/// <summary>How SQL is served.</summary>
internal enum ClusterSql
{
    /// <summary>One MariaDB.</summary>
    Single,

    /// <summary>A primary and two semi-synchronous replicas; a person promotes.</summary>
    Replication,

    /// <summary>Three Galera nodes, of which HAProxy leads to one; another takes over by itself.</summary>
    Galera,
}

/// <summary>How Redis is served.</summary>
internal enum ClusterRedis
{
    /// <summary>One Redis.</summary>
    Single,

    /// <summary>A primary, two replicas, and three Sentinels that promote one when it is gone.</summary>
    Sentinel,

    /// <summary>A Redis Cluster: three primaries, each with a third of the slots and a replica, which takes over when its primary is gone.</summary>
    Cluster,
}

/// <summary>One process of the cluster: what it is, where, and which process runs it now.</summary>
/// <param name="NodeId">Number of a Sluice node, <c>server-id</c> of a MariaDB, number of a Redis, a Sentinel, or of the MariaDB that a check asks; otherwise 0.</param>
/// <param name="Process">The process that was started last, or null.</param>
/// <param name="GroupPort">Of a Galera node: the first of three ports in a row on which the nodes speak with each other (group, missed writes, whole copies); of a node of a Redis Cluster the one port for that; otherwise 0.</param>
internal sealed record Member(string Name, MemberKind Kind, int Port, int NodeId, OwnProcess? Process = null, int GroupPort = 0)
{
    /// <summary>Every port that is its own.</summary>
    [JsonIgnore] public IEnumerable<int> Ports => GroupPort == 0 ? [Port] : [Port, .. Enumerable.Range(GroupPort, GroupPortsOf(Kind))];

    [JsonIgnore] public bool IsSluice => Kind is MemberKind.Worker or MemberKind.Api or MemberKind.Ops;

    [JsonIgnore] public bool IsAlive => Process?.IsAlive == true;

    /// <summary>Alive, and SIGSTOP does not hold it.</summary>
    [JsonIgnore] public bool Runs => Process is { IsAlive: true, IsFrozen: false };

    public static int GroupPortsOf(MemberKind kind) => kind == MemberKind.Redis ? 1 : 3;
}

/// <summary>All that is known about a cluster between two commands: <c>cluster.json</c> in its folder.</summary>
/// <param name="Writer">Name of the MariaDB that takes writes; of a Galera cluster, the one that does while it can.</param>
/// <param name="Settings">Given to every Sluice node, <c>Section:Name=value</c>.</param>
internal sealed record ClusterState(int PublicPort, ClusterSql Sql, ClusterRedis Redis, string Writer, int NextNodeId, IReadOnlyList<string> Settings, IReadOnlyList<Member> Members)
{
    /// <summary>In the order in which they start; they end in the reverse order.</summary>
    [JsonIgnore] public IEnumerable<Member> InOrder => Members.OrderBy(member => member.Kind).ThenBy(member => member.NodeId);

    public Member? Find(string name) => Members.FirstOrDefault(member => member.Name == name);

    public ClusterState With(Member member) => this with { Members = [.. Members.Select(old => old.Name == member.Name ? member : old)] };
}

/// <summary>The folder of a cluster: its state, and a folder for each member. One command at a time changes it.</summary>
internal sealed class ClusterFolder
{
    private readonly string file;

    public ClusterFolder(string path)
    {
        Root = Path.GetFullPath(path);
        file = Path.Combine(Root, "cluster.json");
    }

    public string Root { get; }

    /// <summary>The folder that all Sluice nodes share: keys only.</summary>
    public string Keys => Path.Combine(Root, "keys");

    public bool Exists => File.Exists(file);

    public string Of(Member member) => Path.Combine(Root, member.Name);

    public string LogOf(Member member) => Path.Combine(Root, "logs", $"{member.Name}.log");

    /// <summary>A secret of the cluster's own, made when it is first asked for.</summary>
    public string Secret(string name)
    {
        MakeFolder(Keys);
        return KeyFiles.LoadOrCreate(Path.Combine(Keys, $"{name}.key"), KeyFiles.NewSecret);
    }

    /// <summary>Only the owner looks into it: passwords and orders are in there.</summary>
    public static void MakeFolder(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException("A cluster on one host needs Linux.");
        }

        Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    /// <exception cref="DependencyUnavailableException">There is no cluster in this folder.</exception>
    public ClusterState Load() => Exists
        ? JsonSerializer.Deserialize(File.ReadAllText(file), ClusterJson.Default.ClusterState) ?? throw new DependencyUnavailableException("cluster", $"{file} is empty.")
        : throw new DependencyUnavailableException("cluster", $"there is none in {Root}. 'sluice cluster up' makes one; --data names its folder.");

    /// <summary>Replaces the state whole: a command that dies leaves the one of before.</summary>
    public void Save(ClusterState state)
    {
        File.WriteAllText(file + ".new", JsonSerializer.Serialize(state, ClusterJson.Default.ClusterState));
        File.Move(file + ".new", file, overwrite: true);
    }

    /// <summary>The right to change the cluster. The operating system takes it back when the command dies.</summary>
    /// <exception cref="DependencyUnavailableException">Another command is changing it.</exception>
    public FileStream Lock()
    {
        MakeFolder(Root);
        MakeFolder(Path.Combine(Root, "logs"));
        try
        {
            return new FileStream(Path.Combine(Root, "cluster.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException)
        {
            throw new DependencyUnavailableException("cluster", $"another command is at work on {Root}. Wait until it is done.");
        }
    }
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, UseStringEnumConverter = true, WriteIndented = true)]
[JsonSerializable(typeof(ClusterState))]
internal sealed partial class ClusterJson : JsonSerializerContext;

using System.ComponentModel.DataAnnotations;
using System.Net;
using StackExchange.Redis;

namespace Sluice.Platform.Redis;

/// <summary>Where claims live until SQL has them.</summary>
public sealed class RedisOptions
{
    /// <summary>The value of <see cref="Connection"/> for the server in this process.</summary>
    public const string Embedded = "embedded";

    /// <summary>
    /// <c>embedded</c>: a Garnet server inside this process, kept in the data folder. Otherwise the StackExchange.Redis connection string of one server
    /// (<c>host:port,user=…,password=…,ssl=true</c>), or of every Sentinel that watches a primary and its replicas
    /// (<c>host:port,host:port,host:port,serviceName=mymaster,user=…,password=…,ssl=true</c>; user and password are those of the Redis servers, the TLS options hold for the Sentinels too).
    /// Several servers without a <c>serviceName</c> are nodes of a Redis Cluster (<c>host:port,host:port,host:port,user=…,password=…</c>): name at least three, the rest is learnt from them.
    /// Name all Sentinels: a node follows what the majority of those named says, and refuses claims while it hears no majority.
    /// The servers must run with <c>appendonly yes</c>, and with what <c>Pools:Durability</c> demands.
    /// </summary>
    [Required, RedisConnectionString] public string Connection { get; init; } = "embedded";

    /// <summary>
    /// File (PEM) with the certificate of the authority that signs the servers' certificates, where it is one of your own that the system does not know; empty = those that the system trusts. With <c>ssl=true</c> in
    /// <see cref="Connection"/>; it holds for a Redis of the cache or of a module too. The name of the server must be in its certificate either way. The servers are not shown a certificate: <c>tls-auth-clients no</c>.
    /// </summary>
    [Required(AllowEmptyStrings = true)] public string CaFile { get; init; } = "";

    /// <summary>User of the Sentinels themselves, where they ask for one; empty = none.</summary>
    public string SentinelUser { get; init; } = "";

    /// <summary>Password of the Sentinels themselves, where they ask for one; empty = none.</summary>
    public string SentinelPassword { get; init; } = "";

    /// <summary>How long a batch of claims waits for a replica with <c>Durability=Replicated</c> before its callers are answered 503 "unknown", 10 ms – 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "00:00:10")] public TimeSpan ReplicaWaitMax { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>Port on 127.0.0.1 on which the embedded server can also be looked at with redis-cli; 0 = none. No password: leave it off where others share the machine.</summary>
    [Range(0, 65_535)] public int EmbeddedPort { get; init; }

    /// <summary>Memory of the embedded server's log, 64–65,536 MiB. What does not fit goes to disk.</summary>
    [Range(64, 65_536)] public int EmbeddedMemoryMiB { get; init; } = 256;

    /// <summary>
    /// Claims are answered 503 while the disk under the embedded server has less than this free, 1–1,048,576 MiB. The rest goes on, so the queue drains meanwhile.
    /// Below 1 MiB there is no log to promise anything with: a log that could not be written once stays shut until the next start.
    /// </summary>
    [Range(1, 1_048_576)] public int DiskFreeMiBMin { get; init; } = 64;

    /// <summary>How long one call may take before the request is answered 503, 100 ms – 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:00:30")] public TimeSpan CallTimeMax { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Accept a Redis that does not keep what <c>Pools:Durability</c> demands of it. Acknowledged claims can then be lost with it; for trials only.</summary>
    public bool AcceptWeakDurability { get; init; }

    /// <summary>True for the server in this process.</summary>
    internal bool IsEmbedded => Connection.Equals(Embedded, StringComparison.OrdinalIgnoreCase);

    /// <summary>What the servers of <see cref="Connection"/> are to each other.</summary>
    internal RedisForm Form => IsEmbedded ? RedisForm.Embedded
        : ConfigurationOptions.Parse(Connection) is var parsed && !string.IsNullOrEmpty(parsed.ServiceName) ? RedisForm.Sentinels
        : parsed.EndPoints.Count > 1 ? RedisForm.Cluster : RedisForm.OneServer;

    /// <summary>Settings that say two things at once, one sentence each.</summary>
    /// <param name="replicated">Claims are acknowledged only when a replica has them.</param>
    public IEnumerable<string> Contradictions(bool replicated)
    {
        if (replicated && IsEmbedded)
        {
            yield return "Pools:Durability: 'Replicated' needs a Redis server with replicas, and Redis:Connection is 'embedded'";
        }

        if (CaFile.Length > 0 && !File.Exists(CaFile))
        {
            yield return $"Redis:CaFile: there is no file {Path.GetFullPath(CaFile)}";
        }

        if (CaFile.Length > 0 && !IsEmbedded && !ConfigurationOptions.Parse(Connection).Ssl)
        {
            yield return "Redis:CaFile: Redis:Connection does not say ssl=true, so nothing would be encrypted";
        }

        if ((SentinelUser.Length > 0 || SentinelPassword.Length > 0) && Form != RedisForm.Sentinels)
        {
            yield return "Redis:SentinelUser, Redis:SentinelPassword: Redis:Connection names no Sentinels (it has no serviceName=…)";
        }
    }
}

/// <summary>How many servers there are, and who says which of them takes writes.</summary>
internal enum RedisForm
{
    /// <summary>Garnet in this process.</summary>
    Embedded,

    /// <summary>One server.</summary>
    OneServer,

    /// <summary>A primary that Sentinels name.</summary>
    Sentinels,

    /// <summary>Several primaries, each with a part of the keys.</summary>
    Cluster,
}

/// <summary><c>embedded</c>, or what StackExchange.Redis reads and that names one server, or with their ports three Sentinels or nodes of a Redis Cluster and more.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class RedisConnectionStringAttribute()
    : ValidationAttribute("write 'embedded', or host:port,… of one server, or host:port,host:port,host:port,serviceName=… of at least three Sentinels, or without serviceName of at least three nodes of a Redis Cluster")
{
    // A majority of fewer than three is everybody: the loss of one would end the service, and two that cannot see each other would never agree.
    private const int NamedMin = 3;

    public override bool IsValid(object? value)
    {
        if (value is not string text || text.Equals(RedisOptions.Embedded, StringComparison.OrdinalIgnoreCase))
        {
            return value is string;
        }

        try
        {
            var parsed = ConfigurationOptions.Parse(text);
            var servers = parsed.EndPoints.Distinct().ToList();
            return servers.Count == 1 ? string.IsNullOrEmpty(parsed.ServiceName) : servers.Count >= NamedMin && servers.TrueForAll(HasPort);
        }
        catch (Exception e) when (e is ArgumentException or FormatException or OverflowException)
        {
            return false;
        }
    }

    private static bool HasPort(EndPoint server) => server is DnsEndPoint { Port: > 0 } or IPEndPoint { Port: > 0 };
}

using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Sluice.Platform.Hosting;

namespace Sluice.Operations.Clusters;

/// <summary>What a new cluster consists of, and on which ports.</summary>
internal static class ClusterPlan
{
    public static ClusterState New(int publicPort, ClusterSql sql, ClusterRedis redis, IReadOnlyList<string> settings)
    {
        var members = new List<Member>();
        var nodes = 0;
        Add("api-1", MemberKind.Api, ++nodes);
        Add("api-2", MemberKind.Api, ++nodes);
        Add("worker-1", MemberKind.Worker, ++nodes);
        Add("ops-1", MemberKind.Ops, ++nodes);
        AddSome("redis", MemberKind.Redis, redis switch { ClusterRedis.Single => 1, ClusterRedis.Sentinel => 3, ClusterRedis.Cluster => 2 * RedisClusterMember.Primaries });
        AddSome("sentinel", MemberKind.Sentinel, redis == ClusterRedis.Sentinel ? 3 : 0);
        AddSome("mariadb", MemberKind.MariaDb, sql == ClusterSql.Single ? 1 : 3);
        AddSome("sqlcheck", MemberKind.SqlCheck, sql == ClusterSql.Galera ? 3 : 0);
        if (sql == ClusterSql.Galera)
        {
            Add("haproxy", MemberKind.HaProxy, 0);
        }

        members.Add(new Member("nginx", MemberKind.Nginx, publicPort, 0));
        return new ClusterState(publicPort, sql, redis, "mariadb-1", nodes + 1, settings, members);

        void AddSome(string prefix, MemberKind kind, int count)
        {
            for (var n = 1; n <= count; n++)
            {
                Add(string.Create(CultureInfo.InvariantCulture, $"{prefix}-{n}"), kind, n);
            }
        }

        void Add(string name, MemberKind kind, int nodeId)
        {
            var taken = members.SelectMany(member => member.Ports).Append(publicPort).ToList();
            var port = FreePort(publicPort + 1, taken);
            var isOfGroup = (kind == MemberKind.MariaDb && sql == ClusterSql.Galera) || (kind == MemberKind.Redis && redis == ClusterRedis.Cluster);
            members.Add(new Member(name, kind, port, nodeId, GroupPort: isOfGroup ? FreePort(publicPort + 1, [.. taken, port], Member.GroupPortsOf(kind)) : 0));
        }
    }

    /// <summary>The first of some ports in a row that nobody has.</summary>
    /// <exception cref="DependencyUnavailableException">There are none.</exception>
    public static int FreePort(int from, IEnumerable<int> taken, int count = 1)
    {
        var others = taken.ToHashSet();
        return Enumerable.Range(from, 1_000).Where(first => first + count - 1 <= 65_535 && Enumerable.Range(first, count).All(port => !others.Contains(port) && IsFree(port))).FirstOrDefault() is var found and > 0
            ? found
            : throw new DependencyUnavailableException("cluster", string.Create(CultureInfo.InvariantCulture, $"no port from {from} on is free."));
    }

    public static bool IsFree(int port)
    {
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}

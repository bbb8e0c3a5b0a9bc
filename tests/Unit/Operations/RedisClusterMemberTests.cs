using Sluice.Operations.Clusters;

namespace Sluice.Tests.Unit.Operations;

public sealed class RedisClusterMemberTests : IDisposable
{
    private readonly ClusterFolder folder = new(Directory.CreateTempSubdirectory("sluice-test-").FullName);
    private readonly ClusterState state = ClusterPlan.New(20_000, ClusterSql.Single, ClusterRedis.Cluster, []);

    public RedisClusterMemberTests()
    {
        foreach (var server in RedisMember.Servers(state))
        {
            Directory.CreateDirectory(folder.Of(server));
            _ = RedisClusterMember.Configuration(folder, state, server);
        }
    }

    public void Dispose() => Directory.Delete(folder.Root, recursive: true);

    [Fact]
    public void Plan_OfARedisCluster_GivesEachNodeTwoPortsOfItsOwn()
    {
        var servers = RedisMember.Servers(state).ToList();
        Assert.Equal(6, servers.Count);
        Assert.All(servers, server => Assert.Equal([server.Port, server.GroupPort], server.Ports));
        Assert.Distinct(state.Members.SelectMany(member => member.Ports));
        Assert.DoesNotContain(state.Members, member => member.Kind == MemberKind.Sentinel);
    }

    [Fact]
    public void LeaderOf_ANewCluster_IsOneOfTheFirstThree()
    {
        Assert.Equal(["redis-1", "redis-2", "redis-3", "redis-1", "redis-2", "redis-3"], Leaders());
        Assert.Equal(["0-5460", "5461-10921", "10922-16383", "", "", ""], RedisMember.Servers(state).Select(server => RedisClusterMember.SlotsOf(folder, server)));
    }

    // As its replica writes it down when it has been elected, and redis-1, which was dead by then, cannot know.
    [Fact]
    public void LeaderOf_AFormerPrimaryThatDoesNotKnowYet_IsWhoHasItsSlotsInTheHighestEpoch()
    {
        var (former, replica) = (state.Find("redis-1")!, state.Find("redis-4")!);
        var file = Path.Combine(folder.Of(replica), "nodes.conf");
        var lines = File.ReadAllLines(file);
        var own = lines.Single(line => line.Contains("myself", StringComparison.Ordinal)).Split(' ');
        File.WriteAllLines(file, lines.Select(line =>
            line.Contains("myself", StringComparison.Ordinal) ? $"{own[0]} {own[1]} myself,master - 0 0 4 connected 0-5460" :
            line.Contains($":{former.Port}@", StringComparison.Ordinal) ? line.Replace(" 0-5460", "", StringComparison.Ordinal).Replace("master", "master,fail", StringComparison.Ordinal) : line));
        Assert.Equal(["redis-4", "redis-2", "redis-3", "redis-4", "redis-2", "redis-3"], Leaders());
    }

    [Fact]
    public void Configuration_OfANodeThatHasAMemory_LeavesItAlone()
    {
        var server = state.Find("redis-2")!;
        var file = Path.Combine(folder.Of(server), "nodes.conf");
        File.WriteAllText(file, "what the server wrote");
        _ = RedisClusterMember.Configuration(folder, state, server);
        Assert.Equal("what the server wrote", File.ReadAllText(file));
    }

    private IEnumerable<string> Leaders() => RedisMember.Servers(state).Select(server => RedisMember.LeaderOf(folder, state, server).Name);
}

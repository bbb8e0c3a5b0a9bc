using System.Globalization;
using Sluice.Operations.Nodes;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;

namespace Sluice.Operations.Clusters;

/// <summary>
/// A cluster of real engines on this host, all on loopback. Nobody watches the processes between two commands: each command reads the state in the folder, does its work and writes it back.
/// A process is only ever touched when its id, the moment of its start and the boot are those of the state.
/// </summary>
/// <param name="say">Progress, one line each.</param>
internal sealed class Cluster(ClusterFolder folder, Action<string> say)
{
    private const int NodesMax = 64;

    private static readonly TimeSpan ReadyTimeMax = TimeSpan.FromSeconds(90), EndTimeMax = TimeSpan.FromSeconds(60), Look = TimeSpan.FromMilliseconds(50);

    /// <summary>Starts what is missing, makes it first if there is nothing. Run again, it starts what has died.</summary>
    /// <param name="publicPort">For a new cluster; an existing one keeps its ports.</param>
    /// <param name="settings">For every Sluice node; null keeps those of before.</param>
    public async Task<ClusterState> UpAsync(int? publicPort, ClusterSql? sql, ClusterRedis? redis, IReadOnlyList<string>? settings, CancellationToken cancel)
    {
        using var turn = folder.Lock();
        var state = folder.Exists ? folder.Load() : ClusterPlan.New(publicPort ?? 8080, sql ?? ClusterSql.Galera, redis ?? ClusterRedis.Sentinel, settings ?? []);
        ServerPrograms.Demand(state.Sql);
        if (settings is not null && !settings.SequenceEqual(state.Settings, StringComparer.Ordinal))
        {
            if (state.Members.Any(member => member.IsSluice && member.IsAlive))
            {
                throw new DependencyUnavailableException("cluster", "its nodes run with other settings. 'sluice cluster down' first, then 'up' with the new ones.");
            }

            state = state with { Settings = settings };
        }

        if ((publicPort is not null && publicPort != state.PublicPort) || (sql is not null && sql != state.Sql) || (redis is not null && redis != state.Redis))
        {
            throw new DependencyUnavailableException(
                "cluster", string.Create(CultureInfo.InvariantCulture, $"the one in {folder.Root} has port {state.PublicPort}, --sql {state.Sql.ToString().ToLowerInvariant()} and --redis {state.Redis.ToString().ToLowerInvariant()}. Choose another folder (--data) for another one."));
        }

        folder.Save(state);
        state = await StartMissingAsync(state, _ => true, cancel);
        await RedisMember.WholeAsync(folder, state, cancel);
        return state;
    }

    /// <summary>Ends everything, what answers callers first. The data stays.</summary>
    public async Task DownAsync(CancellationToken cancel)
    {
        using var turn = folder.Lock();
        var state = folder.Load();
        foreach (var member in state.InOrder.Reverse().ToList())
        {
            if (await EndAsync(member, cancel))
            {
                say($"{member.Name} ended");
            }

            folder.Save(state = state.With(member with { Process = null }));
        }
    }

    /// <summary>kill -9 of one process and of what it started.</summary>
    public async Task KillAsync(string name, CancellationToken cancel)
    {
        var member = Alive(folder.Load(), name);
        await member.Process!.KillAsync(cancel);
        say(string.Create(CultureInfo.InvariantCulture, $"{name} (process {member.Process.Id}) was killed. 'sluice cluster start {name}' brings it back."));
    }

    /// <summary>SIGSTOP or SIGCONT: it hangs, and goes on.</summary>
    public void Freeze(string name, bool freeze)
    {
        var member = Alive(folder.Load(), name);
        member.Process!.SignalAll(freeze ? Signals.Stop : Signals.Cont);
        say($"{name} {(freeze ? $"hangs. 'sluice cluster kill {name} --cont' wakes it" : "goes on")}.");
    }

    /// <summary>Starts one that has died or was killed.</summary>
    public async Task StartAsync(string name, CancellationToken cancel)
    {
        using var turn = folder.Lock();
        var state = folder.Load();
        if (Named(state, name).IsAlive)
        {
            say($"{name} runs already.");
            return;
        }

        await StartMissingAsync(state, member => member.Name == name, cancel);
    }

    /// <summary>Ends one node in order (it leaves the load balancer first) and starts it again.</summary>
    public async Task RestartAsync(string name, CancellationToken cancel)
    {
        using var turn = folder.Lock();
        var state = folder.Load();
        var member = Named(state, name);
        await EndAsync(member, cancel);
        await StartMissingAsync(state.With(member with { Process = null }), each => each.Name == name, cancel);
    }

    /// <summary>One more API node or worker.</summary>
    public async Task<Member> AddAsync(MemberKind kind, CancellationToken cancel)
    {
        using var turn = folder.Lock();
        var state = folder.Load();
        if (state.Members.Count(member => member.IsSluice) >= NodesMax)
        {
            throw new DependencyUnavailableException("cluster", $"it has {NodesMax} nodes, more than one host is for.");
        }

        var prefix = kind.ToString().ToLowerInvariant();
        var number = Enumerable.Range(1, NodesMax + 1).First(n => state.Find(string.Create(CultureInfo.InvariantCulture, $"{prefix}-{n}")) is null);

        // Numbers go round, so that one is used again as late as can be: a claim id carries it.
        var nodeId = state.NextNodeId;
        while (state.Members.Any(each => each.IsSluice && each.NodeId == nodeId))
        {
            nodeId = (nodeId % 255) + 1;
        }

        var member = new Member(string.Create(CultureInfo.InvariantCulture, $"{prefix}-{number}"), kind, ClusterPlan.FreePort(state.PublicPort + 1, state.Members.SelectMany(each => each.Ports)), nodeId);
        state = state with { NextNodeId = (nodeId % 255) + 1, Members = [.. state.Members, member] };
        folder.Save(state);
        await StartMissingAsync(state, each => each.Name == member.Name, cancel);
        return member;
    }

    /// <summary>Takes an API node or a worker out: it drains, ends, and is forgotten. The last of a kind stays.</summary>
    public async Task RemoveAsync(string name, CancellationToken cancel)
    {
        using var turn = folder.Lock();
        var state = folder.Load();
        var member = Named(state, name);
        if (member.Kind is not (MemberKind.Api or MemberKind.Worker))
        {
            throw new DependencyUnavailableException("cluster", $"{name} is not an API node or a worker; only those can be taken out.");
        }

        if (!state.Members.Any(other => other.Kind == member.Kind && other.Name != name))
        {
            throw new DependencyUnavailableException("cluster", $"{name} is the last {member.Kind.ToString().ToLowerInvariant()} node; 'sluice cluster add {member.Kind.ToString().ToLowerInvariant()}' first.");
        }

        say($"{name} drains …");
        await EndAsync(member, cancel);
        folder.Save(state with { Members = [.. state.Members.Where(each => each.Name != name)] });
        say($"{name} is out.");
    }

    /// <summary>
    /// Makes a replica the primary: the former one is killed (nothing else fences it here), the replica that has received most leads, the others follow, and the nodes are restarted one after the other
    /// to write to it; the workers first. Claims go on meanwhile.
    /// </summary>
    /// <param name="name">The replica, or null for the one that has received most.</param>
    public async Task PromoteAsync(string? name, CancellationToken cancel)
    {
        using var turn = folder.Lock();
        var state = folder.Load();
        var wanted = name is null ? null : Named(state, name);
        if (state.Sql != ClusterSql.Replication)
        {
            throw new DependencyUnavailableException("cluster", state.Sql == ClusterSql.Galera ? "nobody has to: HAProxy leads to another Galera node by itself." : "it has one MariaDB and no replica.");
        }

        if (wanted is { Kind: not MemberKind.MariaDb } || wanted?.Name == state.Writer)
        {
            throw new DependencyUnavailableException("cluster", $"{name} is {(wanted!.Name == state.Writer ? "the primary already" : "no MariaDB")}; the replicas are {string.Join(", ", MariaDbMember.Others(state).Select(replica => replica.Name))}.");
        }

        var former = state.Find(state.Writer)!;
        if (former.Process is { } process)
        {
            await process.KillAsync(cancel);
            say($"{former.Name}, the former primary, was killed: it must not take a write any more.");
        }

        var started = TimeProvider.System.GetTimestamp();
        var best = await MariaDbMember.PromoteAsync(folder, MariaDbMember.Others(state), wanted, cancel);
        var writer = state.Members.First(member => member.Kind == MemberKind.MariaDb && member.Port == best.Port);
        folder.Save(state = state with { Writer = writer.Name });
        say(string.Create(CultureInfo.InvariantCulture, $"{writer.Name} is the primary, after {TimeProvider.System.GetElapsedTime(started).TotalSeconds:0.0} s."));
        foreach (var node in state.InOrder.Where(member => member.IsSluice && member.IsAlive).ToList())
        {
            await EndAsync(node, cancel);
            state = await StartMissingAsync(state.With(node with { Process = null }), each => each.Name == node.Name, cancel);
        }

        say($"Every node writes to {writer.Name}. 'sluice cluster start {former.Name}' brings the former primary back as a replica.");
    }

    private static Member Named(ClusterState state, string name) => state.Find(name)
        ?? throw new DependencyUnavailableException("cluster", $"there is no '{name}' in it; there are {string.Join(", ", state.InOrder.Select(member => member.Name))}.");

    private static Member Alive(ClusterState state, string name) =>
        Named(state, name) is { IsAlive: true } member ? member : throw new DependencyUnavailableException("cluster", $"{name} does not run. 'sluice cluster start {name}' starts it.");

    // In order: engines before nodes, nodes before nginx. Each kind is started together and then waited for.
    private async Task<ClusterState> StartMissingAsync(ClusterState state, Func<Member, bool> which, CancellationToken cancel)
    {
        foreach (var kind in state.InOrder.Where(which).Where(member => !member.IsAlive).GroupBy(member => member.Kind).ToList())
        {
            // Of the Redis servers the primaries first: they wait for a failover only while others run already, and those may have what they have.
            // Of Galera nodes the one that has most: the others join it.
            var first = kind.Key switch
            {
                MemberKind.Redis => [.. RedisMember.Leaders(folder, state)],
                MemberKind.MariaDb when state.Sql == ClusterSql.Galera && await GaleraMember.FirstAsync(folder, state, cancel) is { } most => [most],
                _ => Array.Empty<string>(),
            };
            foreach (var member in kind.OrderByDescending(member => first.Contains(member.Name)).ToList())
            {
                if (!member.Ports.All(ClusterPlan.IsFree))
                {
                    // What a former life left behind is ours to end: nginx' workers keep the port when their master is killed.
                    await (member.Process?.KillAsync(cancel) ?? Task.CompletedTask);
                    if (!member.Ports.All(ClusterPlan.IsFree))
                    {
                        throw new DependencyUnavailableException("cluster", string.Create(CultureInfo.InvariantCulture, $"port {member.Port}, which {member.Name} needs, is used by another program."));
                    }
                }

                say(string.Create(CultureInfo.InvariantCulture, $"{member.Name} starts on port {member.Port} …"));
                state = state.With(member with { Process = await LaunchAsync(state, member, cancel) });
                folder.Save(state);
                if (state.Sql == ClusterSql.Galera && kind.Key == MemberKind.MariaDb)
                {
                    // One after the other, also those that join: of two that are given their state at once, one was seen to lack the other's arrival ("IST didn't contain all write sets"), and to end or to hang over it.
                    await ReadyAsync(state, state.Find(member.Name)!, cancel);
                }
            }

            foreach (var member in kind)
            {
                await ReadyAsync(state, state.Find(member.Name)!, cancel);
            }

            if (kind.Key == MemberKind.MariaDb)
            {
                await ReplicateAsync(state, cancel);

                // After a stop of all nodes HAProxy takes some seconds to believe in one again.
                if (state.Find("haproxy") is { IsAlive: true } proxy)
                {
                    await ReadyAsync(state, proxy, cancel);
                }
            }
        }

        return state;
    }

    private async Task<OwnProcess> LaunchAsync(ClusterState state, Member member, CancellationToken cancel)
    {
        switch (member.Kind)
        {
            case MemberKind.MariaDb when state.Sql == ClusterSql.Galera:
                return await GaleraMember.StartAsync(folder, state, member, cancel);
            case MemberKind.SqlCheck:
                return HaProxyMember.StartCheck(folder, state, member);
            case MemberKind.HaProxy:
                return HaProxyMember.Start(folder, state, member);
            case MemberKind.MariaDb:
                await MariaDbMember.InstallAsync(folder, member, cancel);
                return MariaDbMember.Start(folder, member, state.Sql, member.Name == state.Writer);
            case MemberKind.Redis:
                return await RedisMember.StartAsync(folder, state, member, say, cancel);
            case MemberKind.Sentinel:
                return SentinelMember.Start(folder, state, member);
            case MemberKind.Nginx:
                return NginxMember.Start(folder, state, member);
            case MemberKind.Worker or MemberKind.Api or MemberKind.Ops:
                ClusterFolder.MakeFolder(folder.Keys);

                // The ops node may look before nginx has its folder.
                ClusterFolder.MakeFolder(Path.GetDirectoryName(NginxMember.UpstreamFile(folder))!);
                return SluiceMember.Start(folder, state, member);
            default:
                throw new InvalidOperationException($"{member.Kind} is nothing that can be started.");
        }
    }

    private async Task ReadyAsync(ClusterState state, Member member, CancellationToken cancel)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (!await IsReadyAsync(state, member, cancel))
        {
            if (!member.IsAlive || TimeProvider.System.GetElapsedTime(started) > ReadyTimeMax)
            {
                throw new DependencyUnavailableException(
                    "cluster",
                    $"{member.Name} {(member.IsAlive ? $"was not ready within {ReadyTimeMax.TotalSeconds:0} s" : "ended at once")}. The end of its log ({folder.LogOf(member)}):{Environment.NewLine}{Tail(folder.LogOf(member), 8)}");
            }

            await Task.Delay(Look, TimeProvider.System, cancel);
        }
    }

    private async Task<bool> IsReadyAsync(ClusterState state, Member member, CancellationToken cancel) => member.Kind switch
    {
        MemberKind.MariaDb when state.Sql == ClusterSql.Galera => await GaleraMember.WhyNotAsync(folder, member) is null,
        MemberKind.MariaDb => await MariaDbMember.Server(folder, member).TryLookAsync(cancel) is not null,
        MemberKind.SqlCheck => await SluiceMember.AnswersAsync(SluiceMember.Url(member), cancel),
        MemberKind.HaProxy => await HaProxyMember.WriterAsync(folder, state) is not null,
        MemberKind.Redis => await RedisMember.IsReadyAsync(folder, state, member),
        MemberKind.Sentinel => await SentinelMember.TryLookAsync(folder, member) is not null,
        MemberKind.Nginx => await SluiceMember.AnswersAsync(NginxMember.CheckUrl(member), cancel),
        MemberKind.Worker or MemberKind.Api or MemberKind.Ops => await SluiceMember.MissingAsync(SluiceMember.Url(member), cancel) is "",
    };

    // The replicas follow before the primary leads: from then on its commits wait for them.
    private async Task ReplicateAsync(ClusterState state, CancellationToken cancel)
    {
        if (state.Sql != ClusterSql.Replication)
        {
            return;
        }

        var writer = state.Find(state.Writer)!;
        if (await MariaDbMember.Server(folder, writer).TryLookAsync(cancel) is null)
        {
            say($"{writer.Name}, the primary, does not run: nobody follows it yet. 'sluice cluster promote' makes a replica the primary.");
            return;
        }

        foreach (var replica in MariaDbMember.Others(state))
        {
            if (await MariaDbMember.Server(folder, replica).TryLookAsync(cancel) is { IsFollowing: false })
            {
                await MariaDbMember.FollowAsync(folder, replica, writer, cancel);
            }
        }

        await MariaDbMember.Server(folder, writer).LeadAsync(cancel);
    }

    private static async Task<bool> EndAsync(Member member, CancellationToken cancel)
    {
        if (member.Process is not { } process)
        {
            return false;
        }

        // SIGCONT first: one that hangs cannot end.
        process.SignalAll(Signals.Cont);
        var ended = await process.EndAsync(member.Kind == MemberKind.Nginx ? Signals.Quit : Signals.Term, EndTimeMax, cancel);
        if (!ended)
        {
            await Console.Error.WriteLineAsync($"sluice: {member.Name} had not ended after {EndTimeMax.TotalSeconds:0} s and was killed.");
        }

        return true;
    }

    private static string Tail(string file, int lines) => File.Exists(file) ? string.Join(Environment.NewLine, File.ReadLines(file).TakeLast(lines)) : "(no log)";
}

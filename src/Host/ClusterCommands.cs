using System.CommandLine;
using System.Text.Json;
using Sluice.Operations.Clusters;
using Spectre.Console;

namespace Sluice.Host;

/// <summary><c>sluice cluster …</c>: real engines and several nodes on this host, in one folder.</summary>
internal static class ClusterCommands
{
    public const string DefaultFolder = "./data/cluster";

    private const int PortMax = 64_000;

    private static readonly TimeSpan WatchEvery = TimeSpan.FromSeconds(1), LogPoll = TimeSpan.FromMilliseconds(200);

    /// <summary>What a demo allows and a real shop does not, as <c>Name=value</c>.</summary>
    public static IEnumerable<string> DemoSettings => DemoShop.Settings.Select(setting => $"{setting.Key}={setting.Value}");

    public static Command Create(Option<bool> json)
    {
        var data = new Option<string>("--data") { Description = "Folder of the cluster", DefaultValueFactory = _ => DefaultFolder };
        var name = new Argument<string>("node") { Description = "A name that 'sluice cluster status' shows, such as api-1" };

        var port = new Option<int?>("--port") { Description = $"Port of nginx on loopback, 1024–{PortMax} (8080); the others take free ones after it" };
        port.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && (!int.TryParse(token.Value, out var value) || value is < 1_024 or > PortMax))
            {
                result.AddError($"--port is a number from 1024 to {PortMax}.");
            }
        });
        var sql = new Option<string?>("--sql") { Description = "galera: three MariaDB Galera nodes, one of them written by way of HAProxy, which fail over by themselves (default); replication: a primary and two semi-synchronous replicas, of which you promote one; single: one MariaDB" };
        sql.AcceptOnlyFromAmong("galera", "replication", "single");
        var redis = new Option<string?>("--redis") { Description = "sentinel: a Redis primary, two replicas and three Sentinels, which fail over by themselves (default); cluster: a Redis Cluster of three primaries with a replica each, which fail over by themselves and share the sales among them (Redis 7); single: one Redis" };
        redis.AcceptOnlyFromAmong("sentinel", "cluster", "single");
        var demo = new Option<bool>("--demo") { Description = "Seed a small demo shop, let visitors be guests and play the payment provider" };
        var set = new Option<string[]>("--set") { Description = "Any setting of the Sluice nodes, as Section:Name=value; may be repeated" };
        var up = new Command(
            "up",
            "Start MariaDB, Redis, two API nodes, a worker, an ops node and nginx, and return when all are ready. Again: start what is missing.\n\nExamples:\n  sluice cluster up\n  sluice cluster up --sql single --redis single --port 9000 --data /tmp/shop --demo\n  sluice cluster up --redis cluster")
        { data, port, sql, redis, demo, set };
        up.SetAction(async (parsed, cancel) =>
        {
            var folder = Folder(parsed);
            string[] settings = [.. parsed.GetValue(demo) ? DemoSettings : [], .. parsed.GetValue(set) ?? []];
            var state = await new Cluster(folder, Console.Error.WriteLine).UpAsync(
                parsed.GetValue(port), parsed.GetValue(sql) is { } kind ? Enum.Parse<ClusterSql>(kind, ignoreCase: true) : null,
                parsed.GetValue(redis) is { } form ? Enum.Parse<ClusterRedis>(form, ignoreCase: true) : null, settings.Length > 0 ? settings : null, cancel);
            if (parsed.GetValue(demo))
            {
                await DemoShop.SeedAsync($"http://127.0.0.1:{state.PublicPort}", folder.Keys, cancel);
            }

            var status = await ClusterStatus.LookAsync(folder, cancel);
            AnsiConsole.Write(TableOf(status));
            Console.WriteLine($"The shop is open at {status.Url}; its API key is in {Path.Combine(folder.Keys, "admin.key")}");
            return Commands.Well;
        });

        var watch = new Option<bool>("--watch") { Description = "Look again every second until Ctrl-C" };
        var status = new Command("status", "Show every process: role, pid, port, health, replication lag, and the queue. Exit code 1 if one is not well.\n\nExamples:\n  sluice cluster status --watch\n  sluice cluster status --json") { data, watch, json };
        status.SetAction((parsed, cancel) => StatusAsync(Folder(parsed), parsed.GetValue(watch), parsed.GetValue(json), cancel));

        var stop = new Option<bool>("--stop") { Description = "Let it hang instead (SIGSTOP)" };
        var cont = new Option<bool>("--cont") { Description = "Wake one that hangs (SIGCONT)" };
        var kill = new Command("kill", "Kill one process as a crash would (kill -9), or let it hang.\n\nExamples:\n  sluice cluster kill api-1\n  sluice cluster kill mariadb-1 --stop") { name, data, stop, cont };
        kill.Validators.Add(result =>
        {
            if (result.GetValue(stop) && result.GetValue(cont))
            {
                result.AddError("--stop and --cont are opposites; give one of them.");
            }
        });
        kill.SetAction(async (parsed, cancel) =>
        {
            var cluster = Open(parsed);
            if (parsed.GetValue(stop) || parsed.GetValue(cont))
            {
                cluster.Freeze(parsed.GetValue(name)!, parsed.GetValue(stop));
            }
            else
            {
                await cluster.KillAsync(parsed.GetValue(name)!, cancel);
            }

            return Commands.Well;
        });

        var start = new Command("start", "Start one that died or was killed, and wait until it is ready.\n\nExamples:\n  sluice cluster start api-1\n  sluice cluster start mariadb-1") { name, data };
        start.SetAction((parsed, cancel) => DoneAsync(Open(parsed).StartAsync(parsed.GetValue(name)!, cancel)));

        var restart = new Command("restart", "End one in order (a node leaves the load balancer first) and start it again.\n\nExamples:\n  sluice cluster restart api-1\n  sluice cluster restart nginx") { name, data };
        restart.SetAction((parsed, cancel) => DoneAsync(Open(parsed).RestartAsync(parsed.GetValue(name)!, cancel)));

        var kind = new Argument<string>("kind") { Description = "api or worker" };
        kind.AcceptOnlyFromAmong("api", "worker");
        var add = new Command("add", "Start one more API node or worker.\n\nExamples:\n  sluice cluster add api\n  sluice cluster add worker") { kind, data };
        add.SetAction((parsed, cancel) => DoneAsync(Open(parsed).AddAsync(Enum.Parse<MemberKind>(parsed.GetValue(kind)!, ignoreCase: true), cancel)));

        var remove = new Command("remove", "Take an API node or worker out: it drains, ends and is forgotten.\n\nExamples:\n  sluice cluster remove api-3\n  sluice cluster remove worker-2") { name, data };
        remove.SetAction((parsed, cancel) => DoneAsync(Open(parsed).RemoveAsync(parsed.GetValue(name)!, cancel)));

        var replica = new Argument<string?>("replica") { Description = "The replica; without it, the one that has received most", Arity = ArgumentArity.ZeroOrOne };
        var promote = new Command(
            "promote", "With --sql replication: make a replica the SQL primary. The former primary is killed, the nodes are restarted one after the other.\n\nExamples:\n  sluice cluster promote\n  sluice cluster promote mariadb-2") { replica, data };
        promote.SetAction((parsed, cancel) => DoneAsync(Open(parsed).PromoteAsync(parsed.GetValue(replica), cancel)));

        var down = new Command("down", "End every process in order. The data stays, and 'up' goes on with it.\n\nExamples:\n  sluice cluster down\n  sluice cluster down --data /tmp/shop") { data };
        down.SetAction((parsed, cancel) => DoneAsync(Open(parsed).DownAsync(cancel)));

        var follow = new Option<bool>("--follow", "-f") { Description = "Go on as it grows, until Ctrl-C" };
        var lines = new Option<int>("--lines", "-n") { Description = "How many of the last lines, 1–100,000", DefaultValueFactory = _ => 50 };
        Commands.Bound(lines, 1, 100_000);
        var logs = new Command("logs", "Print the end of one process's log.\n\nExamples:\n  sluice cluster logs worker-1\n  sluice cluster logs nginx -f") { name, data, follow, lines };
        logs.SetAction((parsed, cancel) => LogsAsync(Folder(parsed), parsed.GetValue(name)!, parsed.GetValue(lines), parsed.GetValue(follow), cancel));

        return new Command("cluster", "Run real engines and several nodes on this host: MariaDB, HAProxy, Redis, nginx in front, all on loopback, in one folder.\n\nExamples:\n  sluice cluster up\n  sluice cluster kill api-1")
        { up, status, kill, start, restart, add, remove, promote, down, logs };

        ClusterFolder Folder(ParseResult parsed) => new(parsed.GetValue(data)!);

        Cluster Open(ParseResult parsed) => new(Folder(parsed), Console.WriteLine);
    }

    private static async Task<int> DoneAsync(Task work)
    {
        await work;
        return Commands.Well;
    }

    private static async Task<int> StatusAsync(ClusterFolder folder, bool watch, bool json, CancellationToken cancel)
    {
        var status = await ClusterStatus.LookAsync(folder, cancel);
        if (watch && !json && AnsiConsole.Profile.Out.IsTerminal)
        {
            await AnsiConsole.Live(TableOf(status)).StartAsync(async live =>
            {
                while (!cancel.IsCancellationRequested)
                {
                    await Task.Delay(WatchEvery, TimeProvider.System, cancel).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                    live.UpdateTarget(TableOf(status = cancel.IsCancellationRequested ? status : await ClusterStatus.LookAsync(folder, cancel)));
                }
            });
            return status.IsWell ? Commands.Well : Commands.Broken;
        }

        while (true)
        {
            if (json)
            {
                Console.WriteLine(JsonSerializer.Serialize(status, ClusterStatusJson.Default.ClusterStatus));
            }
            else
            {
                AnsiConsole.Write(TableOf(status));
            }

            if (!watch)
            {
                return status.IsWell ? Commands.Well : Commands.Broken;
            }

            await Task.Delay(WatchEvery, TimeProvider.System, cancel).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (cancel.IsCancellationRequested)
            {
                return status.IsWell ? Commands.Well : Commands.Broken;
            }

            status = await ClusterStatus.LookAsync(folder, cancel);
        }
    }

    private static Table TableOf(ClusterStatus status)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumns("node", "role");
        table.AddColumn(new TableColumn("pid").RightAligned());
        table.AddColumn(new TableColumn("port").RightAligned());
        table.AddColumn("health");
        table.AddColumn(new TableColumn("lag s").RightAligned());
        table.AddColumn("");
        foreach (var member in status.Members)
        {
            table.AddRow(
                member.Name, member.Role, member.Pid == 0 ? "-" : $"{member.Pid}", $"{member.Port}", $"[{(member.IsWell ? "green" : "red")}]{Markup.Escape(member.Health)}[/]",
                member.Lag is { } lag ? $"{lag:0}" : "", Markup.Escape(member.Says));
        }

        table.Caption(new TableTitle(status.QueueDepth is { } depth ? $"{Markup.Escape(status.Url)}   queue: {depth:N0} claims wait, the oldest {status.QueueAgeMs / 1_000.0:0.0} s" : $"{Markup.Escape(status.Url)}   queue: nobody can say"));
        return table;
    }

    private static async Task<int> LogsAsync(ClusterFolder folder, string name, int lines, bool follow, CancellationToken cancel)
    {
        var state = folder.Load();
        if (state.Find(name) is not { } member)
        {
            await Console.Error.WriteLineAsync($"sluice: cluster: there is no '{name}' in it; there are {string.Join(", ", state.InOrder.Select(each => each.Name))}.");
            return Commands.WrongArguments;
        }

        var file = folder.LogOf(member);
        if (!File.Exists(file))
        {
            await Console.Error.WriteLineAsync($"sluice: {file} is not there yet.");
            return Commands.Unreachable;
        }

        await using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using var reader = new StreamReader(stream);
        var last = new Queue<string>();
        while (await reader.ReadLineAsync(cancel) is { } line)
        {
            last.Enqueue(line);
            if (last.Count > lines)
            {
                last.Dequeue();
            }
        }

        foreach (var line in last)
        {
            Console.WriteLine(line);
        }

        while (follow && !cancel.IsCancellationRequested)
        {
            if (await reader.ReadLineAsync(CancellationToken.None) is { } line)
            {
                Console.WriteLine(line);
            }
            else
            {
                await Task.Delay(LogPoll, TimeProvider.System, cancel).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }

        return Commands.Well;
    }
}

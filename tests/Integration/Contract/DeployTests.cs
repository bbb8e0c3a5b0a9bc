using System.Collections;
using System.Globalization;
using System.Text.RegularExpressions;
using k8s;
using k8s.Models;
using Sluice.Host;
using Sluice.Tests.Integration.Cluster;
using Sluice.Tests.Integration.Servers;
using YamlDotNet.Serialization;

namespace Sluice.Tests.Integration.Contract;

/// <summary>The files that are handed out to teams, checked by the programs that read them, and held against what Sluice really has: its settings and its metrics.</summary>
public sealed partial class DeployTests(Engines engines)
{
    private const string Passwords = "abc-DEF_123";

    private static readonly IDeserializer Yaml = new DeserializerBuilder().WithDuplicateKeyChecking().Build();

    private static string Folder => Path.Combine(Programs.Root, "deploy");

    private static IEnumerable<string> Manifests => Directory.EnumerateFiles(Path.Combine(Folder, "k8s"), "*.yaml").Order(StringComparer.Ordinal);

    [Fact]
    public async Task HaProxyConfiguration_IsTakenByHaProxy() =>
        Assert.DoesNotContain("WARNING", await RunAsync(File.Exists("/usr/sbin/haproxy") ? "/usr/sbin/haproxy" : "haproxy", "-c", "-f", Path.Combine(Folder, "haproxy/haproxy.cfg")), StringComparison.Ordinal);

    [Fact]
    public async Task SystemdUnit_IsTakenBySystemd()
    {
        // The program itself is not installed here, and its absence is all that may be said.
        using var folder = new TempFolder();
        var unit = (await File.ReadAllTextAsync(Path.Combine(Folder, "systemd/sluice@.service"))).Replace("/usr/bin/dotnet /opt/sluice/sluice.dll", "/bin/true", StringComparison.Ordinal);
        Assert.Contains("/bin/true serve", unit, StringComparison.Ordinal);
        await File.WriteAllTextAsync(folder.File("sluice@.service"), unit);
        Assert.Equal("", (await RunAsync("systemd-analyze", "verify", folder.File("sluice@.service"))).Trim());
    }

    // ---- compose ---------------------------------------------------------------------------------------------------------

    [Fact]
    public async Task Compose_IsTakenByCompose_AndSaysOfEachServiceWhenItIsWellAndHowMuchItMayTake()
    {
        var services = await ComposeAsync();
        Assert.Equal(
            ["api-1", "api-2", "check-sql-1", "check-sql-2", "check-sql-3", "haproxy", "mariadb-1", "mariadb-2", "mariadb-3", "nginx", "ops-1", "redis-1", "redis-2", "redis-3", "sentinel-1", "sentinel-2", "sentinel-3", "worker-1"],
            services.Keys.Cast<string>().Order(StringComparer.Ordinal));
        foreach (DictionaryEntry service in services)
        {
            var (name, says) = ((string)service.Key, (IDictionary)service.Value!);
            Assert.Equal("always", says["restart"]);
            Assert.True(says.Contains("mem_limit"), name);
            Assert.True(says.Contains("healthcheck") || name.StartsWith("check-sql", StringComparison.Ordinal), name);
        }

        // Each node reads at the servers that are not written first.
        string[] readers = [.. new[] { "mariadb-2", "mariadb-3" }.Select(name => $"Server={((IDictionary)((IDictionary)((IDictionary)services[name]!)["networks"]!)["sluice"]!)["ipv4_address"]};")];
        Assert.All(services.Keys.Cast<string>().Where(name => EnvironmentOf(services, name).ContainsKey("SLUICE__ROLES")), name => Assert.All(
            readers.Index(), reader => Assert.StartsWith(reader.Item, EnvironmentOf(services, name)[$"SLUICE__SQL__READERS__{reader.Index}"], StringComparison.Ordinal)));

        // What nginx passes requests to is there.
        var upstream = await File.ReadAllTextAsync(Path.Combine(Folder, "compose/sluice-upstream.conf"));
        Assert.Equal(
            services.Keys.Cast<string>().Where(name => name.StartsWith("api-", StringComparison.Ordinal)).Select(name => $"server {EnvironmentOf(services, name)["SLUICE__NODES__ADDRESS"]} ").Order(StringComparer.Ordinal),
            Regex.Matches(upstream, @"server \S+ ", RegexOptions.None, TimeSpan.FromSeconds(1)).Select(match => match.Value).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task ComposeUpstream_IsTakenByNginx()
    {
        using var folder = new TempFolder();
        foreach (var name in new[] { "nginx/nginx.conf", "nginx/sluice.conf", "compose/sluice-upstream.conf" })
        {
            var text = (await File.ReadAllTextAsync(Path.Combine(Folder, name))).Replace("/etc/nginx/", $"{folder.Path}/", StringComparison.Ordinal).Replace("/var/log/nginx/", $"{folder.Path}/", StringComparison.Ordinal)
                .Replace("/var/lib/nginx/", $"{folder.Path}/", StringComparison.Ordinal).Replace("/run/nginx.pid", $"{folder.Path}/pid", StringComparison.Ordinal).Replace("listen 80 ", $"listen 127.0.0.1:{FreePort.Next()} ", StringComparison.Ordinal);
            await File.WriteAllTextAsync(folder.File(Path.GetFileName(name)), text);
        }

        Assert.Contains("syntax is ok", await RunAsync(NginxInFront.Program, "-t", "-e", folder.File("error.log"), "-c", folder.File("nginx.conf")), StringComparison.Ordinal);
    }

    // The line that the containers ask themselves with, at a real node.
    [Fact]
    public async Task ComposeHealthCheck_AtANode_SaysWhetherItIsReady()
    {
        var check = ((IList)((IDictionary)((IDictionary)(await ComposeAsync())["api-1"]!)["healthcheck"]!)["test"]!).Cast<string>().ToList();
        Assert.Equal("CMD", check[0]);
        await using var server = await SluiceServer.StartAsync();
        foreach (var (port, exit) in new[] { (server.Port, 0), (FreePort.Next(), 1) })
        {
            await using var asked = ChildProcess.Start(check[1], check.Skip(2).Select(word => word.Replace("/127.0.0.1/8080", string.Create(CultureInfo.InvariantCulture, $"/127.0.0.1/{port}"), StringComparison.Ordinal)));
            Assert.True(await asked.WaitAsync(TimeSpan.FromMinutes(1)) == exit, asked.Output);
        }
    }

    // ---- Kubernetes ------------------------------------------------------------------------------------------------------

    [Fact]
    public void Manifests_AreReadStrictly_AndMeetEachOther()
    {
        var objects = Objects();
        Assert.Equal(
            Manifests.Select(Path.GetFileName).Where(name => name is not ("kustomization.yaml" or "secret.example.yaml")),
            ((IList)Yaml.Deserialize<Dictionary<string, object>>(File.ReadAllText(Path.Combine(Folder, "k8s/kustomization.yaml")))["resources"]).Cast<string>().Order(StringComparer.Ordinal));
        var sets = objects.OfType<V1StatefulSet>().ToList();
        Assert.Equal(["api", "ops", "worker"], sets.Select(set => set.Metadata.Name).Order(StringComparer.Ordinal));
        var services = objects.OfType<V1Service>().ToDictionary(service => service.Metadata.Name, StringComparer.Ordinal);
        var config = objects.OfType<V1ConfigMap>().Single();
        var drain = TimeSpan.Parse(config.Data["SLUICE__DRAINTIMEMAX"], CultureInfo.InvariantCulture);
        foreach (var set in sets)
        {
            var (labels, pod) = (set.Spec.Template.Metadata.Labels, set.Spec.Template.Spec);
            var container = pod.Containers.Single();
            Assert.All(set.Spec.Selector.MatchLabels, label => Assert.Equal(label.Value, labels[label.Key]));
            Assert.All(pod.TopologySpreadConstraints, spread => Assert.All(spread.LabelSelector.MatchLabels, label => Assert.Equal(label.Value, labels[label.Key])));
            Assert.All(services[set.Spec.ServiceName].Spec.Selector, label => Assert.Equal(label.Value, labels[label.Key]));
            Assert.Equal("/health/live", container.LivenessProbe.HttpGet.Path);
            Assert.Equal("/health/ready", container.ReadinessProbe.HttpGet.Path);
            Assert.True(container.SecurityContext.ReadOnlyRootFilesystem is true && pod.SecurityContext.RunAsNonRoot is true && container.Resources.Limits.ContainsKey("memory"));

            // It is killed only after it had all the time that it was given.
            var before = int.Parse(container.Lifecycle.PreStop.Exec.Command[1], CultureInfo.InvariantCulture);
            Assert.True(TimeSpan.FromSeconds(pod.TerminationGracePeriodSeconds!.Value - before) > drain);
            Assert.All(container.EnvFrom, from => Assert.True(
                from.ConfigMapRef?.Name == config.Metadata.Name || objects.OfType<V1Secret>().Any(secret => secret.Metadata.Name == from.SecretRef?.Name)));
            Assert.All(pod.Volumes.Where(volume => volume.Secret is not null), volume => Assert.Contains(objects.OfType<V1Secret>(), secret => secret.Metadata.Name == volume.Secret.SecretName));
        }

        Assert.All(objects.OfType<V1PodDisruptionBudget>(), budget => Assert.Contains(sets, set => budget.Spec.Selector.MatchLabels.All(label => set.Spec.Template.Metadata.Labels[label.Key] == label.Value)));
        Assert.All(objects.OfType<V2HorizontalPodAutoscaler>(), scaler => Assert.Contains(sets, set => scaler.Spec.ScaleTargetRef.Name == set.Metadata.Name && scaler.Spec.ScaleTargetRef.Kind == set.Kind && set.Spec.Replicas is null));
        Assert.All(objects.OfType<V1Ingress>().Single().Spec.Rules.Single().Http.Paths, path => Assert.Contains(path.Backend.Service.Port.Name, services[path.Backend.Service.Name].Spec.Ports.Select(port => port.Name)));
    }

    // Two live nodes with one number could make one claim id twice.
    [Fact]
    public void Numbers_OfAllPodsThatTheAutoscalersAllow_AreLegalAndDifferent()
    {
        var most = Objects().OfType<V2HorizontalPodAutoscaler>().ToDictionary(scaler => scaler.Metadata.Name, scaler => scaler.Spec.MaxReplicas, StringComparer.Ordinal);
        var numbers = Objects().OfType<V1StatefulSet>().SelectMany(set => Enumerable.Range(0, most.GetValueOrDefault(set.Metadata.Name, set.Spec.Replicas ?? 1)).Select(pod => EnvironmentOf(set, pod)["SLUICE__NODEID"])).ToList();
        Assert.Equal(27, numbers.Count);
        Assert.Equal(numbers.Count, numbers.Distinct(StringComparer.Ordinal).Count());
        Assert.All(numbers, number => Load("a pod", new Dictionary<string, string>(StringComparer.Ordinal) { ["SLUICE__NODEID"] = number }));
    }

    // ---- settings --------------------------------------------------------------------------------------------------------

    [Fact]
    public async Task Settings_InEveryFile_AreKnownAndLegal()
    {
        var services = await ComposeAsync();
        foreach (var name in services.Keys.Cast<string>())
        {
            Load(name, EnvironmentOf(services, name));
        }

        var given = Objects().OfType<V1ConfigMap>().SelectMany(map => map.Data).Concat(Objects().OfType<V1Secret>().SelectMany(secret => secret.StringData)).Where(pair => pair.Key.StartsWith("SLUICE__", StringComparison.Ordinal)).ToList();
        foreach (var set in Objects().OfType<V1StatefulSet>())
        {
            Load(set.Metadata.Name, EnvironmentOf(set, 0).Concat(given).ToDictionary(StringComparer.Ordinal));
        }

        var unit = await File.ReadAllTextAsync(Path.Combine(Folder, "systemd/sluice@.service"));
        Load("systemd", InFile().Matches(unit.Replace("%i", "api-1", StringComparison.Ordinal)).ToDictionary(match => match.Groups[1].Value, match => match.Groups[2].Value, StringComparer.Ordinal));
        Load("Dockerfile", InFile().Matches(await File.ReadAllTextAsync(Path.Combine(Programs.Root, "Dockerfile"))).ToDictionary(match => match.Groups[1].Value, match => match.Groups[2].Value, StringComparer.Ordinal));

        // And in none of the other files is a name that those do not have.
        var known = services.Keys.Cast<string>().SelectMany(name => EnvironmentOf(services, name).Keys).Concat(given.Select(pair => pair.Key))
            .Concat(Objects().OfType<V1StatefulSet>().SelectMany(set => EnvironmentOf(set, 0).Keys)).Concat(InFile().Matches(unit).Select(match => match.Groups[1].Value)).ToHashSet(StringComparer.Ordinal);
        Assert.All(
            Directory.EnumerateFiles(Folder, "*", SearchOption.AllDirectories),
            file => Assert.All(Regex.Matches(File.ReadAllText(file), "SLUICE__[A-Z0-9_]+", RegexOptions.None, TimeSpan.FromSeconds(1)), match => Assert.Contains(match.Value, known)));
    }

    // ---- Prometheus ------------------------------------------------------------------------------------------------------

    [Theory]
    [InlineData("check config prometheus.yml")]
    [InlineData("check rules --lint-fatal sluice.rules.yml")]
    [InlineData("test rules sluice.rules.test.yml")]
    public async Task Prometheus_TakesItsFilesAndTheRulesSayWhatTheirTestsExpect(string command) =>
        Assert.Contains("SUCCESS", await RunAsync("promtool", command.Split(' '), Path.Combine(Folder, "prometheus")), StringComparison.Ordinal);

    [Fact]
    public async Task Alerts_AreTestedAndHaveARunbook()
    {
        var tests = await File.ReadAllTextAsync(Path.Combine(Folder, "prometheus/sluice.rules.test.yml"));
        var alerts = (await RulesAsync()).Where(rule => rule.ContainsKey("alert")).ToList();
        Assert.NotEmpty(alerts);
        Assert.All(alerts, alert =>
        {
            var (page, section) = ((string)((IDictionary)alert["annotations"])["runbook_url"]!).Split('#') is [var file, var anchor] ? (file, anchor) : ("", "");
            Assert.Contains(File.ReadAllLines(Path.Combine(Programs.Root, page)), line => line.StartsWith("## ", StringComparison.Ordinal) && line[3..].Equals(section, StringComparison.OrdinalIgnoreCase));
            Assert.Equal(((string)alert["alert"]).ToLowerInvariant(), section);
            Assert.Matches($@"alertname: {alert["alert"]}\s+eval_time: \w+\s+exp_alerts:\s*\[?\S", tests);
        });
    }

    [Fact]
    public async Task Metrics_InTheRules_AreThoseOfARunningNode()
    {
        // With a second shard: of what waits for a shard only a node speaks that has one.
        var home = await engines.MariaDbAsync();
        await using var server = await SluiceServer.StartAsync([.. new ShardedShop(await home.NewDatabaseAsync(), [await home.NewDatabaseAsync(), await home.NewDatabaseAsync()]).Settings]);
        var sale = await server.OpenSaleAsync(1);
        Assert.Equal(201, (await server.ClaimAsync(sale, await server.TokenAsync("u-1"), prefer: "wait=20")).Status);
        var text = "";
        await Eventually.TrueAsync(async () => (text = await server.Http.GetStringAsync("/metrics")).Contains("sluice_outbox_orders", StringComparison.Ordinal), "the orders that wait are counted");

        // What Prometheus adds itself, and what the rules record.
        var rules = await RulesAsync();
        var there = Regex.Matches(text, @"^(?<name>[a-z_]+)\{(?<labels>[^}]*)\}", RegexOptions.Multiline, TimeSpan.FromSeconds(1)).Select(sample => (Name: sample.Groups["name"].Value, Labels: Label().Matches(sample.Groups["labels"].Value).Select(label => label.Groups[1].Value).ToList()))
            .Concat(rules.Where(rule => rule.ContainsKey("record")).Select(rule => (Name: (string)rule["record"], Labels: new List<string> { "outcome", "http_response_status_code", "tier" })))
            .Append((Name: "up", Labels: ["job", "role"])).ToList();
        var used = rules.SelectMany(rule => Metric().Matches(Grouping().Replace((string)rule["expr"], ""))).ToList();
        Assert.True(used.Count > rules.Count);
        Assert.All(used, metric =>
        {
            var samples = there.Where(sample => sample.Name == metric.Groups[1].Value).ToList();
            Assert.True(samples.Count > 0, $"no node has {metric.Groups[1].Value}");
            Assert.All(Label().Matches(metric.Groups[2].Value), label => Assert.True(samples.Exists(sample => sample.Labels.Contains(label.Groups[1].Value)), $"{metric.Value}: no such label"));
        });
    }

    // ---- reading them ----------------------------------------------------------------------------------------------------

    private static async Task<IDictionary> ComposeAsync()
    {
        // As somebody would have filled it in.
        using var folder = new TempFolder();
        var file = Path.Combine(Folder, "compose");
        await File.WriteAllTextAsync(folder.File("env"), Regex.Replace(await File.ReadAllTextAsync(Path.Combine(file, ".env.example")), "=$", $"={Passwords}", RegexOptions.Multiline, TimeSpan.FromSeconds(1)));
        return (IDictionary)Yaml.Deserialize<Dictionary<string, object>>(await RunAsync("docker-compose", "--env-file", folder.File("env"), "-f", Path.Combine(file, "compose.yaml"), "config"))["services"];
    }

    private static Dictionary<string, string> EnvironmentOf(IDictionary services, string name) =>
        ((IDictionary)services[name]!)["environment"] is IDictionary environment ? environment.Keys.Cast<string>().Where(key => key.StartsWith("SLUICE__", StringComparison.Ordinal)).ToDictionary(key => key, key => (string)environment[key]!, StringComparer.Ordinal) : [];

    private static IReadOnlyList<object> Objects() =>
        [.. Manifests.Where(file => !file.EndsWith("kustomization.yaml", StringComparison.Ordinal)).SelectMany(file => KubernetesYaml.LoadAllFromString(File.ReadAllText(file), strict: true))];

    // As the kubelet makes it: $(NAME) is what the container was given before.
    private static Dictionary<string, string> EnvironmentOf(V1StatefulSet set, int pod)
    {
        var all = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var variable in set.Spec.Template.Spec.Containers.Single().Env)
        {
            all[variable.Name] = variable.ValueFrom?.FieldRef?.FieldPath switch
            {
                null => Regex.Replace(variable.Value, @"\$\((?<name>\w+)\)", match => all[match.Groups["name"].Value], RegexOptions.None, TimeSpan.FromSeconds(1)),
                "metadata.name" => string.Create(CultureInfo.InvariantCulture, $"{set.Metadata.Name}-{pod}"),
                "metadata.labels['apps.kubernetes.io/pod-index']" => pod.ToString(CultureInfo.InvariantCulture),
                "status.podIP" => "10.1.2.3",
                var path => throw new InvalidOperationException($"{path} is nothing that a pod knows of itself."),
            };
        }

        return all.Where(pair => pair.Key.StartsWith("SLUICE__", StringComparison.Ordinal)).ToDictionary(StringComparer.Ordinal);
    }

    private static void Load(string what, IReadOnlyDictionary<string, string> environment)
    {
        try
        {
            Node.Load(environment.Select(pair => new KeyValuePair<string, string?>(pair.Key["SLUICE__".Length..].Replace("__", ":", StringComparison.Ordinal), pair.Value)));
        }
        catch (SettingsException e)
        {
            Assert.Fail($"{what}: {e.Message}");
        }
    }

    private static async Task<IReadOnlyList<Dictionary<object, object>>> RulesAsync() =>
        [.. ((IList)Yaml.Deserialize<Dictionary<string, object>>(await File.ReadAllTextAsync(Path.Combine(Folder, "prometheus/sluice.rules.yml")))["groups"])
            .Cast<Dictionary<object, object>>().SelectMany(group => ((IList)group["rules"]).Cast<Dictionary<object, object>>())];

    private static Task<string> RunAsync(string program, params string[] arguments) => RunAsync(program, arguments, Folder);

    // A missing program is a failure, never a skip: ./test installs it. Of one that succeeds, what it says on both outputs counts: warnings come on the second.
    private static async Task<string> RunAsync(string program, IReadOnlyList<string> arguments, string folder)
    {
        await using var process = ChildProcess.Start(program, arguments, folder: folder);
        Assert.True(await process.WaitAsync(TimeSpan.FromMinutes(1)) == 0, process.Output);
        return program == "docker-compose" ? process.StandardOutput : process.Output;
    }

    [GeneratedRegex(@"\b(SLUICE__[A-Z0-9_]+)=([^\s…]+)")]
    private static partial Regex InFile();

    [GeneratedRegex(@"\b((?:sluice|http|kestrel|dotnet)[a-z0-9_:]*_[a-z0-9_:]+|sluice:[a-z0-9_:]+|up)\b(?:\{([^}]*)\})?")]
    private static partial Regex Metric();

    [GeneratedRegex(@"\bby \([^)]*\)")]
    private static partial Regex Grouping();

    [GeneratedRegex(@"(\w+)\s*(?:=~|!=|!~|=)\s*""")]
    private static partial Regex Label();
}

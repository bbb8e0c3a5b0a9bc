using System.Globalization;

namespace Sluice.Operations.Clusters;

/// <summary>A node of Sluice itself.</summary>
internal static class SluiceMember
{
    private static readonly HttpClient Http = new(new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.Zero, UseProxy = false }) { Timeout = TimeSpan.FromSeconds(2) };

    public static string Url(Member member) => string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{member.Port}");

    public static OwnProcess Start(ClusterFolder folder, ClusterState state, Member member)
    {
        var nginx = state.Members.First(each => each.Kind == MemberKind.Nginx);

        // Settings by the environment: arguments, and the passwords in them, could be read by everybody.
        var environment = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["SLUICE__ROLES"] = member.Kind.ToString(),
            ["SLUICE__NODEID"] = member.NodeId.ToString(CultureInfo.InvariantCulture),
            ["SLUICE__URLS"] = Url(member),
            ["SLUICE__DATA"] = folder.Keys,
            ["SLUICE__KNOWNPROXIES"] = "127.0.0.1",
            ["SLUICE__NODES__NAME"] = member.Name,
            ["SLUICE__SQL__CONNECTION"] = MariaDbMember.Connection(folder, MariaDbMember.WriterPort(state)),
        };
        foreach (var (number, reader) in MariaDbMember.Others(state).Index())
        {
            environment[string.Create(CultureInfo.InvariantCulture, $"SLUICE__SQL__READERS__{number}")] = MariaDbMember.Connection(folder, reader.Port);
        }

        foreach (var (name, value) in RedisMember.Settings(folder, state))
        {
            environment[name] = value;
        }

        if (member.Kind == MemberKind.Ops)
        {
            environment["SLUICE__NGINX__UPSTREAMFILE"] = NginxMember.UpstreamFile(folder);
            environment["SLUICE__NGINX__PIDFILE"] = NginxMember.PidFile(folder);
            environment["SLUICE__NGINX__CHECKURL"] = NginxMember.CheckUrl(nginx);
        }

        return Run(["serve", .. state.Settings.SelectMany(setting => new[] { "--set", setting })], environment, folder.Root, folder.LogOf(member));
    }

    /// <summary>This very program, as a process of the cluster.</summary>
    public static OwnProcess Run(IEnumerable<string> arguments, IReadOnlyDictionary<string, string> environment, string folder, string log)
    {
        var dotnet = Environment.ProcessPath is { } path && Path.GetFileNameWithoutExtension(path) == "dotnet" ? path : "dotnet";
        return OwnProcess.Start(dotnet, [Path.Combine(AppContext.BaseDirectory, "sluice.dll"), .. arguments], environment, folder, log);
    }

    /// <summary>"" when it is ready, else what is missing; null when it does not answer.</summary>
    public static async Task<string?> MissingAsync(string url, CancellationToken cancel)
    {
        try
        {
            using var response = await Http.GetAsync(url + "/health/ready", cancel);
            if (response.IsSuccessStatusCode)
            {
                return "";
            }

            var body = await response.Content.ReadAsStringAsync(cancel);
            return body.StartsWith('{') && (string?)System.Text.Json.Nodes.JsonNode.Parse(body)!["detail"] is { } detail ? detail : $"{(int)response.StatusCode}";
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !cancel.IsCancellationRequested)
        {
            return null;
        }
    }

    /// <summary>Whether an address answers at all, with whatever.</summary>
    public static async Task<bool> AnswersAsync(string url, CancellationToken cancel)
    {
        try
        {
            using var response = await Http.GetAsync(url, cancel);
            return true;
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !cancel.IsCancellationRequested)
        {
            return false;
        }
    }
}

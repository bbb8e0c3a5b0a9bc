using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Sluice.Operations.Clusters;

/// <summary>A Redis of the cluster: every write is on the disk before it is answered.</summary>
internal static class RedisMember
{
    public static string Connection(ClusterFolder folder, Member member) =>
        string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{member.Port},password={folder.Secret("redis")}");

    public static OwnProcess Start(ClusterFolder folder, Member member)
    {
        var home = folder.Of(member);
        ClusterFolder.MakeFolder(home);

        // A file, not arguments: everybody can read those.
        var file = Path.Combine(home, "redis.conf");
        File.WriteAllLines(file, [
            string.Create(CultureInfo.InvariantCulture, $"port {member.Port}"), "bind 127.0.0.1", $"dir \"{home}\"", "save \"\"", "appendonly yes", "appendfsync always", "maxmemory-policy noeviction",
            $"requirepass {folder.Secret("redis")}", $"masterauth {folder.Secret("redis")}",
        ]);
        return OwnProcess.Start(ServerPrograms.Find("redis-server"), [file], new Dictionary<string, string>(StringComparer.Ordinal), home, folder.LogOf(member));
    }

    /// <summary>True when it takes commands. A look by hand: what a client library would add (reconnects, topology) only hides a server that is not well.</summary>
    public static async Task<bool> AnswersAsync(ClusterFolder folder, Member member, CancellationToken cancel)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        timeout.CancelAfter(TimeSpan.FromSeconds(1));
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync("127.0.0.1", member.Port, timeout.Token);
            await using var stream = client.GetStream();
            await stream.WriteAsync(Encoding.ASCII.GetBytes($"AUTH {folder.Secret("redis")}\r\nPING\r\n"), timeout.Token);
            var answer = "";
            var buffer = new byte[256];
            while (answer.Count(c => c == '\n') < 2 && await stream.ReadAsync(buffer, timeout.Token) is var count and > 0)
            {
                answer += Encoding.ASCII.GetString(buffer, 0, count);
            }

            return answer.Contains("+PONG", StringComparison.Ordinal);
        }
        catch (Exception e) when (e is IOException or SocketException or OperationCanceledException)
        {
            cancel.ThrowIfCancellationRequested();
            return false;
        }
    }
}

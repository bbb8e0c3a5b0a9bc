using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Operations.Nodes;
using Sluice.Platform.Hosting;

namespace Sluice.Operations.LoadBalancer;

/// <summary>
/// Keeps nginx' upstream file in step with the registry: written whole under another name and renamed, nginx told to reload, and only when nginx itself says that the new file is in force
/// is the registry told which nodes may get requests. Nothing is done where nothing changed.
/// </summary>
public sealed partial class NginxKeeper(NodeRegistry registry, NodeHeartbeat self, NginxOptions options, NodesOptions nodesOptions, TimeProvider time, ILogger<NginxKeeper> log) : BackgroundService
{
    private static readonly TimeSpan ReloadAgainAfter = TimeSpan.FromSeconds(2);

    private readonly HttpClient http = new(new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.Zero, UseProxy = false }) { Timeout = TimeSpan.FromSeconds(1) };
    private IReadOnlyList<NodeAnnouncement> current = [];
    private UpstreamFile? written;
    private string calmFor = "";
    private bool inForce;
    private long registryWellSince, calmSince, reloadedAt, announcedAt;

    private string SoonFile => Path.Combine(Path.GetDirectoryName(Path.GetFullPath(options.UpstreamFile))!, "sluice-reload-soon");

    /// <summary>One look: calm, write, reload, check and tell, as far as each is due. Each look does one of them.</summary>
    internal async Task RoundAsync()
    {
        // Step 1: who should get requests.
        IReadOnlyList<RegisteredNode> nodes;
        try
        {
            nodes = [.. (await registry.ListAsync()).Where(node => UpstreamFile.IsFor(node.Node, options))];
        }
        catch (DependencyUnavailableException)
        {
            // Without the registry nothing is known, so nothing changes.
            registryWellSince = 0;
            throw;
        }

        registryWellSince = registryWellSince == 0 ? time.GetTimestamp() : registryWellSince;
        var mayDropSilent = time.GetElapsedTime(registryWellSince) > nodesOptions.SilenceMax;
        current = UpstreamFile.Choose(nodes, current, nodesOptions.SilenceMax, mayDropSilent);
        if (current.Count == 0)
        {
            // Nobody yet: what the file had before is better than nothing.
            return;
        }

        // Step 2: what is in force already (after a start of this node) needs no reload.
        var wanted = UpstreamFile.Of(current);
        var isInForce = await VersionInForceAsync() == wanted.Version;
        if (isInForce)
        {
            File.Delete(SoonFile);
            (written, calmFor) = (wanted, "");
        }
        else if (wanted.Version != calmFor)
        {
            // Step 3: nginx' connections come to rest, so that none is cut.
            await File.WriteAllTextAsync(SoonFile, "");
            (calmFor, calmSince) = (wanted.Version, calmFor.Length == 0 ? time.GetTimestamp() : calmSince);
        }

        if (!isInForce && time.GetElapsedTime(calmSince) < options.CalmTime)
        {
            return;
        }

        // Step 4: the file, whole or not at all.
        if (wanted.Version != written?.Version)
        {
            var draft = options.UpstreamFile + ".new";
            await File.WriteAllTextAsync(draft, wanted.Text);
            File.Move(draft, options.UpstreamFile, overwrite: true);
            (written, inForce, reloadedAt) = (wanted, false, 0);
            LogWritten(log, string.Join(", ", current.Select(node => $"{node.Name} {node.Address}")));
        }

        // Step 5: nginx takes it, and says so. Asked again while it does not: it may have been down, or have started with the file of before.
        if (!isInForce)
        {
            inForce = false;
            if (reloadedAt == 0 || time.GetElapsedTime(reloadedAt) > ReloadAgainAfter)
            {
                Reload();
                reloadedAt = time.GetTimestamp();
            }

            return;
        }

        // Step 6: the nodes are told. One that drains may stop when it is not among them.
        if (!inForce || time.GetElapsedTime(announcedAt) > nodesOptions.HeartbeatEvery)
        {
            await registry.AnnounceBalancerAsync(self.Name, wanted.Lives);
            (inForce, announcedAt) = (true, time.GetTimestamp());
        }
    }

    public override void Dispose()
    {
        http.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // Said once: Redis is away, or the file cannot be written. nginx goes on with what it has.
        await Rounds.RunAsync(RoundAsync, options.Round, (error, says) => LogFailed(log, error, says), time, stoppingToken);
        try
        {
            // Nobody looks after nginx now: nodes that drain must not wait for it.
            await registry.RemoveBalancerAsync(self.Name);
        }
        catch (DependencyUnavailableException e)
        {
            LogFailed(log, null, e.Message);
        }
    }

    private async Task<string> VersionInForceAsync()
    {
        try
        {
            // A new connection each time: one that was kept could be with a worker of before the reload.
            using var request = new HttpRequestMessage(HttpMethod.Get, options.CheckUrl) { Headers = { ConnectionClose = true } };
            using var response = await http.SendAsync(request);
            return response.IsSuccessStatusCode ? (await response.Content.ReadAsStringAsync()).Trim() : "";
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            return "";
        }
    }

    private void Reload()
    {
        if (!File.Exists(options.PidFile) || !int.TryParse(File.ReadAllText(options.PidFile).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var pid))
        {
            // nginx is not up. When it comes it reads the file by itself.
            return;
        }

        // The pid file may be older than a restart of the machine: the number must be an nginx.
        if (File.Exists($"/proc/{pid}/cmdline") && !File.ReadAllText($"/proc/{pid}/cmdline").Contains("nginx", StringComparison.Ordinal))
        {
            LogNotNginx(log, pid, options.PidFile);
            return;
        }

        if (!Signals.Send(pid, Signals.Hup))
        {
            LogNotReloaded(log, pid, Marshal.GetLastPInvokeErrorMessage());
        }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "nginx' upstream is now {Nodes}")]
    private static partial void LogWritten(ILogger log, string nodes);

    [LoggerMessage(Level = LogLevel.Warning, Message = "nginx is left as it is: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, string says);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Process {Pid} of {PidFile} is no nginx; it is let be")]
    private static partial void LogNotNginx(ILogger log, int pid, string pidFile);

    [LoggerMessage(Level = LogLevel.Warning, Message = "nginx (process {Pid}) could not be told to reload: {Says}")]
    private static partial void LogNotReloaded(ILogger log, int pid, string says);
}

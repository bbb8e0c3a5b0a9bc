using System.Text;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace Sluice.Tests.Integration.Servers;

/// <summary>A real rabbitmq-server of one node, with its own port mapper, on free ports, in a folder of its own. Both are ended by their own ids.</summary>
public sealed class RabbitMqServer : IAsyncDisposable
{
    public const string Password = "rabbit-password";

    // The start script itself, not Debian's wrapper, which changes to another user and to its own folders.
    private const string Program = "/usr/lib/rabbitmq/bin/rabbitmq-server";

    // Five to ten seconds on a machine that has nothing else to do.
    private static readonly TimeSpan StartTimeMax = TimeSpan.FromMinutes(3), Look = TimeSpan.FromMilliseconds(100);

    private readonly TempFolder folder = new();
    private readonly int port = FreePort.Next(), clusterPort = FreePort.Next(), mapperPort = FreePort.Next();
    private ChildProcess? mapper;
    private ChildProcess? process;

    public string Connection => $"amqp://shop:{Password}@127.0.0.1:{port}/";

    public ChildProcess Process => process ?? throw new InvalidOperationException("Not started.");

    public static async Task<RabbitMqServer> StartAsync()
    {
        var server = new RabbitMqServer();
        try
        {
            await server.BeginAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts it (again) on what its folder holds, and returns when it answers. A missing rabbitmq-server is a failure, never a skip: ./test installs it.</summary>
    public async Task BeginAsync()
    {
        await File.WriteAllTextAsync(folder.File("rabbitmq.conf"), $"""
            listeners.tcp.1 = 127.0.0.1:{port}
            default_user = shop
            default_pass = {Password}
            disk_free_limit.absolute = 50MB
            log.console = true
            log.console.level = warning
            log.file = false

            """);
        await File.WriteAllTextAsync(folder.File("plugins"), "[].");
        var environment = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["HOME"] = folder.Path,
            ["ERL_EPMD_PORT"] = $"{mapperPort}",
            ["ERL_EPMD_ADDRESS"] = "127.0.0.1",
            ["RABBITMQ_NODENAME"] = $"sluice-{port}@localhost",
            ["RABBITMQ_DIST_PORT"] = $"{clusterPort}",
            ["RABBITMQ_CONFIG_FILE"] = folder.File("rabbitmq.conf"),
            ["RABBITMQ_CONF_ENV_FILE"] = "/dev/null",
            ["RABBITMQ_ENABLED_PLUGINS_FILE"] = folder.File("plugins"),
            ["RABBITMQ_MNESIA_BASE"] = folder.File("data"),
            ["RABBITMQ_LOG_BASE"] = folder.File("log"),
            ["RABBITMQ_PID_FILE"] = folder.File("pid"),
            ["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = "+S 1:1 +sbwt none",

            // Together: the script becomes the server, so that its id is the server's, and the server reads no commands.
            ["RABBITMQ_ALLOW_INPUT"] = "1",
            ["RABBITMQ_SERVER_START_ARGS"] = "-noinput",
        };

        // The server starts a port mapper that outlives it, unless there is one.
        mapper ??= ChildProcess.Start("epmd", [], environment, folder.Path);
        process = ChildProcess.Start(Program, [], environment, folder.Path);
        using var patience = new CancellationTokenSource(StartTimeMax);
        while (!await AnswersAsync())
        {
            if (patience.IsCancellationRequested || Process.HasExited)
            {
                throw new InvalidOperationException($"rabbitmq-server {(Process.HasExited ? "ended" : "does not answer")}: {Process.Output}");
            }

            await Task.Delay(Look, TimeProvider.System);
        }
    }

    public Task KillAsync() => Process.KillAsync();

    /// <summary>
    /// Whether the server has written down that it has these quorum queues; that is some seconds after it made them. One of 3.10 that dies before brings the queue back without its messages and without a leader,
    /// and whoever reads there waits for ever (docs/queues.md).
    /// </summary>
    public async Task<bool> KeepsAsync(params string[] queues)
    {
        var names = Encoding.Latin1.GetString(await File.ReadAllBytesAsync(Directory.GetFiles(Path.Combine(folder.File("data"), $"sluice-{port}@localhost", "quorum"), "names.dets", SearchOption.AllDirectories).Single()));
        return queues.All(queue => names.Contains(queue, StringComparison.Ordinal));
    }

    /// <summary>Everything that it kept is gone, as after the loss of its disk. Call while it is not running.</summary>
    public void LoseData() => Directory.Delete(folder.File("data"), recursive: true);

    public async ValueTask DisposeAsync()
    {
        foreach (var each in new[] { process, mapper }.OfType<ChildProcess>())
        {
            await each.DisposeAsync();
        }

        folder.Dispose();
    }

    /// <summary>A connection for a test's own looks.</summary>
    public Task<IConnection> ConnectAsync() => new ConnectionFactory { Uri = new Uri(Connection), AutomaticRecoveryEnabled = false, RequestedConnectionTimeout = TimeSpan.FromSeconds(2) }.CreateConnectionAsync();

    private async Task<bool> AnswersAsync()
    {
        try
        {
            await using var probe = await ConnectAsync();
            return probe.IsOpen;
        }
        catch (Exception e) when (e is RabbitMQClientException or IOException or TimeoutException or OperationCanceledException)
        {
            return false;
        }
    }
}

namespace Sluice.Bench.Runner;

/// <summary>What the person who runs the bench chose.</summary>
internal sealed record BenchOptions(int Rounds, double Seconds, int Connections, int Threads, UserOrder Users)
{
    /// <summary>More than a thread could send, so that no round runs out of users.</summary>
    public int CrowdUsers => Math.Clamp((int)(Seconds * 80_000), 20_000, 2_000_000);
}

/// <summary>The servers of one scenario, side by side on the loopback; only one is asked at a time.</summary>
internal sealed class Rig : IAsyncDisposable
{
    private readonly List<IAsyncDisposable> servers = [];
    private readonly TempFolder folder = new();

    public Rig(Layout layout, BenchOptions options)
    {
        Layout = layout;
        Options = options;
        Wrk = new Wrk(layout, options.Threads, options.Connections);
    }

    public Layout Layout { get; }
    public BenchOptions Options { get; }
    public Wrk Wrk { get; }
    public TempFolder Folder => folder;

    public async Task<SluiceServer> SluiceAsync(CancellationToken cancel, string dataFolder = "sluice", IReadOnlyDictionary<string, string>? environment = null) =>
        Keep(await SluiceServer.StartAsync(Layout, folder.File(dataFolder), cancel, environment));

    /// <param name="isDurable">False: a cache's, which keeps nothing on the disk.</param>
    /// <summary>A Redis server that flushes every write to the disk before it answers. Returns its process and its address.</summary>
    public async Task<(ChildProcess Server, string Address)> RedisAsync(CancellationToken cancel, string dataFolder = "redis", bool isDurable = true)
    {
        var data = Directory.CreateDirectory(folder.File(dataFolder)).FullName;
        var port = FreePort.Next();
        var server = Keep(ChildProcess.Start("redis-server",
            ["--port", $"{port}", "--bind", "127.0.0.1", "--dir", data, "--save", "", "--appendonly", isDurable ? "yes" : "no", "--appendfsync", "always"]));
        await Task.Delay(TimeSpan.FromMilliseconds(500), TimeProvider.System, cancel);
        Require(!server.HasExited, $"redis-server ended at its start:\n{server.Output}");
        return (server, $"127.0.0.1:{port}");
    }

    public async Task<ServerProcess> BareAsync(CancellationToken cancel) =>
        Keep(await ProgramRun.ServerAsync([Layout.Baseline, "bare"], cancel));

    public async Task<ServerProcess> TextbookAsync(CancellationToken cancel) =>
        Keep(await ProgramRun.ServerAsync([Layout.Baseline, "textbook", "--data", folder.File("textbook")], cancel));

    public Task<Crowd> CrowdAsync(SluiceServer server, int users, CancellationToken cancel, string name = "crowd") =>
        Crowd.MakeAsync(server, folder, users, Options.Threads, Options.Users, cancel, name: name);

    /// <summary>A contender that is a load of wrk on one server and nothing else.</summary>
    public Contender Load(string name, ChildProcess app, string script, string url, params string[] arguments) => new(name, async cancel =>
    {
        var before = app.CpuTime();
        var wrk = await Wrk.RunAsync(script, url, Options.Seconds, cancel, arguments);
        var cpu = app.CpuTime() - before;
        Require(wrk is { ErrorStatuses: 0, SocketErrors: 0, Timeouts: 0 }, $"{name}: {wrk}");
        return Sample.Of(wrk, cpu);
    });

    public Contender BareGet(ServerProcess bare) => Load("bare GET", bare.Process, "get.lua", bare.Url, "path=/bare");

    public Contender BarePost(ServerProcess bare) => Load("bare POST", bare.Process, "bare-post.lua", bare.Url);

    /// <summary>The bare POST with the bytes of a claim, token included: what a claim costs beyond being received and answered.</summary>
    public Contender BarePostSameBytes(ServerProcess bare, Crowd crowd) =>
        Load("bare POST, a claim's bytes", bare.Process, "bare-post.lua", bare.Url, $"tokens={crowd.TokenPrefix}");

    public static void Require(bool holds, string otherwise)
    {
        if (!holds) throw new BenchException(otherwise);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var server in Enumerable.Reverse(servers)) await server.DisposeAsync();
        folder.Dispose();
    }

    /// <summary>To be ended with the scenario.</summary>
    public T Keep<T>(T server) where T : IAsyncDisposable
    {
        servers.Add(server);
        return server;
    }
}

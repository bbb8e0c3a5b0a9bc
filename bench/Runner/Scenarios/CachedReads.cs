using System.Globalization;
using System.Net.Http.Json;
using System.Net.Sockets;

namespace Sluice.Bench.Runner.Scenarios;

/// <summary>
/// What is kept: a product in the node's memory, users' order pages in Redis, both asked for by version; and the same through nginx. And two figures of the cache itself: what 100,000 users' pages weigh in Redis,
/// and how many bytes versions save in a session.
/// </summary>
internal static class CachedReads
{
    private const int Users = 100_000;

    public static async Task<Plan> PlanAsync(Rig rig, CancellationToken cancel)
    {
        var redis = await rig.RedisAsync(cancel);
        var cache = await rig.RedisAsync(cancel, "cache", isDurable: false);
        var sluice = await rig.SluiceAsync(cancel, environment: new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["SLUICE__Redis__Connection"] = redis.Address, ["SLUICE__Cache__Connection"] = cache.Address, ["SLUICE__Cache__SharedAge"] = "1.00:00:00", ["SLUICE__WriteQueue__LagMax"] = "100000000",
            ["SLUICE__Admission__ClaimsPerUserPerSecond"] = "10000", ["SLUICE__Publish__Folder"] = rig.Folder.File("site"),
        });
        var bare = await rig.BareAsync(cancel);
        using (var put = await sluice.Http.PutAsJsonAsync("/v1/products/mug", new Dictionary<string, string>(StringComparer.Ordinal) { ["title"] = "Mug", ["description"] = new string('d', 800) }, cancel))
        {
            put.EnsureSuccessStatusCode();
        }

        // One order for each user: the version of everybody's first page is the same.
        var crowd = await rig.CrowdAsync(sluice, Users, cancel, "users");
        var sale = await sluice.OpenSaleAsync(Users, cancel);
        var bought = await rig.Wrk.RunAllAsync(sluice.Url, 120, rig.Folder, cancel, $"path=/v1/flash-sales/{sale.Id}/claims", $"tokens={crowd.TokenPrefix}");
        Rig.Require(bought.Count("acknowledged") == Users, $"Only {bought.Count("acknowledged")} of {Users} users have an order.");
        await sluice.DrainedAsync(sale.PoolId, cancel);
        var facts = new Dictionary<string, double>(StringComparer.Ordinal);
        await WeighAsync(rig, sluice, crowd, cache.Address, facts, cancel);
        await CountSessionAsync(sluice, sale, await File.ReadAllLinesAsync(crowd.TokenPrefix + "0.txt", cancel), facts, cancel);

        var some = await rig.CrowdAsync(sluice, 2_000, cancel, "some");
        var orders = $"tokens={some.TokenPrefix}";
        using var answer = await sluice.Http.GetAsync("/v1/products/mug", cancel);
        var etag = $"etag={answer.Headers.ETag}";
        var kept = await EdgeOfBench.StartAsync(rig, sluice, Directory.CreateDirectory(rig.Folder.File("nothing")).FullName, cancel);
        var files = await EdgeOfBench.StartAsync(rig, sluice, rig.Folder.File("site"), cancel);
        return new Plan("cached-reads", "What is kept, from where it is kept: a product of 1 KB from the node's memory; users' first page of orders (one order) from a Redis of the cache's own, token checked; nginx' own cache and files.",
            [
                rig.Load("product", sluice.Process, "get.lua", sluice.Url, "path=/v1/products/mug"),
                rig.Load("product, 304", sluice.Process, "get.lua", sluice.Url, "path=/v1/products/mug", etag),
                Through(rig, "orders", sluice, cache.Server, "path=/v1/orders", orders),
                Through(rig, "orders, 304", sluice, cache.Server, "path=/v1/orders", orders, "etag=\"1\""),
                rig.BareGet(bare),
                rig.Load("bare GET, with tokens", bare.Process, "get.lua", bare.Url, "path=/bare", orders),
                rig.Load("product kept by nginx", kept.Process, "get.lua", kept.Url, "path=/v1/products/mug"),
                rig.Load("product as nginx' file", files.Process, "get.lua", files.Url, "path=/v1/products/mug"),
            ],
            [
                new Comparison("product", "bare GET", Goal: 0.80),
                new Comparison("product, 304", "bare GET", Goal: 0.90),
                new Comparison("orders", "bare GET, with tokens", Goal: 0.50),
                new Comparison("orders", "bare GET"),

                // A user's own is asked for in Redis each time, whichever node wrote it last: a hit of that tier, with less to send.
                new Comparison("orders, 304", "bare GET, with tokens", Goal: 0.50),
                new Comparison("product kept by nginx", "product as nginx' file", Goal: 0.95),
            ]) { Facts = facts };
    }

    private static Contender Through(Rig rig, string name, SluiceServer sluice, ChildProcess redis, params string[] arguments) => new(name, async cancel =>
    {
        var (app, engine) = (sluice.Process.CpuTime(), redis.CpuTime());
        var wrk = await rig.Wrk.RunAsync("get.lua", sluice.Url, rig.Options.Seconds, cancel, arguments);
        Rig.Require(wrk is { ErrorStatuses: 0, SocketErrors: 0, Timeouts: 0 }, $"{name}: {wrk}");
        return Sample.Of(wrk, sluice.Process.CpuTime() - app, redis.CpuTime() - engine);
    });

    // Everybody looks at their orders once; what the cache's Redis has more then is what their pages weigh.
    private static async Task WeighAsync(Rig rig, SluiceServer sluice, Crowd crowd, string cache, Dictionary<string, double> facts, CancellationToken cancel)
    {
        var (before, keys) = (await AskAsync("info", "memory", "used_memory:"), 0L);
        // Each run begins with the first user again, so one must be long enough for all of them.
        for (var seconds = 5; keys < Users && seconds <= 40; seconds *= 2)
        {
            await rig.Wrk.RunAsync("get.lua", sluice.Url, seconds, cancel, "path=/v1/orders", $"tokens={crowd.TokenPrefix}");
            keys = await AskAsync("dbsize", "", "");
        }

        Rig.Require(keys >= Users, $"Only {keys} pages of {Users} users are kept.");
        facts["MiB of Redis for the order pages of 100,000 users"] = Math.Round((await AskAsync("info", "memory", "used_memory:") - before) / 1048576.0, 1);

        async Task<long> AskAsync(string command, string argument, string line)
        {
            var said = await ProgramRun.ToEndAsync("redis-cli", "redis-cli", [.. new[] { "-p", cache.Split(':')[1], command, argument }.Where(word => word.Length > 0)], TimeSpan.FromSeconds(10), cancel);
            return long.Parse(said.Split('\n').First(one => one.StartsWith(line, StringComparison.Ordinal))[line.Length..].Trim(), CultureInfo.InvariantCulture);
        }
    }

    // A visitor with a phone: looks around, waits for a sale that is sold out, looks at the orders again and again. Once with the versions that the answers had, once without.
    private static async Task CountSessionAsync(SluiceServer sluice, Sale sale, string[] tokens, Dictionary<string, double> facts, CancellationToken cancel)
    {
        string[] session = [.. Enumerable.Range(0, 10).SelectMany(_ => new[] { "/v1/calendar", "/v1/products", "/v1/products/mug", $"/v1/flash-sales/{sale.Id}", "/v1/orders", "/v1/me" })];
        var (with, without) = (await ReceivedAsync(isVersioned: true), await ReceivedAsync(isVersioned: false));
        facts["bytes received per request of a session, with versions"] = Math.Round((double)with / session.Length);
        facts["bytes received per request of a session, without"] = Math.Round((double)without / session.Length);

        async Task<long> ReceivedAsync(bool isVersioned)
        {
            var counter = new Counter();
            using var http = new HttpClient(new SocketsHttpHandler
            {
                UseProxy = false,
                ConnectCallback = async (context, token) =>
                {
                    var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                    await socket.ConnectAsync(context.DnsEndPoint, token);
                    return new CountingStream(new NetworkStream(socket, ownsSocket: true), counter);
                },
            }) { BaseAddress = new Uri(sluice.Url) };
            var known = new Dictionary<string, string>(StringComparer.Ordinal);
            foreach (var path in session)
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, path) { Headers = { { "Authorization", $"Bearer {tokens[0]}" } } };
                if (isVersioned && known.TryGetValue(path, out var etag)) request.Headers.TryAddWithoutValidation("If-None-Match", etag);
                using var answer = await http.SendAsync(request, cancel);
                Rig.Require((int)answer.StatusCode is 200 or 304, $"GET {path} answered {(int)answer.StatusCode}.");
                if (answer.Headers.ETag is { } tag) known[path] = tag.ToString();
            }

            return counter.Bytes;
        }
    }

    private sealed class Counter
    {
        public long Bytes { get; set; }
    }

    private sealed class CountingStream(Stream inner, Counter counter) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var read = await inner.ReadAsync(buffer, cancellationToken);
            counter.Bytes += read;
            return read;
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => inner.WriteAsync(buffer, cancellationToken);

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

        public override void Flush() => inner.Flush();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing) inner.Dispose();
            base.Dispose(disposing);
        }
    }
}

/// <summary>The shipped edge configuration of nginx, over one folder and in front of one node.</summary>
internal sealed class EdgeOfBench : IAsyncDisposable
{
    private readonly ChildProcess nginx;

    private EdgeOfBench(ChildProcess nginx, string url) => (this.nginx, Url) = (nginx, url);

    public string Url { get; }

    /// <summary>One process, master and worker in one, so that its CPU can be read.</summary>
    public ChildProcess Process => nginx;

    public static async Task<EdgeOfBench> StartAsync(Rig rig, SluiceServer origin, string site, CancellationToken cancel)
    {
        var (port, home) = (FreePort.Next(), Directory.CreateDirectory(rig.Folder.File($"edge-{Path.GetFileName(site)}")).FullName);
        var shipped = Path.Combine(rig.Layout.Root, "deploy/nginx");
        var edge = await File.ReadAllTextAsync(Path.Combine(shipped, "edge.conf"), cancel);
        foreach (var (from, to) in new[] { ("127.0.0.1:80;", $"127.0.0.1:{new Uri(origin.Url).Port};"), ("listen 8000 ", $"listen 127.0.0.1:{port} "), ("/var/lib/sluice/site/", $"{site}/"), ("/etc/nginx/", $"{shipped}/"), ("/var/cache/nginx/sluice", Path.Combine(home, "cache")) })
        {
            Rig.Require(edge.Contains(from, StringComparison.Ordinal), $"edge.conf has no '{from}' any more.");
            edge = edge.Replace(from, to, StringComparison.Ordinal);
        }

        var temp = string.Concat(new[] { "client_body", "proxy", "fastcgi", "uwsgi", "scgi" }.Select(kind => $"{kind}_temp_path {home}/temp-{kind};"));
        await File.WriteAllTextAsync(Path.Combine(home, "nginx.conf"), $$"""
            load_module /usr/lib/nginx/modules/ngx_http_cache_purge_module.so;
            worker_processes 1; pid {{home}}/nginx.pid; error_log {{home}}/error.log warn; {{(Environment.UserName == "root" ? "user root;" : "")}}
            events { worker_connections 4096; }
            http { types { text/html html; application/json json; text/css css; text/javascript js; image/svg+xml svg; } default_type application/octet-stream; access_log off; keepalive_requests 1000000; {{temp}} {{edge}} }
            """, cancel);
        var nginx = ChildProcess.Start(File.Exists("/usr/sbin/nginx") ? "/usr/sbin/nginx" : "nginx", ["-p", home, "-c", Path.Combine(home, "nginx.conf"), "-g", "daemon off; master_process off;"]);
        var made = rig.Keep(new EdgeOfBench(nginx, $"http://127.0.0.1:{port}"));
        using var http = new HttpClient { BaseAddress = new Uri(made.Url) };
        for (var tries = 0; ; tries++)
        {
            Rig.Require(!nginx.HasExited && tries < 100, $"nginx does not answer:\n{nginx.Output}");
            try
            {
                if ((await http.GetAsync("/v1/products/mug", cancel)).IsSuccessStatusCode) return made;
            }
            catch (HttpRequestException)
            {
                // Not yet.
            }

            await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, cancel);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await nginx.EndAsync();
        await nginx.DisposeAsync();
    }
}

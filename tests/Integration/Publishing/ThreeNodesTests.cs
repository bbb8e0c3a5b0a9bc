using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Publishing;

/// <summary>Three nodes on one Redis and one database, and an edge over what one of them publishes: a product changes through each of them in turn, and everybody watches all four.</summary>
public sealed partial class ThreeNodesTests(ITestOutputHelper output)
{
    private const int Changes = 30;

    // What nodes keep is good for an hour, and for a minute in their own memory: who shows the change sooner was told of it. The promise is a second; a machine that has other things to do gets more.
    private static readonly string[] KeptForLong = ["Cache:SharedAge=01:00:00", "Cache:ProcessAge=00:01:00", "Cache:AbsentAge=00:01:00"];

    private static readonly TimeSpan ToldWithin = TimeSpan.FromSeconds(15);

    private static readonly string[] Paths = ["/v1/products/mug", "/products/mug", "/v1/products"];

    [Fact]
    public async Task Change_OfAProduct_IsSeenEverywhereAndNothingOlderAfterIt()
    {
        using var data = new TempFolder();
        using var site = new TempFolder();
        await using var redis = await RedisServer.StartAsync();
        string[] settings = [.. KeptForLong, $"Redis:Connection={redis.Connection}"];
        await using var first = await SluiceServer.StartAsync([.. settings, $"Publish:Folder={site.Path}"], data.Path);
        await using var second = await SluiceServer.StartAsync([.. settings, "Roles=Api", "NodeId=1"], data.Path);
        await using var third = await SluiceServer.StartAsync([.. settings, "Roles=Api", "NodeId=2"], data.Path);
        SluiceServer[] nodes = [first, second, third];
        await PutAsync(first, 0);
        await using var edge = await NginxEdge.StartAsync(first.Port, site.Path);
        await Eventually.TrueAsync(async () => (await edge.Http.GetAsync("/products/mug")).Headers.GetValues("X-Edge").Single() == "FILE", "the site is published");
        (string Name, HttpClient Http)[] places = [("node 1", first.Http), ("node 2", second.Http), ("node 3", third.Http), ("edge", edge.Http)];

        var faults = new ConcurrentQueue<string>();
        var seen = places.ToDictionary(place => place.Name, _ => new int[Paths.Length], StringComparer.Ordinal);
        var late = places.ToDictionary(place => place.Name, _ => new List<double>(), StringComparer.Ordinal);
        using var stop = new CancellationTokenSource();
        var watching = places.SelectMany(place => Paths.Select((path, i) => WatchAsync(place.Name, place.Http, path, i))).ToList();
        for (var change = 1; change <= Changes; change++)
        {
            var node = nodes[change % nodes.Length];
            await PutAsync(node, change);
            var told = Stopwatch.GetTimestamp();

            // Whoever made it sees it at once.
            var own = await ReadAsync(node.Http, Paths[change % Paths.Length]);
            Assert.True(own >= change, $"the node that made change {change} shows {own}");
            var waiting = places.Select(place => place.Name).ToHashSet(StringComparer.Ordinal);
            await Eventually.TrueAsync(
                () =>
                {
                    foreach (var name in waiting.Where(name => seen[name].All(version => version >= change)).ToList())
                    {
                        waiting.Remove(name);
                        late[name].Add(Stopwatch.GetElapsedTime(told).TotalMilliseconds);
                    }

                    return Task.FromResult(waiting.Count == 0);
                },
                $"change {change} is seen everywhere",
                atMost: ToldWithin);
        }

        await stop.CancelAsync();
        await Task.WhenAll(watching);
        Assert.True(faults.IsEmpty, $"{faults.Count} older answers after newer ones, first: {faults.FirstOrDefault()}");
        foreach (var (name, _) in places)
        {
            var sorted = late[name].Order().ToList();
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name}: {Changes} changes, seen after {sorted[sorted.Count / 2]:0} ms (median), {sorted[^1]:0} ms (longest)"));
        }

        async Task WatchAsync(string name, HttpClient http, string path, int i)
        {
            while (!stop.IsCancellationRequested)
            {
                var now = await ReadAsync(http, path);
                if (now < seen[name][i])
                {
                    faults.Enqueue($"{name} showed {now} after {seen[name][i]} under {path}");
                }

                Volatile.Write(ref seen[name][i], now);
                await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System);
            }
        }
    }

    private static Task<JsonObject> PutAsync(SluiceServer node, int change) => node.ServerPutAsync("/v1/products/mug", new JsonObject { ["title"] = $"Mug no. {change}" });

    private static async Task<int> ReadAsync(HttpClient http, string path)
    {
        var text = await http.GetStringAsync(path);
        return int.Parse(Number().Match(text).Groups[1].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture);
    }

    [GeneratedRegex("Mug no. ([0-9]+)")]
    private static partial Regex Number();
}

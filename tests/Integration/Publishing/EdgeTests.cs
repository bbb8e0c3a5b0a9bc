using System.IO.Compression;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Failure;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Publishing;

/// <summary>A node that publishes, and a real nginx over its folder and in front of it.</summary>
public sealed class EdgeTests
{
    // Of each file that is worth it there are both, and each is the file, whichever a web server sends.
    private static async Task CompressedFormsAreTheFilesAsync(string release)
    {
        var worth = Directory.GetFiles(release, "*", SearchOption.AllDirectories)
            .Where(file => Path.GetExtension(file) is not (".br" or ".gz") && Path.GetFileName(file) != "manifest.json" && new FileInfo(file).Length >= 512).Order(StringComparer.Ordinal).ToList();
        Assert.True(worth.Count > 30, $"only {worth.Count} files in {release}");
        foreach (var (ending, unpack) in new (string, Func<Stream, Stream>)[] { (".br", packed => new BrotliStream(packed, CompressionMode.Decompress)), (".gz", packed => new GZipStream(packed, CompressionMode.Decompress)) })
        {
            Assert.Equal(worth, Directory.GetFiles(release, $"*{ending}", SearchOption.AllDirectories).Select(form => form[..^ending.Length]).Order(StringComparer.Ordinal));
            foreach (var file in worth)
            {
                using var whole = new MemoryStream();
                await using (var unpacked = unpack(File.OpenRead(file + ending)))
                {
                    await unpacked.CopyToAsync(whole);
                }

                Assert.Equal((file, Convert.ToBase64String(await File.ReadAllBytesAsync(file))), (file, Convert.ToBase64String(whole.ToArray())));
            }
        }
    }

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Catalogue_BehindAnEdge_IsFilesThatFollowEachChange_AndStandsWithoutItsOrigin()
    {
        using var site = new TempFolder();
        var server = await SluiceServer.StartAsync([$"Publish:Folder={site.Path}"]);
        try
        {
            await PutAsync(server, "mug", "Mug 1");
            var sale = await server.OpenSaleAsync(stock: 5);
            await using var edge = await NginxEdge.StartAsync(server.Port, site.Path);

            // A sale is there soon: in the calendar, on the home page, and as a page of its own that says what it is without a script.
            await Eventually.TrueAsync(async () => (await GetAsync(edge, "/v1/calendar")).Text.Contains(sale, StringComparison.Ordinal), "the calendar has the sale");
            Assert.Contains($"/sales/{sale}\"", (await GetAsync(edge, "/")).Text, StringComparison.Ordinal);
            Assert.Contains("49.00 EUR", (await GetAsync(edge, $"/sales/{sale}")).Text, StringComparison.Ordinal);

            // A change is there soon: the page, the data, the list. What has a query and was kept goes with the files of before.
            string[] asked = ["/v1/products?limit=1", "/v1/search?q=mug", "/search?q=mug"];
            foreach (var path in asked)
            {
                await Eventually.TrueAsync(async () => await GetAsync(edge, path) is { Edge: "HIT" } kept && kept.Text.Contains("Mug 1", StringComparison.Ordinal), $"{path} is kept");
            }

            await PutAsync(server, "mug", "Mug 2");
            await Eventually.TrueAsync(async () => (await GetAsync(edge, "/v1/products/mug")).Text.Contains("Mug 2", StringComparison.Ordinal), "the edge shows the change");
            foreach (var path in asked)
            {
                var anew = await GetAsync(edge, path);
                Assert.Equal((path, "MISS"), (path, anew.Edge));
                Assert.Contains("Mug 2", anew.Text, StringComparison.Ordinal);
            }

            foreach (var path in new[] { "/products/mug", "/products", "/v1/products/mug" })
            {
                var file = await GetAsync(edge, path);
                Assert.Equal((200, "FILE"), (file.Status, file.Edge));
                Assert.Contains("Mug 2", file.Text, StringComparison.Ordinal);
            }

            // What the edge serves as a file is what the node answers, and says the same about itself.
            foreach (var path in new[] { "/", "/products/mug", "/products", "/orders", $"/sales/{sale}", "/sales/1", "/sales/1/certificate", "/v1/products/mug", "/v1/products", "/v1/categories", "/v1/calendar" })
            {
                var (file, node) = (await GetAsync(edge, path), await GetAsync(server.Http, path));
                Assert.Equal((path, "FILE", node.Text), (path, file.Edge, file.Text));
                Assert.Equal(node.Response.Content.Headers.ContentType?.ToString(), file.Response.Content.Headers.ContentType?.ToString());
                foreach (var header in path.StartsWith("/v1", StringComparison.Ordinal) ? ["X-Content-Type-Options"] : new[] { "Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options" })
                {
                    Assert.Equal(node.Response.Headers.GetValues(header), file.Response.Headers.GetValues(header));
                }
            }

            // Compressed beforehand, and not sent again to who has it.
            using var packed = new HttpRequestMessage(HttpMethod.Get, "/products/mug") { Headers = { { "Accept-Encoding", "gzip" } } };
            using var answer = await edge.Http.SendAsync(packed);
            Assert.Equal(["gzip"], answer.Content.Headers.ContentEncoding);
            await using var unpacked = new GZipStream(await answer.Content.ReadAsStreamAsync(), CompressionMode.Decompress);
            Assert.Contains("Mug 2", await new StreamReader(unpacked).ReadToEndAsync(), StringComparison.Ordinal);
            using var known = new HttpRequestMessage(HttpMethod.Get, "/products/mug");
            known.Headers.TryAddWithoutValidation("If-None-Match", (await GetAsync(edge, "/products/mug")).Response.Headers.ETag!.ToString());
            Assert.Equal(HttpStatusCode.NotModified, (await edge.Http.SendAsync(known)).StatusCode);

            await CompressedFormsAreTheFilesAsync(Path.Combine(site.Path, new FileInfo(site.File("current")).LinkTarget!));

            // Scripts are reached by the address that the page names.
            var script = (await GetAsync(edge, "/products/mug")).Text.Split("src=\"").First(part => part.StartsWith("/assets/", StringComparison.Ordinal)).Split('"')[0];
            Assert.Contains("immutable", (await GetAsync(edge, script)).Response.Headers.CacheControl!.ToString(), StringComparison.Ordinal);
            Assert.Contains("immutable", (await GetAsync(server.Http, script)).Response.Headers.CacheControl!.ToString(), StringComparison.Ordinal);

            // What is no file comes from the origin; what is public is kept for a moment, what is of one user never.
            await Eventually.TrueAsync(async () => (await GetAsync(edge, $"/v1/flash-sales/{sale}")).Edge == "HIT", "public answers are kept");
            var token = await server.TokenAsync("u-1");
            for (var i = 0; i < 3; i++)
            {
                var mine = await GetAsync(edge, "/v1/orders", token);
                Assert.Equal((200, "BYPASS"), (mine.Status, mine.Edge));
            }

            Assert.Equal((401, 200), ((await GetAsync(edge, "/v1/orders")).Status, (await GetAsync(edge, $"/v1/flash-sales/{sale}", token)).Status));
            Assert.Equal(404, (await GetAsync(edge, "/v1/products/nowhere")).Status);
            Assert.Equal(404, (await GetAsync(edge, "/manifest")).Status);
            Assert.Equal(200, (await GetAsync(edge, "/v1/products?limit=1")).Status);

            // The origin is off.
            await server.KillAsync();
            foreach (var path in new[] { "/", "/products/mug", "/products", "/v1/products/mug" })
            {
                Assert.Equal((200, "FILE"), await GetAsync(edge, path) is var file ? (file.Status, file.Edge) : default);
            }

            await Eventually.TrueAsync(async () => await GetAsync(edge, $"/v1/flash-sales/{sale}") is { Status: 200, Edge: "STALE" }, "what was kept is shown when it is too old, too");
            Assert.True((await GetAsync(edge, "/v1/orders", token)).Status >= 500);
        }
        finally
        {
            await server.DisposeAsync();
        }
    }

    [Fact]
    public async Task Purge_AtNginx_DropsWhatItKept()
    {
        // The edge keeps the answers here: nothing is published to the folder that it looks into.
        using var site = new TempFolder();
        using var elsewhere = new TempFolder();
        Directory.CreateDirectory(elsewhere.File("current"));
        var port = FreePort.Next();
        await using var server = await SluiceServer.StartAsync([$"Publish:Folder={site.Path}", $"Publish:Purge:0=GET http://127.0.0.1:{port}/__purge"]);
        await PutAsync(server, "mug", "Mug 1");
        await using var edge = await NginxEdge.StartAsync(server.Port, elsewhere.Path, port);
        await Eventually.TrueAsync(async () => (await GetAsync(edge, "/v1/products/mug")).Edge == "HIT", "it is kept");

        var told = Told();
        await PutAsync(server, "mug", "Mug 2");
        await Eventually.TrueAsync(() => Task.FromResult(Told() > told), "the cache is told");

        // Without its origin the edge would show what it has.
        await server.KillAsync();
        Assert.DoesNotContain("Mug 1", (await GetAsync(edge, "/v1/products/mug")).Text, StringComparison.Ordinal);
        Assert.Equal(404, (int)(await edge.Http.GetAsync("/__purge/v1/products/nowhere")).StatusCode);

        int Told() => server.Process.Output.Split('\n').Count(line => line.Contains("The caches in front forget", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Pictures_OfHostsThatTheOperatorNamed_AreTakenAndAllowedToBrowsers()
    {
        await using var server = await SluiceServer.StartAsync(["Catalog:ImageHosts:0=img.example.com"]);

        Assert.Equal(200, (await PutPictureAsync("https://img.example.com/mug.png")).Status);
        foreach (var other in new[] { "https://img.example.com.evil.example/mug.png", "https://user@img.example.com/mug.png", "http://img.example.com/mug.png", "https://img.example.com:444/mug.png", "https://evil.example/img.example.com" })
        {
            Assert.Equal(400, (await PutPictureAsync(other)).Status);
        }

        var page = await GetAsync(server.Http, "/products/mug");
        Assert.Contains("img-src 'self' https://img.example.com data:;", page.Response.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
        Assert.Contains("src=\"https://img.example.com/mug.png\"", page.Text, StringComparison.Ordinal);

        Task<Answer> PutPictureAsync(string url) => server.AnswerAsync(new HttpRequestMessage(HttpMethod.Put, "/v1/products/mug")
        {
            Headers = { { "X-Api-Key", server.AdminKey } },
            Content = JsonContent.Create(new JsonObject { ["title"] = "Mug", ["images"] = new JsonArray(new JsonObject { ["url"] = url }) }),
        });
    }

    [Fact]
    public async Task Exporter_KilledAnywhere_LeavesAWholeSiteAndTheNextOneGoesOn()
    {
        using var data = new TempFolder();
        using var site = new TempFolder();
        await using var server = await SluiceServer.StartAsync(dataFolder: data.Path);
        await PutAsync(server, "mug", "Mug 0");
        Assert.Equal(0, await PublishAsync(data, site));
        string[] points = ["site.written", "site.named", "site.shown"];
        for (var i = 0; i < points.Length; i++)
        {
            await PutAsync(server, "mug", $"Mug {i + 1}");
            Assert.Equal(137, await PublishAsync(data, site, Drills.Fault(points[i], "kill", 1)));

            // Nothing was published since the first one but what the last exporter had shown before it died.
            var title = points[i] == "site.shown" ? $"Mug {i + 1}" : "Mug 0";
            foreach (var file in new[] { "products/mug.html", "v1/products/mug.json", "products.html" })
            {
                Assert.Contains(title, await File.ReadAllTextAsync(Path.Combine(site.File("current"), file)), StringComparison.Ordinal);
            }
        }

        await PutAsync(server, "mug", "Mug 9");
        Assert.Equal(0, await PublishAsync(data, site));
        Assert.Contains("Mug 9", await File.ReadAllTextAsync(site.File("current/products/mug.html")), StringComparison.Ordinal);
        Assert.Empty(Directory.GetDirectories(site.File("releases"), ".*"));
    }

    private static async Task<int> PublishAsync(TempFolder data, TempFolder site, IReadOnlyDictionary<string, string>? environment = null)
    {
        await using var publish = ChildProcess.Start("dotnet", [Programs.Server, "publish", "--data", data.Path, "--folder", site.Path], environment);
        return await publish.WaitAsync(Patience);
    }

    private static Task<JsonObject> PutAsync(SluiceServer server, string sku, string title) => server.ServerPutAsync($"/v1/products/{sku}", new JsonObject { ["title"] = title, ["description"] = new string('d', 1_000) });

    private static Task<Seen> GetAsync(EdgeServer edge, string path, string? token = null) => GetAsync(edge.Http, path, token);

    private static async Task<Seen> GetAsync(HttpClient http, string path, string? token = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        if (token is not null)
        {
            request.Headers.Authorization = new("Bearer", token);
        }

        var response = await http.SendAsync(request);
        return new Seen((int)response.StatusCode, response.Headers.TryGetValues("X-Edge", out var edge) ? edge.Single() : "", await response.Content.ReadAsStringAsync(), response);
    }

    private sealed record Seen(int Status, string Edge, string Text, HttpResponseMessage Response);
}

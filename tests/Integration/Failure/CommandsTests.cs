using System.Net.Sockets;
using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>The demo, the audit and the verifier as a person runs them: what they print agrees, and the exit code says it too.</summary>
public sealed class CommandsTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Demo_OnAnEmptyFolder_SellsEverythingAndProvesIt()
    {
        using var data = new TempFolder();
        var (exit, text, says) = await SluiceCommand.RunAsync(
            "demo", "--exit", "--json", "--buyers", "2000", "--stock", "50", "--port", $"{FreePort.Next()}", "--data", data.Path);
        Assert.True(exit == 0, $"exit code {exit}: {says}");

        // One object and nothing else on standard output: the parser refuses anything before or after it.
        var demo = JsonNode.Parse(text)!.AsObject();
        Assert.Equal(0, (int)demo["exitCode"]!);
        var certificate = demo["certificate"]!["certificate"]!;
        Assert.Equal("holds", (string?)certificate["verdict"]);
        Assert.Equal((50, 0), ((int)certificate["soldUnits"]!, (int)certificate["leftUnits"]!));

        // Offline, on the folder that the demo left.
        var (auditExit, auditText, auditSays) = await SluiceCommand.RunAsync("audit", "--data", data.Path, "--json");
        Assert.True(auditExit == 0, auditSays);
        var pool = Assert.Single(JsonNode.Parse(auditText)!.AsArray(), pool => (string)pool!["poolId"]! == (string)certificate["poolId"]!)!;
        Assert.Equal(("holds", 50), ((string?)pool["verdict"], (int)pool["soldUnits"]!));
        output.WriteLine(demo["rush"]!.ToJsonString()[..200]);

        var file = (string)demo["certificateFile"]!;
        var (good, goodText, _) = await SluiceCommand.RunAsync("verify", file);
        Assert.True(good == 0, goodText);
        await AssertOneCharacterMattersAsync(data.File("changed.json"), await File.ReadAllTextAsync(file), "\"soldUnits\": 50", "\"soldUnits\": 49");
        await AssertOneCharacterMattersAsync(data.File("changed.json"), await File.ReadAllTextAsync(file), "\"jws\": \"ey", "\"jws\": \"eZ");
    }

    [Fact]
    public async Task Audit_OfARunningServer_AsksIt()
    {
        await using var server = await SluiceServer.StartAsync();
        var sale = await server.OpenSaleAsync(5);
        Assert.Equal(202, (await server.ClaimAsync(sale, await server.TokenAsync("u-1"))).Status);
        foreach (var arguments in new[] { new[] { "--data", server.Data }, ["--url", $"http://127.0.0.1:{server.Port}", "--api-key-file", Path.Combine(server.Data, "admin.key")] })
        {
            var (exit, text, says) = await SluiceCommand.RunAsync(["audit", "--json", .. arguments]);
            Assert.True(exit == 0, says);
            var pool = Assert.Single(JsonNode.Parse(text)!.AsArray())!;
            Assert.Equal(("holds", 1, 4), ((string?)pool["verdict"], (int)pool["soldUnits"]!, (int)pool["leftUnits"]!));
        }
    }

    [Fact]
    public async Task Import_OverADryRunAndAServerThatDies_EndsAsTheFileSaysAndNamesEveryBadRow()
    {
        using var folder = new TempFolder();
        await using var server = await SluiceServer.StartAsync();
        var lines = Enumerable.Range(0, 1_000).Select(i => $"sku-{i},Product {i},{i}.50,EUR").ToList();
        (lines[10], lines[500], lines[999]) = ("sku-10,,1.00,EUR", "sku-500,Product,1.005,EUR", "sku-3,again,1.00,EUR");
        var file = folder.File("products.csv");
        await File.WriteAllLinesAsync(file, lines.Prepend("sku,title,price,currency"));

        var dry = await ImportAsync("--dry-run");
        Assert.Equal((1, 997L, 3L), (dry.Exit, (long)dry.Says["created"]!, (long)dry.Says["badCount"]!));
        Assert.Equal([12L, 502, 1_001], dry.Says["bad"]!.AsArray().Select(row => (long)row!["line"]!).Order());
        Assert.Empty((await server.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, "/v1/products"))).Json["items"]!.AsArray());

        // The server is away when the import begins, and comes while it asks again; then it dies somewhere in the middle.
        await server.KillAsync();
        var first = ImportAsync();
        await server.BeginAsync();
        await Eventually.TrueAsync(async () => (await server.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, "/v1/products/sku-0"))).Status == 200, "rows are in");
        await server.KillAsync();
        await server.BeginAsync();
        Assert.Equal((1, 3L), ((await first).Exit, (long)(await first).Says["badCount"]!));

        var again = await ImportAsync();
        Assert.Equal((1, 0L, 0L, 997L), (again.Exit, (long)again.Says["created"]!, (long)again.Says["changed"]!, (long)again.Says["unchanged"]!));

        // A row for which the server cannot even read the call: it is found, and the others are in.
        file = folder.File("products.jsonl");
        await File.WriteAllLinesAsync(file, Enumerable.Range(0, 50).Select(i => i == 33 ? """{"sku":"x-33","title":33}""" : $$"""{"sku":"x-{{i}}","title":"X"}"""));
        var odd = await ImportAsync();
        Assert.Equal((1, 49L, 34L), (odd.Exit, (long)odd.Says["created"]!, (long)odd.Says["bad"]!.AsArray().Single()!["line"]!));

        async Task<(int Exit, JsonNode Says)> ImportAsync(params string[] more)
        {
            var (exit, text, says) = await SluiceCommand.RunAsync(["import", file, "--json", "--url", $"http://127.0.0.1:{server.Port}", "--api-key-file", Path.Combine(server.Data, "admin.key"), .. more]);
            return (exit, JsonNode.Parse(text) ?? throw new InvalidOperationException(says));
        }
    }

    [Fact]
    public async Task Import_ThatCannotWork_SaysWhyAndLeavesTheFileAsItWas()
    {
        using var folder = new TempFolder();
        var (file, link, key) = (folder.File("products.csv"), folder.File("link.csv"), folder.File("key"));
        const string Text = "sku,title\nmug,Mug\n";
        await File.WriteAllTextAsync(file, Text);
        await File.WriteAllTextAsync(key, "key");
        File.CreateSymbolicLink(link, file);
        using var other = new TcpListener(System.Net.IPAddress.Loopback, 0);
        other.Start();
        var url = $"http://{other.LocalEndpoint}";

        // A server that is no Sluice takes whatever it is sent.
        var answering = Task.Run(async () =>
        {
            using var caller = await other.AcceptTcpClientAsync();
            var stream = caller.GetStream();
            await stream.WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"u8.ToArray());
            while (await stream.ReadAsync(new byte[4_096]) > 0)
            {
            }
        });
        var runs = await Task.WhenAll(ImportAsync("--url", url, "--errors", link), ImportAsync("--url", url, "--errors", folder.Path), ImportAsync("--url", "localhost"));
        var strange = await ImportAsync("--url", url);

        Assert.Equal([2, 2, 2, 3], runs.Append(strange).Select(run => run.Exit));
        Assert.Equal(["--errors", "--errors", "--url", "--url"], runs.Append(strange).Select(run => new[] { "--errors", "--url" }.First(option => run.Says.Contains(option, StringComparison.Ordinal))));
        Assert.All(runs.Append(strange), run => Assert.DoesNotContain("   at ", run.Says, StringComparison.Ordinal));
        Assert.Equal(Text, await File.ReadAllTextAsync(file));
        await answering.WaitAsync(TimeSpan.FromSeconds(60));

        Task<(int Exit, string Text, string Says)> ImportAsync(params string[] more) => SluiceCommand.RunAsync(["import", file, "--api-key-file", key, .. more]);
    }

    [Fact]
    public async Task Import_ThatIsStopped_SaysHowFarItCame()
    {
        using var folder = new TempFolder();
        await File.WriteAllTextAsync(folder.File("products.csv"), "sku,title,price,currency\nmug,Mug,,\ncup,Cup,\u001b[2J,EUR\n");
        await File.WriteAllTextAsync(folder.File("key"), "key");
        using var deaf = new TcpListener(System.Net.IPAddress.Loopback, 0);
        deaf.Start();
        await using var import = ChildProcess.Start("dotnet", [Programs.Server, "import", folder.File("products.csv"), "--url", $"http://{deaf.LocalEndpoint}", "--api-key-file", folder.File("key"), "--errors", folder.File("bad.csv")]);
        using var asked = await deaf.AcceptTcpClientAsync().WaitAsync(TimeSpan.FromSeconds(60));

        import.Interrupt();

        Assert.Equal(130, await import.WaitAsync(TimeSpan.FromSeconds(60)));
        Assert.StartsWith("2 rows: 0 created, 0 changed, 0 unchanged, 1 bad", import.StandardOutput, StringComparison.Ordinal);
        Assert.Contains("goes on", import.Output, StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', import.Output);
        Assert.Equal(["line,sku,field,says", "3,cup,price,'\u001b[2J' is no amount in EUR: write it like 12.50"], await File.ReadAllLinesAsync(folder.File("bad.csv")));
    }

    private static async Task AssertOneCharacterMattersAsync(string file, string certificate, string from, string to)
    {
        Assert.Contains(from, certificate, StringComparison.Ordinal);
        await File.WriteAllTextAsync(file, certificate.Replace(from, to, StringComparison.Ordinal));
        var (exit, text, says) = await SluiceCommand.RunAsync("verify", file);
        Assert.True(exit == 1, $"exit code {exit}: {text} {says}");
    }
}

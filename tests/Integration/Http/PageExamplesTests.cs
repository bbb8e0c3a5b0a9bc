using System.Diagnostics;
using System.Globalization;
using System.Text;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>The examples of the pages run as somebody would paste them: one bash for a page, from top to bottom, in the folder of a server that ./sluice started.</summary>
public sealed class PageExamplesTests
{
    private static readonly TimeSpan PageTimeMax = TimeSpan.FromMinutes(4);

    [Theory]
    [InlineData("README.md")]
    [InlineData("docs/http-api.md")]
    public async Task Examples_OfThePage_PrintWhatItShows(string page)
    {
        var examples = PageExample.Of(page);
        Assert.Contains(examples, example => example.ShownAs is not null);
        using var folder = new TempFolder();
        var environment = new Dictionary<string, string>(StringComparer.Ordinal) { ["SLUICE_NO_BUILD"] = "1", ["no_proxy"] = "*" };
        File.CreateSymbolicLink(folder.File("sluice"), Path.Combine(Programs.Root, "sluice"));

        // ./sluice becomes the server: the process id stays the same.
        await using var server = new ServerProcess(folder.File("sluice"), ["serve", "--data", "data"], folder.Path);
        await server.StartAsync(environment);

        await RunAsync(examples, folder, environment, commands => commands.Replace("localhost:8080", $"127.0.0.1:{server.Port}", StringComparison.Ordinal));
    }

    /// <summary>Runs the examples in one bash in the folder, and demands that each prints what the page shows.</summary>
    internal static async Task RunAsync(IReadOnlyList<PageExample> examples, TempFolder folder, IReadOnlyDictionary<string, string> environment, Func<string, string> here)
    {
        // Each example is read into the same shell, and what it prints goes to a file of its own.
        var session = new StringBuilder("set -eo pipefail\n");
        for (var i = 0; i < examples.Count; i++)
        {
            await File.WriteAllTextAsync(folder.File($"{i}.sh"), here(examples[i].Commands));
            session.Append(CultureInfo.InvariantCulture, $". ./{i}.sh >{i}.out 2>{i}.err\n");
        }

        await File.WriteAllTextAsync(folder.File("session.sh"), session.ToString());
        await using var bash = ChildProcess.Start("bash", ["session.sh"], environment, folder.Path);
        var exit = await bash.WaitAsync(PageTimeMax);

        var ran = Enumerable.Range(0, examples.Count).Count(i => File.Exists(folder.File($"{i}.out")));
        Assert.True(exit == 0, $"{examples[ran - 1].Where} ended with {exit}: {Printed(ran - 1)}");
        Assert.Equal(examples.Count, ran);
        HttpShop.AssertNothingWrong(examples.Index()
            .Select(each => (each.Index, each.Item.Where, Says: each.Item.WrongAsPrinted(File.ReadAllText(folder.File($"{each.Index}.out")))))
            .Where(each => each.Says is not null).Select(each => $"{each.Where}: {each.Says}. It printed: {Printed(each.Index)}"));

        string Printed(int i) => File.ReadAllText(folder.File($"{i}.out")) + File.ReadAllText(folder.File($"{i}.err"));
    }
}

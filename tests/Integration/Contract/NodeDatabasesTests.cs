using System.Text.RegularExpressions;
using Dapper;
using MySqlConnector;
using Sluice.Modules;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>Modules with databases of their own: what a start makes, refuses and reads.</summary>
public sealed partial class NodeDatabasesTests(Engines engines)
{
    private static readonly IReadOnlyList<IModule> All = ModuleList.All;

    [Theory]
    [InlineData("Accounts", "INSERT INTO accounts (user_id, email, email_key, password_hash, name, version, created_at) VALUES ('user-1', 'a@b.example', 'a@b.example', 'x', 'Ann', 7, 1)", "SELECT version FROM accounts")]
    [InlineData("Catalog", "INSERT INTO products (sku, title, version) VALUES ('mug', 'Mug', 3); UPDATE catalog_version SET version = 7", "SELECT version FROM catalog_version")]
    public async Task Module_ThatHasRowsInTheMainDatabase_DoesNotBeginWithoutThem(string module, string rows, string seven)
    {
        using var folder = new TempFolder();
        var maria = await engines.MariaDbAsync();
        var (main, own) = (await maria.NewDatabaseAsync(), await maria.NewDatabaseAsync());
        using (var before = Open(main, new Dictionary<string, ModuleSqlOptions>()))
        {
            await before.PrepareAsync();
            await before.Main.WriteAsync(transaction => transaction.Connection!.ExecuteAsync(rows, transaction: transaction));
        }

        var settings = new Dictionary<string, ModuleSqlOptions> { [module] = new() { Connection = own } };
        using var databases = Open(main, settings);
        var refusal = await Assert.ThrowsAsync<DependencyUnavailableException>(databases.PrepareAsync);
        Assert.Contains($"{module}:Sql:StartEmpty=true", refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(MariaDbServer.Password, refusal.Message, StringComparison.Ordinal);
        using (var empty = Open(main, new Dictionary<string, ModuleSqlOptions> { [module] = new() { Connection = own, StartEmpty = true } }))
        {
            await empty.PrepareAsync();
        }

        await CopyAsPageSaysAsync(module, main, own, folder.Path);

        await databases.PrepareAsync();
        Assert.Equal(7, await databases.Of(module).ReadAsync(connection => connection.QuerySingleAsync<long>(seven)));
        Assert.NotSame(databases.Main, databases.Of(module));
    }

    [Fact]
    public async Task Module_ThatLeavesSqlite_DoesNotBeginWithoutItsRowsEither()
    {
        using var folder = new TempFolder();
        var own = await (await engines.MariaDbAsync()).NewDatabaseAsync();
        NodeDatabases Open(string connection) => new(new SqlOptions(), folder.Path, All, All, new Dictionary<string, ModuleSqlOptions> { ["Catalog"] = new() { Connection = connection } });
        using (var before = Open(""))
        {
            await before.PrepareAsync();
            await before.Main.WriteAsync(transaction => transaction.Connection!.ExecuteAsync("INSERT INTO categories (slug, title, position, version) VALUES ('mugs', 'Mugs', 1, 1)", transaction: transaction));
        }

        using var databases = Open(own);
        var refusal = await Assert.ThrowsAsync<DependencyUnavailableException>(databases.PrepareAsync);
        Assert.Contains("where categories is empty", refusal.Message, StringComparison.Ordinal);
        Assert.Equal(2, databases.Homes.Count);
    }

    [Theory]
    [InlineData("Accounts", "sql of Accounts", "")]
    [InlineData("Accounts,Catalog,Orders", "", "sql of Accounts")]
    public async Task Database_ThatIsAway_TakesOnlyNodesAwayThatHaveNoOther(string runs, string missing, string beside)
    {
        using var folder = new TempFolder();
        List<IModule> modules = [.. All.Where(module => runs.Split(',').Contains(module.Name))];
        var nobody = $"Server=127.0.0.1;Port={FreePort.Next()};User ID=x;Password=x;Database=x";
        using var databases = new NodeDatabases(new SqlOptions { ConnectTimeMax = TimeSpan.FromSeconds(1) }, folder.Path, modules, modules, new Dictionary<string, ModuleSqlOptions> { ["Accounts"] = new() { Connection = nobody } });

        var look = await databases.LookAsync();

        Assert.Equal((missing, beside), (string.Join(',', look.Missing), string.Join(',', look.Beside)));
    }

    private static NodeDatabases Open(string main, IReadOnlyDictionary<string, ModuleSqlOptions> own) => new(new SqlOptions { Connection = main }, Path.GetTempPath(), All, All, own);

    // The command of docs/services.md, with the names of these two databases.
    private static async Task CopyAsPageSaysAsync(string module, string main, string own, string folder)
    {
        var (from, to) = (new MySqlConnectionStringBuilder(main), new MySqlConnectionStringBuilder(own));
        var theirs = module == "Accounts" ? "people" : "goods";
        foreach (var (file, server) in new[] { ("main", from), (theirs, to) })
        {
            await File.WriteAllTextAsync(Path.Combine(folder, $"{file}.cnf"), $"[client]\nprotocol=tcp\nhost={server.Server}\nport={server.Port}\nuser={server.UserID}\npassword={server.Password}\n");
        }

        var command = Command().Matches(await File.ReadAllTextAsync(Path.Combine(Programs.Root, "docs", "services.md"))).Select(line => line.Value).Single(line => line.Contains($"--defaults-file={theirs}.cnf", StringComparison.Ordinal));
        command = command.Replace("--single-transaction sluice ", $"--single-transaction {from.Database} ", StringComparison.Ordinal).Replace($".cnf {theirs}", $".cnf {to.Database}", StringComparison.Ordinal);
        await using var copy = ChildProcess.Start("bash", ["-o", "pipefail", "-c", command], folder: folder);
        Assert.True(await copy.WaitAsync(TimeSpan.FromMinutes(1)) == 0, copy.Output);
    }

    [GeneratedRegex("^mariadb-dump .+$", RegexOptions.Multiline)]
    private static partial Regex Command();
}

using Dapper;
using MySqlConnector;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>A node is killed while it makes the schema on a server where each statement of that commits by itself: the next start finishes it.</summary>
public sealed class MigrationBrokenOffTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Node_KilledInItsFirstMigrations_FinishesThemAtTheNextStart()
    {
        await using var sql = await MariaDbServer.StartAsync();
        var whole = await sql.NewDatabaseAsync();
        Migrate(whole);
        var wanted = await SchemaAsync(whole);
        var random = new Random(Drills.Seed);
        var kills = 0;

        // A point is before a statement, behind it, or behind the line that says so. Until one is so late that the node comes through.
        for (var point = 1; ; point += random.Next(4, 14))
        {
            var connection = await sql.NewDatabaseAsync();
            using var folder = new TempFolder();
            await using var node = ChildProcess.Start(
                "dotnet", [Programs.Server, "serve", "--data", folder.Path, "--urls", $"http://127.0.0.1:{FreePort.Next()}", "--set", $"Sql:Connection={connection}"], Drills.Fault("migration.step", "kill", point));
            await Eventually.TrueAsync(() => Task.FromResult(node.HasExited || File.Exists(Path.Combine(folder.Path, "sluice.url"))), "the node is killed, or through");
            if (!node.HasExited)
            {
                Assert.Equal(wanted, await SchemaAsync(connection));
                output.WriteLine($"seed {Drills.Seed}: killed at {kills} points of {point} or fewer; each time the next start made the same schema");
                break;
            }

            Assert.True(node.ExitCode == 137, $"point {point}: {node.Output}");
            kills++;
            Migrate(connection);
            Assert.Equal(wanted, await SchemaAsync(connection));
        }

        Assert.True(kills > 5, $"only {kills} kills");
    }

    [Fact]
    public async Task Migrations_ThatMeetATableOfSomebodyElse_StopEachTimeAndLeaveItAlone()
    {
        await using var sql = await MariaDbServer.StartAsync();
        var connection = await sql.NewDatabaseAsync();
        await using var shop = new MySqlConnection(connection);
        await shop.ExecuteAsync("CREATE TABLE claims (theirs INT)");
        for (var start = 0; start < 3; start++)
        {
            Assert.Contains("already exists", Assert.Throws<DependencyUnavailableException>(() => Migrate(connection)).Message, StringComparison.Ordinal);
        }

        await shop.ExecuteAsync("DROP TABLE claims");
        Migrate(connection);
        var whole = await sql.NewDatabaseAsync();
        Migrate(whole);
        Assert.Equal(await SchemaAsync(whole), await SchemaAsync(connection));
    }

    private static void Migrate(string connection)
    {
        using var database = new Database(new SqlOptions { Connection = connection }, Path.GetTempPath());
        Migrations.Run(database, typeof(Database).Assembly, typeof(Modules.ModuleList).Assembly);
    }

    private static async Task<IReadOnlyList<string>> SchemaAsync(string connection)
    {
        await using var database = new MySqlConnection(connection);
        var columns = await database.QueryAsync<string>(
            "SELECT CONCAT_WS(' ', table_name, column_name, column_type, is_nullable, column_default, collation_name, extra, generation_expression) FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1");
        var indexes = await database.QueryAsync<string>(
            "SELECT CONCAT_WS(' ', table_name, index_name, seq_in_index, column_name, non_unique) FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY 1");
        var versions = await database.QueryAsync<string>("SELECT CONCAT(Version, '') FROM VersionInfo ORDER BY Version");
        var left = await database.QuerySingleAsync<long>("SELECT COUNT(*) FROM migration_steps");
        return [.. columns, .. indexes, .. versions, $"{left} steps"];
    }
}
